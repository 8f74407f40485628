//! The audit log as callers meet it: what is in it, who may read it, and that it proves itself.

use std::sync::Arc;
use std::time::Duration;

use hotswap_api::audit::v1 as audit;
use hotswap_api::audit::v1::audit_service_client::AuditServiceClient;
use hotswap_api::audit::v1::event::Outcome;
use hotswap_api::audit::v1::export_events_request::Format;
use hotswap_api::route::v1 as wire;
use hotswap_api::route::v1::route_service_client::RouteServiceClient;
use hotswap_audit::{PublicKey, Trust, verify_export};
use hotswap_auth::{LocalKey, Role, TokenRequest};
use hotswap_core::{Clock, Ids, SystemClock, SystemIds};
use hotswap_rpc::BearerToken;
use hotswap_store::{Database, Db};
use hotswap_testkit::Authed;
use tonic::Code;
use tonic::service::interceptor::InterceptedService;

use crate::harness::{Server, create_pool, create_route, error, fields, route, with_route};

/// The events that a filter wants, newest first.
async fn events(client: &mut AuditServiceClient<Authed>, filter: &str) -> Vec<audit::Event> {
    let filter = filter.to_owned();
    let request = audit::ListEventsRequest { filter, page_size: 1_000, ..Default::default() };
    client.list_events(request).await.expect("listed").into_inner().events
}

/// The same, once there are so many: what has no transaction of its own is written a little later.
async fn events_in_time(
    client: &mut AuditServiceClient<Authed>,
    filter: &str,
    n: usize,
) -> Vec<audit::Event> {
    loop {
        let found = events(client, filter).await;
        if found.len() >= n {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

async fn verified(client: &mut AuditServiceClient<Authed>) -> audit::VerifyLogResponse {
    client.verify_log(audit::VerifyLogRequest::default()).await.expect("verified").into_inner()
}

async fn exported(client: &mut AuditServiceClient<Authed>, filter: &str, format: Format) -> Vec<u8> {
    let request =
        audit::ExportEventsRequest { format: format.into(), filter: filter.into(), ..Default::default() };
    let mut stream = client.export_events(request).await.expect("begins").into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.message().await.expect("goes on") {
        bytes.extend_from_slice(&piece.data);
    }
    bytes
}

/// A channel with a token of a tenant.
async fn of_tenant(server: &Server, dir: &std::path::Path, tenant: &str) -> Authed {
    let request = TokenRequest {
        subject: "tenant-admin".into(),
        roles: vec![Role::Admin],
        tenant: Some(tenant.into()),
        ttl: Duration::from_secs(600),
    };
    let key = LocalKey::load(dir).expect("key");
    let token = key.mint(&request, SystemClock.now(), &SystemIds).expect("token");
    InterceptedService::new(server.channel().await, BearerToken::new(&token).expect("token"))
}

/// The server's database, as its owner has it.
async fn opened(file: &Database) -> Db {
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    Db::open(file, &clock, &ids).await.expect("opens")
}

#[tokio::test]
async fn every_change_is_recorded_with_who_what_and_the_difference() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, made) = with_route(dir.path()).await;
    let mut routes = server.routes().await;
    let changed = wire::Route { priority: 7, ..made.clone() };
    let update = wire::UpdateRouteRequest { route: Some(changed), ..Default::default() };
    routes.update_route(update.clone()).await.expect("updated");
    let again = wire::Route { etag: String::new(), ..update.route.clone().expect("set") };
    routes
        .update_route(wire::UpdateRouteRequest { route: Some(again), ..update })
        .await
        .expect("nothing to do");
    let delete = wire::DeleteRouteRequest { name: "routes/r".into(), ..Default::default() };
    routes.delete_route(delete).await.expect("deleted");

    let mut client = server.audit(Role::Operator).await;
    let told = events(&mut client, "resource = routes/r").await;
    let methods: Vec<_> = told.iter().map(|e| e.method.rsplit('/').next().unwrap_or_default()).collect();
    assert_eq!(methods, ["DeleteRoute", "UpdateRoute", "CreateRoute"], "what changed nothing is no event");
    let update = &told[1];
    assert_eq!((update.actor.as_str(), update.roles.as_slice()), ("tester", ["admin".to_owned()].as_slice()));
    assert_eq!(
        (update.revision, update.outcome(), update.source_address.as_str()),
        (3, Outcome::Done, "127.0.0.1")
    );
    assert_eq!((update.chain.as_str(), update.tenant.as_str(), update.attempts), ("platform", "", 1));
    let change = audit::Change { path: "priority".into(), old_json: "0".into(), new_json: "7".into() };
    assert_eq!(update.changes, [change]);
    assert_eq!((&update.before_hash, &update.previous_hash), (&told[2].after_hash, &told[2].hash));
    assert!(told[2].before_hash.is_empty() && told[0].after_hash.is_empty());
    assert!(verified(&mut client).await.intact);
}

#[tokio::test]
async fn the_request_id_is_the_one_of_logs_and_secrets_are_in_no_event() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let secret = wire::Header { name: "Authorization".into(), value: "Bearer hunter2".into() };
    let edits = wire::HeaderEdits { set: vec![secret], ..Default::default() };
    let with_secret = wire::Route { request_headers: Some(edits), ..route("pools/p", "/s") };
    let create =
        wire::CreateRouteRequest { route_id: "s".into(), route: Some(with_secret), ..Default::default() };
    let mut request = tonic::Request::new(create);
    let id = "01936f5e-1111-7222-8333-444455556666";
    request.metadata_mut().insert("x-request-id", id.parse().expect("ascii"));
    server.routes().await.create_route(request).await.expect("created");
    let mut client = server.audit(Role::Admin).await;
    let told = events(&mut client, &format!("request_id = {id}")).await;
    assert_eq!(told.len(), 1);
    let masked = told[0].changes.iter().find(|c| c.path == "request_headers.set[0].value").expect("there");
    assert!(masked.new_json.starts_with("\"masked:"), "{masked:?}");
    let whole = exported(&mut client, "", Format::Json).await;
    assert!(!String::from_utf8_lossy(&whole).contains("hunter2"));
}

