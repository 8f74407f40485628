//! Routes that split their requests between pools: what is checked of them, what is told, and which pools are kept.

use hotswap_api::rollout::v1::Landing;
use hotswap_api::route::v1 as wire;
use hotswap_core::Revision;
use hotswap_rollout::{Act, ActResult, Exposure, StrategyDraft};
use hotswap_route::RouteOptions;
use prost_types::FieldMask;
use tonic::Status;

use super::Driven;
use super::landing::{ann, create};
use crate::harness::{Server, create_pool, error, fields, route, with_route};

/// "routes/r", which splits requests between these pools.
fn split(pools: &[(&str, Option<u32>)]) -> wire::Route {
    let weighted =
        |(id, weight): &(&str, _)| wire::WeightedPool { pool: format!("pools/{id}"), weight: *weight };
    let split = pools.iter().map(weighted).collect();
    let action = Some(wire::route::Action::Forward(wire::Forward { split, ..Default::default() }));
    wire::Route { name: "routes/r".into(), action, ..route("pools/p", "/r") }
}

fn forward(route: &wire::Route) -> &wire::Forward {
    match &route.action {
        Some(wire::route::Action::Forward(forward)) => forward,
        other => panic!("{other:?}"),
    }
}

async fn write(server: &Server, route: wire::Route, landing: Landing) -> Result<wire::Route, Status> {
    let request =
        wire::UpdateRouteRequest { route: Some(route), landing: landing.into(), ..Default::default() };
    let written = server.routes().await.update_route(request).await?;
    Ok(written.into_inner().route.expect("route"))
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

async fn pools(server: &Server, ids: &[&str]) {
    for id in ids {
        server.routes().await.create_pool(create_pool(id)).await.expect("pool");
    }
}

#[tokio::test]
async fn every_fault_of_a_split_is_named_with_its_place() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    pools(&server, &["q"]).await;
    for (pools, named) in [
        (&[("p", None)][..], "route.forward.split"),
        (&[("p", None), ("none", None)], "route.forward.split[1].pool"),
        (&[("p", None), ("p", None)], "route.forward.split[1].pool"),
        (&[("p", Some(1_000_001)), ("q", None)], "route.forward.split[0].weight"),
        (&[("p", Some(0)), ("q", Some(0))], "route.forward.split"),
    ] {
        let refused = write(&server, split(pools), Landing::Live).await.expect_err(named);
        assert_eq!(fields(&refused), [named]);
        let request =
            wire::UpdateRouteRequest { route: Some(split(pools)), validate_only: true, ..Default::default() };
        let refused = server.routes().await.update_route(request).await.expect_err(named);
        assert_eq!(fields(&refused), [named], "validated alone");
    }
    let mut both = split(&[("p", None), ("q", None)]);
    if let Some(wire::route::Action::Forward(forward)) = &mut both.action {
        forward.target = Some(wire::forward::Target::Pool("pools/p".into()));
    }
    assert_eq!(fields(&write(&server, both, Landing::Live).await.expect_err("both")), ["route.forward"]);
}

#[tokio::test]
async fn a_split_is_kept_told_and_compared() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, before) = with_route(dir.path()).await;
    pools(&server, &["q"]).await;
    let written = write(&server, split(&[("p", Some(3)), ("q", None)]), Landing::Live).await.expect("ok");
    assert_eq!(forward(&written), forward(&split(&[("p", Some(3)), ("q", None)])));
    let mut client = server.routes().await;
    let compare = wire::DiffRouteRevisionsRequest {
        name: "routes/r".into(),
        from: before.revision,
        to: written.revision,
    };
    let differences = client.diff_route_revisions(compare).await.expect("compared").into_inner().differences;
    let paths: Vec<_> = differences.iter().map(|d| d.path.as_str()).collect();
    let [first, second] = ["forward.split[0].pool", "forward.split[0].weight"];
    assert_eq!(paths, ["forward.pool", first, second, "forward.split[1].pool"]);

    // A mask takes one way to say it for the other, in both directions.
    let masked = |path: &str, route| wire::UpdateRouteRequest {
        update_mask: Some(FieldMask { paths: vec![path.to_owned()] }),
        route: Some(route),
        ..Default::default()
    };
    let to_one = wire::Route { name: "routes/r".into(), ..route("pools/q", "/r") };
    let one = client.update_route(masked("forward.pool", to_one)).await.expect("one").into_inner();
    assert!(forward(&one.route.expect("route")).split.is_empty());
    let again = split(&[("p", None), ("q", None)]);
    let again = client.update_route(masked("forward.split", again)).await.expect("split").into_inner();
    let route = again.route.expect("route");
    assert_eq!((forward(&route).target.clone(), forward(&route).split.len()), (None, 2));

    let of = |filter: &str| wire::ListRoutesRequest { filter: filter.to_owned(), ..Default::default() };
    let found = client.list_routes(of("pool = \"pools/q\"")).await.expect("listed").into_inner().routes;
    assert_eq!(found.len(), 1, "it is found by each of its pools");

    server.route.distributed(Revision(route.revision)).await;
    let asked = wire::ExplainRequestRequest { path: "/r".into(), ..Default::default() };
    let told = client.explain_request(asked).await.expect("explained").into_inner();
    let shares: Vec<_> = told.split.iter().map(|s| (s.pool.as_str(), s.share_percent)).collect();
    assert_eq!((told.pool.as_str(), shares), ("", vec![("pools/p", 50.0), ("pools/q", 50.0)]));
}

#[tokio::test]
async fn pools_of_a_split_are_kept_as_long_as_requests_may_go_there() {
    let dir = tempfile::tempdir().expect("dir");
    // Nobody drives but the test.
    let by_hand = RouteOptions { rollout_workers: 0, ..RouteOptions::default() };
    let server = Server::with(dir.path(), by_hand).await;
    pools(&server, &["p", "o", "old", "next", "other"]).await;
    let request = wire::CreateRouteRequest {
        route_id: "r".into(),
        route: Some(split(&[("p", None), ("other", Some(0))])),
        ..Default::default()
    };
    server.routes().await.create_route(request).await.expect("route");
    assert_eq!(delete(&server, "other").await, Err("pools/other is in use by routes/r".to_owned()));
    delete(&server, "o").await.expect("another's name only begins so");
    write(&server, split(&[("p", None), ("old", None)]), Landing::Live).await.expect("written");
    delete(&server, "other").await.expect("nothing needs it");

    let to =
        write(&server, split(&[("next", None), ("p", None)]), Landing::Draft).await.expect("ok").revision;
    let made = server.route.rollouts().create(&ann(), create("routes/r", to, StrategyDraft::Direct)).await;
    let driven = Driven { rollout: made.expect("created").rollout, ..Driven::new(&server, "routes/r", to) };
    driven.done(Act::Stage).await;
    delete(&server, "next").await.expect_err("the candidate's requests may go there");
    driven.done(Act::Commit).await;
    delete(&server, "next").await.expect_err("requests go there");
    delete(&server, "old").await.expect_err("the way back needs it");
    driven.done(Act::Expose(Exposure::None)).await;
    delete(&server, "next").await.expect("nothing needs it");
    assert_eq!(driven.back(&Act::Withdraw).await, ActResult::Done);
    delete(&server, "old").await.expect_err("requests may go there again");
}
