//! What the rollout of a route lives through, with the engine driving it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hotswap_api::gateway::v1::Hello;
use hotswap_auth::{OpContext, Principal, Role};
use hotswap_core::{Clock, Ids, Revision, SystemClock, SystemIds, Timestamp};
use hotswap_rollout::{
    Approvers, CanaryStepDraft, ContentHash, Level, Millis, Order, PlanDraft, RollbackDraft, RolloutId,
    StrategyDraft,
};
use hotswap_rollout_host::{Create, Error, Page, Pending, SendCommand, View};
use hotswap_route::RouteOptions;
use hotswap_store::Db;
use uuid::Uuid;

use super::driven::{canary, of};
use super::edge::{Edge, Manner, hello};
use super::landing::{ann, create};
use super::{draft, live, prefix};
use crate::harness::{Server, create_pool, create_route, database, with_route};

async fn seen(server: &Server, id: RolloutId) -> View {
    server.route.rollouts().get(&ann(), &id.to_string()).await.expect("there")
}

/// How it stands once it has ended.
async fn ended(server: &Server, id: RolloutId) -> View {
    let wait = async {
        let mut watching = server.route.rollouts().watch(&ann(), &id.to_string()).await.expect("watched");
        while watching.next().await.expect("a state").is_some() {}
    };
    tokio::time::timeout(Duration::from_secs(150), wait).await.expect("it ends by itself");
    seen(server, id).await
}

fn outcome(view: &View) -> String {
    format!("{:?}", view.record.state)
}

#[tokio::test]
async fn a_gateway_that_refuses_the_candidate_ends_its_rollout_and_is_named() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, before) = with_route(dir.path()).await;
    let to = draft(&server, "/next").await;
    let good = Edge::new(&server, "good").await;
    let _bad = Edge::connect(&server, hello("bad"), Manner::RefusesCandidates).await;
    let made = server.route.rollouts().create(&ann(), canary(to)).await.expect("created");
    let view = ended(&server, made.rollout.id).await;
    assert_eq!(view.record.state.word(), "rolled_back");
    let why = outcome(&view);
    for part in ["proxies/bad", "routes/r", "candidate.route", "it does not like it"] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(live(&server).await, before);
    assert!(good.candidate("routes/r").is_none());
}

#[tokio::test]
async fn gateways_that_come_late_and_cant_take_the_candidate_hold_up_no_gradual_way_back() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, before) = with_route(dir.path()).await;
    let to = draft(&server, "/next").await;
    let good = Edge::new(&server, "good").await;
    let step = CanaryStepDraft { share_bp: 5_000, bake_ms: Millis(0), gate: true };
    let strategy = StrategyDraft::Canary { steps: vec![step] };
    let rollback = RollbackDraft::Gradual { steps: 3, every_ms: Millis(1) };
    let plan = PlanDraft { judge: None, rollback, ..PlanDraft::new(strategy.clone()) };
    let input = Create { plan, ..create("routes/r", to, strategy) };
    let made = server.route.rollouts().create(&ann(), input).await.expect("created");
    while seen(&server, made.rollout.id).await.record.state.word() != "waiting_for_promotion" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _bad = Edge::connect(&server, hello("bad"), Manner::RefusesCandidates).await;
    let old = Hello { features: Vec::new(), ..hello("old") };
    let _old = Edge::connect(&server, old, Manner::Takes).await;
    let order = Order::Rollback { why: "it fails".into(), instant: false };
    let name = made.name();
    let command = SendCommand { name, etag: String::new(), order, why: String::new(), request_id: None };
    server.route.rollouts().send(&ann(), command).await.expect("taken");
    assert_eq!(ended(&server, made.rollout.id).await.record.state.word(), "rolled_back");
    assert_eq!(live(&server).await, before);
    assert!(good.candidate("routes/r").is_none());
}

#[tokio::test]
async fn a_gateway_that_died_with_the_control_plane_is_waited_for_a_while_and_no_longer() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    server.stop().await;
    // The process was killed, and the gateway with it: its last word is that it is connected.
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let db = Db::open(&database(dir.path()), &clock, &ids).await.expect("opens");
    let mut tx = db.write("fleet").await.expect("a transaction");
    let revision = tx.next_revision("fleet").await.expect("a revision");
    let dead = "INSERT INTO gateway_proxies (name, revision, replica, session, connected, instance_id, labels, \
                build_version, refusals, connected_at, last_seen_at, backends, features) VALUES ('dead', $1, \
                'before', 1, 1, 'dead/1', '{}', '1', '[]', 0, 0, '{\"total\":0,\"listed\":[]}', '[\"rollouts\"]')";
    tx.execute(dead, &[revision.into()]).await.expect("written");
    tx.commit().await.expect("commits");
    db.close().await;
    let server = Server::start(dir.path()).await;
    let to = draft(&server, "/next").await;
    let plan = PlanDraft { judge: None, ..PlanDraft::new(StrategyDraft::Direct) };
    let input = Create { plan, ..create("routes/r", to, StrategyDraft::Direct) };
    let made = server.route.rollouts().create(&ann(), input).await.expect("created");
    assert_eq!(ended(&server, made.rollout.id).await.record.state.word(), "promoted");
    assert_eq!(prefix(&live(&server).await), "/next");
}