#[tokio::test]
async fn denied_and_failed_calls_are_recorded_and_a_flood_of_them_is_counted() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, made) = with_route(dir.path()).await;
    let nobody = RouteServiceClient::new(server.channel().await);
    for _ in 0..200 {
        let refused = nobody.clone().create_pool(create_pool("x")).await.expect_err("no token");
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    let viewer = server.token(&[Role::Viewer], Duration::from_secs(600));
    let viewer = InterceptedService::new(server.channel().await, BearerToken::new(&viewer).expect("token"));
    RouteServiceClient::new(viewer).create_pool(create_pool("x")).await.expect_err("not its role");
    let mut routes = server.routes().await;
    let stale = wire::Route { etag: "x".into(), ..made };
    let update = wire::UpdateRouteRequest { route: Some(stale), ..Default::default() };
    let checked = wire::UpdateRouteRequest { validate_only: true, ..update.clone() };
    routes.update_route(checked).await.expect_err("stale");
    routes.update_route(update).await.expect_err("stale");

    let mut client = server.audit(Role::Admin).await;
    let denied = events_in_time(&mut client, "outcome = denied", 2).await;
    let told: Vec<_> = denied.iter().map(|e| (e.actor.as_str(), e.reason.as_str(), e.attempts)).collect();
    assert!(
        told.contains(&("-", "TOKEN_MISSING", 1)) && told.contains(&("tester", "ROLE_MISSING", 1)),
        "{told:?}"
    );
    let failed = events_in_time(&mut client, "outcome = failed", 1).await;
    let told: Vec<_> = failed.iter().map(|e| (e.resource.as_str(), e.reason.as_str())).collect();
    assert_eq!(told, [("routes/r", "STALE_ETAG")]);
    server.stop().await;

    // What was only counted is written at the latest when the process ends.
    let server = Server::start(dir.path()).await;
    let mut client = server.audit(Role::Admin).await;
    let denied = events(&mut client, "reason = TOKEN_MISSING").await;
    assert_eq!(denied.iter().map(|e| e.attempts).sum::<i64>(), 200);
    assert!(denied.len() <= 3, "{}", denied.len());
    let verification = verified(&mut client).await;
    assert!(verification.intact, "{verification:?}");
}

