//! Create, update, delete: what lands, what is refused, and what a refusal says.

use hotswap_api::route::v1 as wire;
use hotswap_api::route::v1::route_service_client::RouteServiceClient;
use hotswap_auth::Role;
use prost_types::FieldMask;
use tonic::Code;

use crate::harness::{Server, create_pool, create_route, error, fields, pool, route, with_route};

fn update(route: wire::Route, paths: &[&str]) -> wire::UpdateRouteRequest {
    let paths: Vec<String> = paths.iter().map(|p| (*p).to_owned()).collect();
    let update_mask = (!paths.is_empty()).then_some(FieldMask { paths });
    wire::UpdateRouteRequest { route: Some(route), update_mask, ..Default::default() }
}

#[tokio::test]
async fn a_created_route_is_read_back_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, made) = with_route(dir.path()).await;
    assert_eq!((made.name.as_str(), made.revision), ("routes/r", 2));
    assert_eq!(made.standing.as_ref().map(|s| s.live_revision), Some(2));
    server.stop().await;
    let server = Server::start(dir.path()).await;
    let request = wire::GetRouteRequest { name: "routes/r".into() };
    let read = server.routes().await.get_route(request).await.expect("reads").into_inner();
    assert_eq!(read.route, Some(made));
}

#[tokio::test]
async fn every_fault_of_a_write_is_named_at_once() {
    let dir = tempfile::tempdir().expect("dir");
    let server = Server::start(dir.path()).await;
    let mut request = create_route("Bad_Id", "pools/none", "no-slash");
    if let Some(route) = &mut request.route {
        route.hosts = vec!["a b".into()];
    }
    let refused = server.routes().await.create_route(request).await.expect_err("faulty");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(error(&refused).reason, "INVALID_INPUT");
    assert_eq!(
        fields(&refused),
        ["route_id", "route.hosts[0]", "route.matches[0].path.prefix", "route.forward.pool"]
    );
}

#[tokio::test]
async fn a_taken_name_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let refused = client.create_route(create_route("r", "pools/p", "/x")).await.expect_err("taken");
    assert_eq!((refused.code(), error(&refused).reason.as_str()), (Code::AlreadyExists, "ALREADY_EXISTS"));
}

#[tokio::test]
async fn a_stale_etag_is_aborted_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, made) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let first = wire::Route { priority: 1, ..made.clone() };
    let changed = client.update_route(update(first, &["priority"])).await.expect("fresh").into_inner();
    let second = wire::Route { priority: 2, ..made.clone() };
    let refused = client.update_route(update(second, &["priority"])).await.expect_err("stale");
    assert_eq!((refused.code(), error(&refused).reason.as_str()), (Code::Aborted, "STALE_ETAG"));
    let delete = wire::DeleteRouteRequest { name: made.name.clone(), etag: made.etag, ..Default::default() };
    assert_eq!(client.delete_route(delete).await.expect_err("stale").code(), Code::Aborted);
    let read = client.get_route(wire::GetRouteRequest { name: made.name }).await.expect("reads").into_inner();
    assert_eq!(read.route, changed.route);
}

#[tokio::test]
async fn a_mask_changes_its_fields_alone_and_an_unknown_one_is_named() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, made) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let patch = wire::Route { name: made.name.clone(), display_name: "R".into(), ..Default::default() };
    let changed = client.update_route(update(patch.clone(), &["display_name"])).await.expect("masked");
    let changed = changed.into_inner().route.expect("route");
    assert_eq!((changed.display_name.as_str(), &changed.matches), ("R", &made.matches));
    let refused = client.update_route(update(patch, &["colour"])).await.expect_err("unknown");
    assert_eq!(fields(&refused), ["update_mask"]);
}

#[tokio::test]
async fn an_update_that_changes_nothing_makes_no_revision() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, made) = with_route(dir.path()).await;
    let same = server.routes().await.update_route(update(made.clone(), &["*"])).await.expect("same");
    assert_eq!(same.into_inner().route, Some(made));
}

#[tokio::test]
async fn a_missing_route_is_created_only_where_that_is_allowed() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let new = wire::Route { name: "routes/new".into(), ..route("pools/p", "/new") };
    let refused = client.update_route(update(new.clone(), &["*"])).await.expect_err("missing");
    assert_eq!(refused.code(), Code::NotFound);
    let allowed = wire::UpdateRouteRequest { allow_missing: true, ..update(new, &["*"]) };
    let made = client.update_route(allowed).await.expect("made").into_inner().route.expect("route");
    assert_eq!(made.revision, 3);
}