#[tokio::test]
async fn a_gateway_that_never_takes_it_ends_no_way_back() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, before) = with_route(dir.path()).await;
    let to = draft(&server, "/next").await;
    let _stuck = Edge::connect(&server, hello("stuck"), Manner::Dawdles).await;
    let act_deadline_ms = Millis(2_000);
    let plan = PlanDraft { judge: None, act_deadline_ms, ..PlanDraft::new(StrategyDraft::Direct) };
    let input = Create { plan, ..create("routes/r", to, StrategyDraft::Direct) };
    let made = server.route.rollouts().create(&ann(), input).await.expect("created");
    assert_eq!(ended(&server, made.rollout.id).await.record.state.word(), "rolled_back");
    let page = Page { page_size: 100, ..Page::default() };
    let (events, _) = server.route.rollouts().events(&ann(), &made.name(), &page).await.expect("events");
    let left = events.iter().find(|e| e.kind == "left_behind").expect("it is told").event.to_string();
    assert!(left.contains("proxies/stuck must still take it"), "{left}");
    // The subject is free again.
    assert_eq!(live(&server).await, before);
    let delete = hotswap_api::route::v1::DeleteRouteRequest { name: "routes/r".into(), ..Default::default() };
    server.routes().await.delete_route(delete).await.expect("deleted");
}

/// A machine whose clock is so far off, in microseconds.
#[derive(Debug)]
struct Off(i64);

impl Clock for Off {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_micros(self.0)
    }
}

/// A server with "routes/r" whose clock is so far off.
async fn with_clock(dir: &Path, off: i64) -> Server {
    let server = Server::at(dir, &database(dir), RouteOptions::default(), Arc::new(Off(off))).await;
    let mut client = server.routes().await;
    client.create_pool(create_pool("p")).await.expect("pool");
    client.create_route(create_route("r", "pools/p", "/r")).await.expect("route");
    server.route.distributed(Revision(2)).await;
    server
}

#[tokio::test]
async fn a_clock_that_is_an_hour_off_changes_no_verdict_and_no_time() {
    const HOUR: i64 = 3_600_000_000;
    for (off, failing, word) in [(HOUR, 10, "promoted"), (-HOUR, 10, "promoted"), (HOUR, 300, "rolled_back")]
    {
        let dir = tempfile::tempdir().expect("dir");
        let server = with_clock(dir.path(), off).await;
        let (view, _) = of(&server, failing).await;
        assert_eq!(view.record.state.word(), word, "{off}");
        // Times are the database's, which here is the machine's.
        let took = view.ended_at.expect("ended").0 - view.rollout.created_at.0;
        assert!((0..HOUR / 10).contains(&took), "{off}: {took}");
        let age = SystemClock.now().0 - view.rollout.created_at.0;
        assert!((0..HOUR / 10).contains(&age), "{off}: {age}");
    }
}

#[tokio::test]
async fn a_route_that_vanishes_from_the_store_ends_its_rollout() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let to = draft(&server, "/next").await;
    let _edge = Edge::new(&server, "edge").await;
    let made = server.route.rollouts().create(&ann(), canary(to)).await.expect("created");
    // No call does that while a rollout is under way; a person with a shell may.
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let db = Db::open(&database(dir.path()), &clock, &ids).await.expect("opens");
    let mut tx = db.write("gateway").await.expect("a transaction");
    tx.execute("DELETE FROM gateway_resources WHERE name = 'routes/r'", &[]).await.expect("deleted");
    tx.commit().await.expect("commits");
    let view = ended(&server, made.rollout.id).await;
    assert!(["rolled_back", "not_started"].contains(&view.record.state.word()), "{}", outcome(&view));
    assert!(outcome(&view).contains("SubjectGone"), "{}", outcome(&view));
    db.close().await;
}

/// Somebody else who may approve.
fn bob() -> OpContext {
    let principal = Principal {
        subject: "bob".into(),
        roles: vec![Role::Admin],
        tenant: None,
        expires: Timestamp(i64::MAX),
    };
    OpContext::new(principal, Uuid::now_v7(), "/hotswap.rollout.v1.RolloutService/ApproveRollout", None)
}

/// The hash of what waits for approval, as an approver sees it.
async fn hash(server: &Server) -> String {
    let all = Pending { mine: false, ..Pending::default() };
    let (pending, _) = server.route.rollouts().pending(&bob(), &all).await.expect("a list");
    pending[0].content_hash.clone()
}

async fn approve(server: &Server, by: &OpContext, view: &View, hash: String) -> Result<View, Error> {
    let order = Order::Approve { content: ContentHash(hash) };
    let command =
        SendCommand { name: view.name(), etag: String::new(), order, why: String::new(), request_id: None };
    server.route.rollouts().send(by, command).await
}

#[tokio::test]
async fn what_was_approved_goes_live_and_nothing_that_was_written_later() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let to = draft(&server, "/next").await;
    let level = Level { approvers: Approvers::Role("admin".into()), quorum: 1 };
    let plan = PlanDraft { approvals: vec![level], judge: None, ..PlanDraft::new(StrategyDraft::Direct) };
    let input = Create { plan, ..create("routes/r", to, StrategyDraft::Direct) };
    let made = server.route.rollouts().create(&ann(), input).await.expect("created");
    let asked = hash(&server).await;
    let own = approve(&server, &ann(), &made, asked.clone()).await.expect_err("it is hers");
    assert!(own.to_string().contains("nobody approves their own change"), "{own}");
    // Somebody edits meanwhile: that is another revision, with another hash, and no part of this rollout.
    let later = draft(&server, "/sneaked-in").await;
    assert!(later > to);
    assert_eq!(hash(&server).await, asked);
    let stale = approve(&server, &bob(), &made, "0".repeat(64)).await.expect_err("he saw something else");
    assert!(matches!(stale, Error::ContentChanged { .. }), "{stale}");
    approve(&server, &bob(), &made, asked).await.expect("counts");
    let view = ended(&server, made.rollout.id).await;
    assert_eq!(view.record.state.word(), "promoted");
    let route = live(&server).await;
    assert_eq!((prefix(&route), route.revision), ("/next", to));
}
