//! What the service goes through: databases that go and come back, proxies that do not read, crowds, odd clocks.

use std::sync::Arc;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::watch_config_response::Message as Hear;
use hotswap_api::route::v1 as route;
use hotswap_core::{ManualClock, Revision, Timestamp};
use hotswap_route::RouteOptions;
use hotswap_test_servers::{Postgres, PostgresOptions};
use hotswap_testkit::{Wire, required};
use tonic::Code;

use crate::harness::{Server, create_pool, create_route, error, postgres, with_route};
use crate::watch::{FakeProxy, hello, named};

fn own() -> Option<Postgres> {
    required(Postgres::start(PostgresOptions { durable: true, ..PostgresOptions::default() }))
}

/// A URL that leads through a wire.
fn through(wire: &Wire) -> String {
    format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", wire.address().port())
}

async fn update(server: &Server, priority: i32) -> Result<route::Route, tonic::Status> {
    let name = "routes/r".to_owned();
    let found = server.routes().await.get_route(route::GetRouteRequest { name }).await?.into_inner();
    let route = route::Route { priority, ..found.route.expect("route") };
    let update = route::UpdateRouteRequest { route: Some(route), ..Default::default() };
    Ok(server.routes().await.update_route(update).await?.into_inner().route.expect("route"))
}

/// Tries until the store is there again.
async fn until_written(server: &Server, priority: i32) -> route::Route {
    loop {
        match update(server, priority).await {
            Ok(route) => return route,
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
        }
    }
}

async fn seeded(server: &Server) {
    let mut client = server.routes().await;
    client.create_pool(create_pool("p")).await.expect("pool");
    client.create_route(create_route("r", "pools/p", "/r")).await.expect("route");
    server.route.distributed(Revision(2)).await;
}

#[tokio::test]
async fn a_lost_database_is_unavailable_with_a_hint_and_comes_back_by_itself() {
    let Some(mut database) = own() else { return };
    let dir = tempfile::tempdir().expect("dir");
    let server = Server::on(dir.path(), &postgres(&database.url("postgres")), RouteOptions::default()).await;
    seeded(&server).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (nonce, chunk) = proxy.snapshot().await;
    proxy.ack(&nonce, &chunk.at.expect("at")).await;

    database.kill().expect("killed");
    let refused = update(&server, 1).await.expect_err("there is no database");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(error(&refused).retry_after.is_some());

    database.start_again().expect("starts");
    let written = until_written(&server, 2).await;
    assert_eq!(written.revision, 3, "what was refused left nothing");
    // The same stream goes on.
    let (_, delta) = proxy.delta().await;
    assert_eq!((delta.from, delta.to.expect("to").revision), (2, 3));
}

#[tokio::test]
async fn a_cut_and_a_frozen_network_to_the_database_are_survived() {
    let Some(database) = own() else { return };
    let dir = tempfile::tempdir().expect("dir");
    let wire = Wire::to(database.socket());
    let server = Server::on(dir.path(), &postgres(&through(&wire)), RouteOptions::default()).await;
    seeded(&server).await;
    wire.cut();
    let refused = update(&server, 1).await.expect_err("cut");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    wire.restore();
    let revision = until_written(&server, 2).await.revision;
    wire.freeze();
    let refused = update(&server, 3).await.expect_err("frozen");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    wire.restore();
    assert!(until_written(&server, 4).await.revision > revision);
}

#[tokio::test]
async fn a_fail_over_to_a_copy_that_lags_gives_every_proxy_what_is_there() {
    let Some(mut first) = own() else { return };
    let dir = tempfile::tempdir().expect("dir");
    let wire = Wire::to(first.socket());
    let server = Server::on(dir.path(), &postgres(&through(&wire)), RouteOptions::default()).await;
    seeded(&server).await;
    let copy = first.copy().expect("copied");
    let lost = update(&server, 1).await.expect("written").revision;
    server.route.distributed(Revision(lost)).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (nonce, chunk) = proxy.snapshot().await;
    assert_eq!(chunk.at.as_ref().expect("at").revision, lost);
    proxy.ack(&nonce, &chunk.at.expect("at")).await;

    first.kill().expect("killed");
    wire.lead_to(copy.socket());
    // As many writes as were lost, and one more: revisions alone do not tell the two histories apart.
    until_written(&server, 7).await;
    until_written(&server, 8).await;
    loop {
        match proxy.next().await.1 {
            Hear::Reset(_) => break,
            Hear::Bookmark(_) => {}
            other => panic!("expected a reset: {other:?}"),
        }
    }
    let (nonce, chunk) = proxy.snapshot().await;
    let mut at = chunk.at.expect("at");
    let mut resources = chunk.resources;
    proxy.ack(&nonce, &at).await;
    while at.revision < 4 {
        let (nonce, delta) = proxy.delta().await;
        assert_eq!(delta.from, at.revision);
        (at, resources) = (delta.to.expect("to"), delta.upserts);
        proxy.ack(&nonce, &at).await;
    }
    // Nor is anything kept in memory of the history that is gone.
    let get = route::GetRouteRequest { name: "routes/r".into() };
    let found = server.routes().await.get_route(get).await.expect("there").into_inner().route;
    assert_eq!(found.expect("route").priority, 8);
    let route = resources.into_iter().find(|r| r.name == "routes/r").expect("there");
    assert!(matches!(route.spec, Some(wire::resource::Spec::Route(r)) if r.priority == 8));
}