#[tokio::test]
async fn validate_only_checks_everything_and_writes_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let ok = wire::CreateRouteRequest { validate_only: true, ..create_route("v", "pools/p", "/v") };
    assert!(client.create_route(ok).await.is_ok());
    let bad = wire::CreateRouteRequest { validate_only: true, ..create_route("v", "pools/none", "/v") };
    assert_eq!(client.create_route(bad).await.expect_err("bad").code(), Code::InvalidArgument);
    let name = "routes/v".to_owned();
    assert_eq!(
        client.get_route(wire::GetRouteRequest { name }).await.expect_err("none").code(),
        Code::NotFound
    );
    let delete =
        wire::DeleteRouteRequest { name: "routes/r".into(), validate_only: true, ..Default::default() };
    client.delete_route(delete).await.expect("checked");
    let name = "routes/r".to_owned();
    assert!(client.get_route(wire::GetRouteRequest { name }).await.is_ok());
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_and_another_with_its_id_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let id = "0192f0c1-2345-7abc-8def-0123456789ab".to_owned();
    let request = wire::CreateRouteRequest { request_id: id.clone(), ..create_route("x", "pools/p", "/x") };
    let first = client.create_route(request.clone()).await.expect("first").into_inner();
    let again = client.create_route(request.clone()).await.expect("again").into_inner();
    assert_eq!(first, again);
    let other = wire::CreateRouteRequest { request_id: id.clone(), ..create_route("y", "pools/p", "/y") };
    let refused = client.create_route(other).await.expect_err("other");
    assert_eq!(error(&refused).reason, "REQUEST_ID_REUSED");
    let delete = wire::DeleteRouteRequest {
        name: "routes/x".into(),
        request_id: id.replace("0192", "0193"),
        ..Default::default()
    };
    let first = client.delete_route(delete.clone()).await.expect("first").into_inner();
    assert_eq!(client.delete_route(delete).await.expect("again").into_inner(), first);
    let bad = wire::CreateRouteRequest { request_id: "7".into(), ..create_route("z", "pools/p", "/z") };
    assert_eq!(fields(&client.create_route(bad).await.expect_err("bad")), ["request_id"]);
}

#[tokio::test]
async fn a_pool_in_use_is_not_deleted() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let delete = wire::DeletePoolRequest { name: "pools/p".into(), ..Default::default() };
    let refused = client.delete_pool(delete.clone()).await.expect_err("in use");
    assert_eq!((refused.code(), error(&refused).reason.as_str()), (Code::FailedPrecondition, "POOL_IN_USE"));
    assert!(refused.message().contains("routes/r"), "{}", refused.message());
    let route = wire::DeleteRouteRequest { name: "routes/r".into(), ..Default::default() };
    client.delete_route(route).await.expect("route");
    assert_eq!(client.delete_pool(delete).await.expect("pool").into_inner().revision, 4);
}

#[tokio::test]
async fn what_a_pool_does_about_failures_is_written_and_changed_field_by_field() {
    let dir = tempfile::tempdir().expect("dir");
    let server = Server::start(dir.path()).await;
    let mut client = server.routes().await;
    let check = wire::HealthCheck { path: "/up".into(), interval_ms: 500, ..Default::default() };
    let mut request = create_pool("p");
    if let Some(pool) = &mut request.pool {
        pool.health_check = Some(check);
        pool.circuit_breaker = Some(wire::CircuitBreaker::default());
    }
    let made = client.create_pool(request.clone()).await.expect("made").into_inner().pool.expect("pool");
    let timeout = wire::HealthCheck { timeout_ms: 50, ..Default::default() };
    let pool = wire::Pool { name: made.name.clone(), health_check: Some(timeout), ..Default::default() };
    let update_mask = Some(FieldMask { paths: vec!["health_check.timeout_ms".into()] });
    let update = wire::UpdatePoolRequest { pool: Some(pool), update_mask, ..Default::default() };
    let changed = client.update_pool(update).await.expect("changed").into_inner().pool.expect("pool");
    let check = changed.health_check.expect("kept");
    assert_eq!((check.path.as_str(), check.interval_ms, check.timeout_ms), ("/up", 500, 50));
    assert!(changed.circuit_breaker.is_some());

    request.pool_id = "q".into();
    if let Some(pool) = &mut request.pool {
        pool.health_check = Some(wire::HealthCheck { interval_ms: 7, ..Default::default() });
    }
    let refused = client.create_pool(request).await.expect_err("too often");
    assert!(refused.message().contains("health_check.interval_ms"), "{}", refused.message());
}

#[tokio::test]
async fn revisions_and_their_differences_outlive_the_route() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, made) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let patch = wire::Route { priority: 7, ..made.clone() };
    client.update_route(update(patch, &["priority"])).await.expect("update");
    let delete = wire::DeleteRouteRequest { name: made.name.clone(), ..Default::default() };
    client.delete_route(delete).await.expect("delete");
    let list = wire::ListRouteRevisionsRequest { name: made.name.clone(), ..Default::default() };
    let revisions = client.list_route_revisions(list).await.expect("list").into_inner().revisions;
    let seen: Vec<_> = revisions.iter().map(|r| (r.revision, r.route.is_some(), r.actor.as_str())).collect();
    assert_eq!(seen, [(4, false, "tester"), (3, true, "tester"), (2, true, "tester")]);
    let diff = wire::DiffRouteRevisionsRequest { name: made.name.clone(), from: 2, to: 3 };
    let diff = client.diff_route_revisions(diff).await.expect("diff").into_inner();
    let seen: Vec<_> = diff
        .differences
        .iter()
        .map(|d| (d.path.as_str(), d.old_json.as_str(), d.new_json.as_str()))
        .collect();
    assert_eq!(seen, [("priority", "0", "7")]);
    let newest = wire::DiffRouteRevisionsRequest { name: made.name, from: 0, to: 0 };
    let newest = client.diff_route_revisions(newest).await.expect("diff").into_inner();
    assert_eq!((newest.from, newest.to), (3, 4));
    assert!(newest.differences.iter().all(|d| d.new_json.is_empty()));
}