#[tokio::test]
async fn what_fails_before_it_reaches_a_use_case_is_recorded_too() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut routes = server.routes().await;
    // Not a UUID, no route, a value that no landing has, a name that can't be: each is refused as the request is read.
    let create = create_route("a", "pools/p", "/a");
    let id = wire::CreateRouteRequest { request_id: "me".into(), ..create.clone() };
    let empty = wire::CreateRouteRequest { route: None, route_id: "b".into(), ..create.clone() };
    let landing = wire::CreateRouteRequest { landing: 99, route_id: "c".into(), ..create.clone() };
    for bad in [id, empty, landing] {
        assert_eq!(routes.create_route(bad).await.expect_err("bad").code(), Code::InvalidArgument);
    }
    let checked = wire::CreateRouteRequest { route: None, validate_only: true, ..create };
    routes.create_route(checked).await.expect_err("bad, and only to be checked");
    let delete =
        wire::DeletePoolRequest { name: "pools/p".into(), request_id: "me".into(), ..Default::default() };
    routes.delete_pool(delete).await.expect_err("bad");
    routes.set_backend_state(wire::SetBackendStateRequest::default()).await.expect_err("names nothing");
    routes.get_route(wire::GetRouteRequest { name: "nonsense".into() }).await.expect_err("reads nothing");

    let mut client = server.audit(Role::Admin).await;
    let empty = audit::CreateLegalHoldRequest::default();
    client.create_legal_hold(empty).await.expect_err("empty");
    let told = events_in_time(&mut client, "outcome = failed", 6).await;
    let told: Vec<_> = told
        .iter()
        .map(|e| (e.method.rsplit('/').next().unwrap_or_default(), e.resource.as_str(), e.reason.as_str()))
        .collect();
    let expected = [
        ("CreateLegalHold", "legalHolds/", "INVALID_INPUT"),
        ("SetBackendState", "", "INVALID_INPUT"),
        ("DeletePool", "pools/p", "INVALID_INPUT"),
        ("CreateRoute", "routes/c", "INVALID_INPUT"),
        ("CreateRoute", "routes/b", "INVALID_INPUT"),
        ("CreateRoute", "routes/a", "INVALID_INPUT"),
    ];
    assert_eq!(told, expected);
}

/// What a method says to another message than its own: its first field is a number, where theirs are texts or messages.
async fn other_message(server: &Server, method: &str) -> tonic::Status {
    let mut client = tonic::client::Grpc::new(server.authed(Role::Admin).await);
    client.ready().await.expect("ready");
    let other = wire::DiffRouteRevisionsResponse { from: 5, ..Default::default() };
    let path = format!("/hotswap.route.v1.RouteService/{method}").parse().expect("a path");
    let codec = tonic_prost::ProstCodec::<wire::DiffRouteRevisionsResponse, wire::Route>::default();
    client.unary(tonic::Request::new(other), path, codec).await.expect_err("not its message")
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused_with_a_reason_and_recorded() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    for (method, reason, code) in [
        ("CreateRoute", "MESSAGE_MALFORMED", Code::InvalidArgument),
        ("GetRoute", "MESSAGE_MALFORMED", Code::InvalidArgument),
        ("CreateNothing", "METHOD_UNKNOWN", Code::Unimplemented),
    ] {
        let refused = other_message(&server, method).await;
        assert_eq!(
            (refused.code(), error(&refused).reason.as_str()),
            (code, reason),
            "{method}: {refused:?}"
        );
    }
    let mut client = server.audit(Role::Admin).await;
    let told = events_in_time(&mut client, "outcome = failed", 1).await;
    let told: Vec<_> = told.iter().map(|e| (e.method.as_str(), e.reason.as_str())).collect();
    assert_eq!(told, [("hotswap.route.v1.RouteService/CreateRoute", "MESSAGE_MALFORMED")]);
}

#[tokio::test]
async fn an_export_proves_itself_with_the_servers_public_key() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.audit(Role::Admin).await;
    let keys: Vec<PublicKey> =
        verified(&mut client).await.public_keys.iter().map(|k| k.parse().expect("a key")).collect();
    let trust = Trust { keys, ..Trust::default() };
    for (format, filter, events) in [(Format::Json, "", 3), (Format::Csv, "resource = routes/r", 1)] {
        let bytes = exported(&mut client, filter, format).await;
        let report = verify_export(bytes.as_slice(), &trust).expect("reads");
        assert!(report.is_intact(), "{:?}", report.faults);
        assert_eq!((report.events, report.exported_by.as_str()), (events, "tester"));
    }
    let exports = events(&mut client, "method : ExportEvents").await;
    assert_eq!(exports.len(), 2, "who exported is in the log too");
    let mut operator = server.audit(Role::Operator).await;
    let refused =
        operator.export_events(audit::ExportEventsRequest::default()).await.expect_err("admins only");
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_log_that_was_tampered_with_is_told_and_not_exported() {
    let dir = tempfile::tempdir().expect("dir");
    let file = Database::Sqlite(dir.path().join("tampered.db"));
    let server = Server::on(dir.path(), &file, hotswap_route::RouteOptions::default()).await;
    server.routes().await.create_pool(create_pool("p")).await.expect("pool");
    server.routes().await.create_pool(create_pool("q")).await.expect("pool");
    let db = opened(&file).await;
    let mut tx = db.write_unscoped().await.expect("tx");
    tx.execute("DROP TRIGGER audit_events_update", &[]).await.expect("dropped");
    tx.execute("UPDATE audit_events SET actor = 'Mallory' WHERE sequence = 1", &[]).await.expect("changed");
    tx.commit().await.expect("commit");

    let mut client = server.audit(Role::Admin).await;
    let found = verified(&mut client).await;
    assert!(!found.intact);
    let kinds: Vec<_> = found.chains[0].faults.iter().map(|f| (f.sequence, f.kind.as_str())).collect();
    assert_eq!(kinds, [(1, "EVENT_ALTERED"), (0, "GUARD_MISSING")]);
    let mut stream =
        client.export_events(audit::ExportEventsRequest::default()).await.expect("begins").into_inner();
    let refused = loop {
        match stream.message().await {
            Ok(piece) => assert!(piece.is_some(), "it must not end as if all were well"),
            Err(status) => break status,
        }
    };
    assert_eq!((refused.code(), error(&refused).reason.as_str()), (Code::DataLoss, "AUDIT_LOG_DAMAGED"));
}

