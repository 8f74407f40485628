//! Several replicas: one holds the stream, another one drives.

use std::sync::Arc;

use hotswap_api::route::v1 as wire;
use hotswap_core::{Clock, Ids, Revision, SystemClock, SystemIds};
use hotswap_rollout::{Act, ActResult, Exposure, PlanDraft, StrategyDraft};
use hotswap_rollout_host::Create;
use hotswap_route::RouteOptions;
use hotswap_store::Db;
use hotswap_testkit::{TestDatabase, required};

use super::counts::{measured, report};
use super::edge::{Edge, Manner, hello};
use super::landing::{ann, create};
use super::{Driven, draft, live, prefix, weight};
use crate::harness::{Server, create_pool, create_route, database, postgres, with_route};

#[tokio::test]
async fn a_replica_drives_a_rollout_of_proxies_that_another_one_holds() {
    let dir = tempfile::tempdir().expect("dir");
    let Some(database) = required(TestDatabase::create()) else { return };
    let replica = async || Server::on(dir.path(), &postgres(&database.url()), RouteOptions::default()).await;
    let (a, b) = (replica().await, replica().await);
    let mut client = a.routes().await;
    client.create_pool(create_pool("p")).await.expect("pool");
    client.create_route(create_route("r", "pools/p", "/r")).await.expect("route");
    let to = draft(&a, "/next").await;
    a.route.distributed(Revision(to)).await;
    let edge = Edge::new(&a, "edge").await;
    let bad = Edge::connect(&a, hello("bad"), Manner::RefusesCandidates).await;
    let get = hotswap_api::gateway::v1::GetProxyRequest { name: "proxies/bad".into() };
    let mut fleet = b.fleet().await;
    while fleet.get_proxy(get.clone()).await.is_err() {
        tokio::task::yield_now().await;
    }

    let refused = Driven::new(&b, "routes/r", to);
    let ActResult::Refused(why) = refused.act(&Act::Stage).await else { panic!("refused") };
    assert!(why.contains("proxies/bad"), "{why}");
    refused.done(Act::Withdraw).await;
    drop(bad);

    let driven = Driven::new(&b, "routes/r", to);
    driven.done(Act::Expose(weight(1_000))).await;
    let candidate = edge.candidate("routes/r").expect("it has taken hold");
    let tally = |requests| hotswap_api::gateway::v1::ArmTally {
        all: Some(hotswap_api::gateway::v1::LatencyCounts { requests, ..Default::default() }),
        buckets: Vec::new(),
    };
    report(&edge, &driven, (candidate.epoch, tally(10), tally(90))).await;
    let counts = measured(&driven, |c| c.candidate.all.requests == 10).await;
    assert_eq!(counts.baseline.all.requests, 90);
    driven.done(Act::Commit).await;
    assert_eq!((prefix(&live(&b).await), driven.out().await), ("/next", Exposure::Full));
    let list = wire::ListRoutesRequest::default();
    let listed = b.routes().await.list_routes(list).await.expect("listed").into_inner().routes;
    assert_eq!(listed[0].revision, to);
}

#[tokio::test]
async fn news_is_stored_by_a_replica_that_tells_nobody() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let to = draft(&server, "/next").await;
    let plan = PlanDraft { judge: None, ..PlanDraft::new(StrategyDraft::Direct) };
    let input = Create { plan, ..create("routes/r", to, StrategyDraft::Direct) };
    let rollouts = server.route.rollouts();
    let made = rollouts.create(&ann(), input).await.expect("created");
    while rollouts.get(&ann(), &made.name()).await.expect("there").ended_at.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let db = Db::open(&database(dir.path()), &clock, &ids).await.expect("opens");
    let mut tx = db.read().await.expect("a transaction");
    let sql = "SELECT kind FROM outbox_messages WHERE fanned_out = 0 ORDER BY kind";
    let rows = tx.fetch_all(sql, &[]).await.expect("rows");
    let kinds: Vec<_> = rows.iter().map(|row| row.text("kind").expect("text")).collect();
    assert_eq!(kinds, ["rollout.promoted", "rollout.started"], "for whoever has channels");
}