fn set(address: &str, state: wire::BackendState) -> wire::SetBackendStateRequest {
    wire::SetBackendStateRequest {
        pool: "pools/p".into(),
        address: address.into(),
        state: state.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_backend_that_was_drained_stays_so_until_it_is_enabled_or_gone() {
    use wire::BackendState::{Drained, Enabled};
    let dir = tempfile::tempdir().expect("dir");
    let server = Server::start(dir.path()).await;
    let mut client = server.routes().await;
    let two = pool(&["127.0.0.1:9001", "127.0.0.1:9002"]);
    let request =
        wire::CreatePoolRequest { pool_id: "p".into(), pool: Some(two.clone()), ..Default::default() };
    client.create_pool(request).await.expect("pool");
    let drained = client.set_backend_state(set("127.0.0.1:9002", Drained)).await.expect("drained");
    assert_eq!(drained.into_inner().revision, 2);
    let again = client.set_backend_state(set("127.0.0.1:9002", Drained)).await.expect("again").into_inner();
    assert_eq!(again.revision, 2, "it was drained already");

    let states = async |client: &mut RouteServiceClient<_>| {
        let read = client.get_pool(wire::GetPoolRequest { name: "pools/p".into() }).await.expect("reads");
        let backends = read.into_inner().pool.expect("pool").backends;
        backends.iter().map(|b| (b.state(), b.share_percent)).collect::<Vec<_>>()
    };
    assert_eq!(states(&mut client).await, [(Enabled, 100.0), (Drained, 0.0)]);
    // The same file again, which knows nothing of states, or claims another.
    let mut written = wire::Pool { name: "pools/p".into(), display_name: "P".into(), ..two.clone() };
    written.backends[1].set_state(Enabled);
    let all = Some(FieldMask { paths: vec!["*".into()] });
    let update =
        |pool| wire::UpdatePoolRequest { pool: Some(pool), update_mask: all.clone(), ..Default::default() };
    let landed = client.update_pool(update(written.clone())).await.expect("updates").into_inner();
    assert_eq!(landed.pool.expect("pool").revision, 3);
    assert_eq!(states(&mut client).await, [(Enabled, 100.0), (Drained, 0.0)]);

    let enabled = client.set_backend_state(set("127.0.0.1:9002", Enabled)).await.expect("enabled");
    assert_eq!(enabled.into_inner().revision, 4);
    assert_eq!(states(&mut client).await, [(Enabled, 50.0), (Enabled, 50.0)]);
    client.set_backend_state(set("127.0.0.1:9002", Drained)).await.expect("drained");
    let one = wire::Pool { backends: vec![two.backends[0].clone()], ..written.clone() };
    client.update_pool(update(one)).await.expect("updates");
    client.update_pool(update(written)).await.expect("updates");
    assert_eq!(states(&mut client).await, [(Enabled, 50.0), (Enabled, 50.0)], "it came new into the pool");
}

#[tokio::test]
async fn a_state_names_a_backend_that_is_there_and_has_its_event() {
    use wire::BackendState::{Drained, Unspecified};
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let refused = client.set_backend_state(set("127.0.0.1:1", Drained)).await.expect_err("unknown");
    assert_eq!((refused.code(), error(&refused).reason.as_str()), (Code::NotFound, "BACKEND_NOT_FOUND"));
    let nothing = wire::SetBackendStateRequest { address: String::new(), ..set("", Unspecified) };
    let refused = client.set_backend_state(nothing).await.expect_err("nothing said");
    assert_eq!(fields(&refused), ["address", "state"]);
    let odd = wire::SetBackendStateRequest { state: 99, ..set("127.0.0.1:9001", Drained) };
    assert_eq!(fields(&client.set_backend_state(odd).await.expect_err("odd")), ["state"]);

    let id = "0190a1b2-0000-7000-8000-000000000001".to_owned();
    let request = wire::SetBackendStateRequest { request_id: id, ..set("127.0.0.1:9001", Drained) };
    let first = client.set_backend_state(request.clone()).await.expect("drained").into_inner();
    let second = client.set_backend_state(request).await.expect("repeated").into_inner();
    assert_eq!((first.revision, second.revision), (3, 3));

    let events = server
        .audit(Role::Admin)
        .await
        .list_events(hotswap_api::audit::v1::ListEventsRequest::default())
        .await
        .expect("events");
    let events = events.into_inner().events;
    let of_state = events.iter().filter(|e| e.method.ends_with("SetBackendState")).count();
    assert!(of_state >= 1, "{events:?}");
}