#[tokio::test]
async fn a_caller_of_a_tenant_sees_the_chain_of_that_tenant_alone() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut tenant = AuditServiceClient::new(of_tenant(&server, dir.path(), "acme").await);
    assert!(events(&mut tenant, "").await.is_empty());
    assert_eq!(verified(&mut tenant).await.chains[0].chain, "tenants/acme");
    for chain in ["platform", "tenants/other"] {
        let request = audit::ListEventsRequest { chain: chain.into(), ..Default::default() };
        let refused = tenant.list_events(request).await.expect_err(chain);
        assert_eq!(
            (refused.code(), error(&refused).reason.as_str()),
            (Code::PermissionDenied, "OTHER_TENANT")
        );
    }
    let mut platform = server.audit(Role::Admin).await;
    let denied = events_in_time(&mut platform, "reason = OTHER_TENANT", 1).await;
    assert_eq!((denied[0].actor.as_str(), denied[0].tenant.as_str()), ("tenant-admin", "acme"));
    let request = audit::ListEventsRequest { chain: "elsewhere".into(), ..Default::default() };
    assert_eq!(fields(&platform.list_events(request).await.expect_err("no chain")), ["chain"]);
}

#[tokio::test]
async fn legal_holds_are_placed_listed_released_once_and_recorded() {
    let dir = tempfile::tempdir().expect("dir");
    let server = Server::start(dir.path()).await;
    let mut client = server.audit(Role::Admin).await;
    let empty = audit::CreateLegalHoldRequest::default();
    assert_eq!(fields(&client.create_legal_hold(empty).await.expect_err("empty")), ["legal_hold"]);
    let hold = audit::LegalHold { reason: "case 7".into(), ..Default::default() };
    let request = audit::CreateLegalHoldRequest { legal_hold: Some(hold) };
    let placed =
        client.create_legal_hold(request).await.expect("placed").into_inner().legal_hold.expect("set");
    assert_eq!(
        (placed.placed_by.as_str(), placed.chain.as_str(), placed.release_time),
        ("tester", "platform", None)
    );
    let listed = client.list_legal_holds(audit::ListLegalHoldsRequest::default()).await.expect("listed");
    assert_eq!(listed.into_inner().legal_holds, std::slice::from_ref(&placed));
    let release = audit::ReleaseLegalHoldRequest { name: placed.name.clone() };
    client.release_legal_hold(release.clone()).await.expect("released");
    let again = client.release_legal_hold(release).await.expect_err("once");
    assert_eq!((again.code(), error(&again).reason.as_str()), (Code::FailedPrecondition, "HOLD_RELEASED"));
    let told = events(&mut client, &format!("resource = {}", placed.name)).await;
    assert_eq!(told.len(), 2);
}

#[tokio::test]
async fn a_write_whose_event_can_not_be_written_is_not_made() {
    let dir = tempfile::tempdir().expect("dir");
    let file = Database::Sqlite(dir.path().join("full.db"));
    let server = Server::on(dir.path(), &file, hotswap_route::RouteOptions::default()).await;
    let mut routes = server.routes().await;
    routes.create_pool(create_pool("p")).await.expect("pool");
    let db = opened(&file).await;
    let mut tx = db.write_unscoped().await.expect("tx");
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'full'); END";
    tx.execute(full, &[]).await.expect("made");
    tx.commit().await.expect("commit");
    let refused =
        routes.create_route(create_route("r", "pools/p", "/r")).await.expect_err("no event, no route");
    assert_eq!(refused.code(), Code::Internal);
    let none = routes.get_route(wire::GetRouteRequest { name: "routes/r".into() }).await.expect_err("none");
    assert_eq!(none.code(), Code::NotFound);
}