#[tokio::test]
async fn a_proxy_that_never_reads_holds_up_nobody_and_no_drain() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    // More than the buffers of a stream take.
    let long = "x".repeat(60_000);
    for i in 0..40 {
        let mut create = create_route(&format!("long{i}"), "pools/p", &format!("/long{i}"));
        create.route.as_mut().expect("route").labels = [("a".to_owned(), long[..200].to_owned())].into();
        create.route.as_mut().expect("route").display_name = long[..200].to_owned();
        client.create_route(create).await.expect("route");
    }
    let deaf = FakeProxy::connect(&server, named("deaf")).await;
    let mut good = FakeProxy::connect(&server, named("good")).await;
    let (nonce, chunk) = good.snapshot().await;
    good.ack(&nonce, &chunk.at.expect("at")).await;
    update(&server, 9).await.expect("written");
    good.delta().await;
    drop(good);
    server.stop().await;
    drop(deaf);
}

#[tokio::test]
async fn a_thousand_proxies_that_come_back_at_once_all_get_what_they_miss() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut first = FakeProxy::connect(&server, hello(None, &[])).await;
    let (_, chunk) = first.snapshot().await;
    drop(first);
    let revision = update(&server, 1).await.expect("written").revision;
    server.route.distributed(Revision(revision)).await;
    let channels = futures_util::future::join_all((0..20).map(|_| server.distribution())).await;
    let come_back = (0..1_000).map(|i| {
        let client = channels[i % channels.len()].clone();
        let hello = wire::Hello { proxy: format!("p{i}"), ..hello(chunk.at.clone(), &chunk.digest) };
        async move {
            let mut proxy = FakeProxy::over(client, hello).await;
            let (nonce, delta) = proxy.delta().await;
            assert_eq!((delta.from, delta.upserts.len()), (2, 1));
            proxy.ack(&nonce, &delta.to.expect("to")).await;
            proxy
        }
    });
    let proxies = futures_util::future::join_all(come_back).await;
    let wait = wire::WaitForRevisionRequest { revision, quorum: 1_000, ..Default::default() };
    let reached = server.fleet().await.wait_for_revision(wait).await.expect("answers").into_inner();
    assert!(reached.reached);
    drop(proxies);
}

#[tokio::test]
async fn a_clock_that_jumps_changes_neither_order_nor_delivery() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000_000)));
    let database = hotswap_store::Database::Sqlite(dir.path().join("hotswap.db"));
    let server = Server::at(dir.path(), &database, RouteOptions::default(), Arc::clone(&clock) as _).await;
    seeded(&server).await;
    let mut proxy = FakeProxy::connect(&server, hello(None, &[])).await;
    let (nonce, chunk) = proxy.snapshot().await;
    proxy.ack(&nonce, &chunk.at.expect("at")).await;
    let year = 365 * 86_400 * 1_000_000;
    for (i, jump) in [year, -2 * year, year / 2].into_iter().enumerate() {
        clock.advance_micros(jump);
        let want = 3 + i64::try_from(i).expect("small");
        assert_eq!(
            update(&server, i32::try_from(want).expect("small")).await.expect("written").revision,
            want
        );
        let (nonce, delta) = proxy.delta().await;
        let to = delta.to.expect("to");
        assert_eq!((delta.from, to.revision), (want - 1, want));
        proxy.ack(&nonce, &to).await;
    }
}

#[tokio::test]
async fn a_place_that_was_compacted_is_reset_and_a_later_one_is_not() {
    let dir = tempfile::tempdir().expect("dir");
    let database = hotswap_store::Database::Sqlite(dir.path().join("hotswap.db"));
    let options = RouteOptions { kept_changes: 3, ..RouteOptions::default() };
    let server = Server::on(dir.path(), &database, RouteOptions::default()).await;
    seeded(&server).await;
    let mut early = FakeProxy::connect(&server, hello(None, &[])).await;
    let (_, old) = early.snapshot().await;
    for priority in 1..=8 {
        update(&server, priority).await.expect("written");
    }
    server.route.distributed(Revision(10)).await;
    let mut late = FakeProxy::connect(&server, hello(None, &[])).await;
    let (_, new) = late.snapshot().await;
    drop((early, late));
    server.stop().await;

    let server = Server::on(dir.path(), &database, options).await;
    let mut proxy = FakeProxy::connect(&server, hello(old.at, &old.digest)).await;
    match proxy.next().await.1 {
        Hear::Reset(reset) => assert_eq!(reset.why(), wire::reset::Why::Compacted),
        other => panic!("expected a reset: {other:?}"),
    }
    let mut proxy = FakeProxy::connect(&server, hello(new.at, &new.digest)).await;
    assert!(matches!(proxy.next().await.1, Hear::Bookmark(_)));
}

#[tokio::test]
async fn a_snapshot_refused_as_a_mass_deletion_is_not_sent_again_until_something_changes() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let foreign = wire::ResumeToken { store_id: "other".into(), revision: 7 };
    let mut proxy = FakeProxy::connect(&server, hello(Some(foreign), &[1; 32])).await;
    assert!(matches!(proxy.next().await.1, Hear::Reset(_)));
    let (nonce, chunk) = proxy.snapshot().await;
    assert!(!chunk.allow_mass_delete);
    let fault = wire::ResourceError { reason: "MASS_DELETE".into(), ..Default::default() };
    proxy.refuse(wire::Refusal { nonce, errors: vec![fault], whole: true }).await;
    // Nothing comes by itself: the next message belongs to the next change.
    let revision = update(&server, 1).await.expect("written").revision;
    let (_, chunk) = proxy.snapshot().await;
    assert_eq!(chunk.at.expect("at").revision, revision);
    let get = wire::GetProxyRequest { name: "proxies/edge-1".into() };
    let seen = server.fleet().await.get_proxy(get).await.expect("known").into_inner().proxy.expect("proxy");
    assert_eq!(seen.refusals.iter().map(|r| r.reason.as_str()).collect::<Vec<_>>(), ["MASS_DELETE"]);
}
