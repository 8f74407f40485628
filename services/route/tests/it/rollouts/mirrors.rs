//! Whom copies of a route's requests go to: pools, which are kept while they are needed, or backends of the mirror's own.

use hotswap_api::rollout::v1::Landing;
use hotswap_api::route::v1 as wire;
use hotswap_api::route::v1::mirror::Target;
use hotswap_rollout::{Act, ActResult, Exposure, StrategyDraft};
use hotswap_route::RouteOptions;
use prost_types::FieldMask;

use super::Driven;
use super::landing::{ann, create};
use crate::harness::{Server, create_pool, error, fields, pool, route, with_route};

fn to_pool(id: &str) -> Target {
    Target::Pool(format!("pools/{id}"))
}

fn to_own(addresses: &[&str]) -> Target {
    let backends = pool(addresses).backends;
    Target::Inline(wire::InlineBackends { backends, ..wire::InlineBackends::default() })
}

/// "routes/r" to "pools/p", with copies for these; `None`: without a mirror.
fn mirrored(target: Option<Target>) -> wire::Route {
    let mirror = target.map(|target| wire::Mirror { target: Some(target), share_bps: 0 });
    let traffic = Some(wire::Traffic { mirror, ..wire::Traffic::default() });
    wire::Route { name: "routes/r".into(), traffic, ..route("pools/p", "/r") }
}

async fn update(server: &Server, target: Option<Target>, landing: Landing) -> wire::Route {
    let route = Some(mirrored(target));
    let request = wire::UpdateRouteRequest { route, landing: landing.into(), ..Default::default() };
    server.routes().await.update_route(request).await.expect("written").into_inner().route.expect("route")
}

/// Deletes a pool; the error: who needs it.
async fn delete(server: &Server, id: &str) -> Result<(), String> {
    let request = wire::DeletePoolRequest { name: format!("pools/{id}"), ..Default::default() };
    match server.routes().await.delete_pool(request).await {
        Ok(_) => Ok(()),
        Err(status) => {
            assert_eq!(error(&status).reason, "POOL_IN_USE");
            Err(status.message().to_owned())
        }
    }
}

#[tokio::test]
async fn a_pool_that_copies_go_to_is_kept_as_long_as_they_may() {
    let dir = tempfile::tempdir().expect("dir");
    // Nobody drives but the test.
    let by_hand = RouteOptions { rollout_workers: 0, ..RouteOptions::default() };
    let server = Server::with(dir.path(), by_hand).await;
    let mut client = server.routes().await;
    for id in ["p", "m", "next"] {
        client.create_pool(create_pool(id)).await.expect("pool");
    }
    let request = wire::CreateRouteRequest {
        route_id: "r".into(),
        route: Some(mirrored(Some(to_pool("m")))),
        ..Default::default()
    };
    client.create_route(request).await.expect("route");
    assert_eq!(delete(&server, "m").await, Err("pools/m is in use by routes/r".to_owned()));

    let to = update(&server, Some(to_pool("next")), Landing::Draft).await.revision;
    let made = server.route.rollouts().create(&ann(), create("routes/r", to, StrategyDraft::Direct)).await;
    let driven = Driven { rollout: made.expect("created").rollout, ..Driven::new(&server, "routes/r", to) };
    driven.done(Act::Stage).await;
    delete(&server, "next").await.expect_err("the candidate's copies may go there");
    driven.done(Act::Commit).await;
    delete(&server, "next").await.expect_err("copies go there");
    delete(&server, "m").await.expect_err("the way back needs it");
    driven.done(Act::Expose(Exposure::None)).await;
    delete(&server, "next").await.expect("nothing needs it");
    assert_eq!(driven.back(&Act::Withdraw).await, ActResult::Done);
    delete(&server, "m").await.expect_err("copies go there again");
}

#[tokio::test]
async fn a_pool_that_no_copies_go_to_any_more_can_go() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    server.routes().await.create_pool(create_pool("m")).await.expect("pool");
    update(&server, Some(to_pool("m")), Landing::Live).await;
    delete(&server, "m").await.expect_err("in use");
    update(&server, Some(to_own(&["127.0.0.1:9002"])), Landing::Live).await;
    delete(&server, "m").await.expect("nothing needs it");
}

#[tokio::test]
async fn backends_of_a_mirrors_own_are_checked_and_shown_as_any_others() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let mut write = async |target: Option<Target>| {
        let mut route = mirrored(None);
        let mirror = Some(wire::Mirror { target, share_bps: 0 });
        route.traffic = Some(wire::Traffic { mirror, ..wire::Traffic::default() });
        client.update_route(wire::UpdateRouteRequest { route: Some(route), ..Default::default() }).await
    };
    for (target, field) in [
        (None, "route.traffic.mirror"),
        (Some(to_pool("none")), "route.traffic.mirror.pool"),
        (Some(to_own(&[])), "route.traffic.mirror.inline.backends"),
        (Some(to_own(&["a:1", "a"])), "route.traffic.mirror.inline.backends[1].address"),
    ] {
        assert_eq!(fields(&write(target).await.expect_err(field)), [field]);
    }
    let written = write(Some(to_own(&["127.0.0.1:1", "127.0.0.1:2"]))).await.expect("written").into_inner();
    let mirror = written.route.and_then(|route| route.traffic?.mirror?.target);
    let Some(Target::Inline(own)) = mirror else { panic!("backends of its own: {mirror:?}") };
    assert_eq!(own.backends.iter().map(|b| b.share_percent).collect::<Vec<_>>(), [50.0, 50.0]);
}

#[tokio::test]
async fn a_mask_that_sets_the_one_takes_the_other_out() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    update(&server, Some(to_pool("p")), Landing::Live).await;
    let route = Some(mirrored(Some(to_own(&["127.0.0.1:1"]))));
    let update_mask = Some(FieldMask { paths: vec!["traffic.mirror.inline".into()] });
    let request = wire::UpdateRouteRequest { route, update_mask, ..Default::default() };
    let changed = server.routes().await.update_route(request).await.expect("changed").into_inner();
    let target = changed.route.and_then(|route| route.traffic?.mirror?.target);
    assert!(matches!(target, Some(Target::Inline(own)) if own.backends.len() == 1));
}
