//! What stands in the way of a write that is live at once, and of a deletion.

use hotswap_api::rollout::v1::Landing;
use hotswap_api::route::v1 as wire;
use hotswap_auth::{OpContext, Principal, Role};
use hotswap_core::{Revision, Timestamp};
use hotswap_rollout::{
    Act, ActResult, CountSource, Exposure, Level, PlanDraft, RolloutPolicy, StrategyDraft,
};
use hotswap_rollout_host::{Create, List, PutPolicy, WriteOptions};
use hotswap_route::RouteOptions;
use tonic::Code;
use uuid::Uuid;

use super::{Driven, draft, live, prefix};
use crate::harness::{Server, create_pool, create_route, error, pool, route, with_route};

/// Somebody who calls the use cases of rollouts, as RolloutService would.
pub(crate) fn ann() -> OpContext {
    let principal = Principal {
        subject: "ann".into(),
        roles: vec![Role::Admin],
        tenant: None,
        expires: Timestamp(i64::MAX),
    };
    OpContext::new(principal, Uuid::now_v7(), "/hotswap.rollout.v1.RolloutService/CreateRollout", None)
}

pub(crate) fn create(subject: &str, to: i64, strategy: StrategyDraft) -> Create {
    Create {
        subject: subject.to_owned(),
        from: None,
        to: Revision(to),
        plan: PlanDraft::new(strategy),
        sticky: None,
        source: CountSource::Target,
        reason: String::new(),
        options: WriteOptions::default(),
    }
}

fn update(prefix: &str, landing: Landing) -> wire::UpdateRouteRequest {
    let changed = wire::Route { name: "routes/r".into(), ..route("pools/p", prefix) };
    wire::UpdateRouteRequest { route: Some(changed), landing: landing.into(), ..Default::default() }
}

/// Writes live, only to be checked and in earnest, and deletes; each is refused with this reason.
async fn all_refused(server: &Server, reason: &str) {
    let mut client = server.routes().await;
    for validate_only in [true, false] {
        let request = wire::UpdateRouteRequest { validate_only, ..update("/now", Landing::Live) };
        let refused = client.update_route(request).await.expect_err("held up");
        assert_eq!((refused.code(), error(&refused).reason.as_str()), (Code::FailedPrecondition, reason));
    }
    assert_eq!(delete(server).await.expect_err("held up"), reason);
    assert_eq!(prefix(&live(server).await), "/r");
}

async fn delete(server: &Server) -> Result<(), String> {
    let delete = wire::DeleteRouteRequest { name: "routes/r".into(), ..Default::default() };
    let deleted = server.routes().await.delete_route(delete).await;
    deleted.map(drop).map_err(|refused| error(&refused).reason)
}

#[tokio::test]
async fn a_draft_of_what_is_not_live_any_more_undoes_nothing_unless_it_is_asked_to() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let rollouts = server.route.rollouts();
    let (first, second) = (draft(&server, "/first").await, draft(&server, "/second").await);
    let direct = |to| create("routes/r", to, StrategyDraft::Direct);
    let made = rollouts.create(&ann(), direct(first)).await.expect("drafted from what is live");
    while !rollouts.get(&ann(), &made.name()).await.expect("there").record.state.is_ended() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(prefix(&live(&server).await), "/first");
    let refused = rollouts.create(&ann(), direct(second)).await.expect_err("it would undo the first");
    assert!(refused.to_string().contains("was drafted from revision 2, and 3 is live"), "{refused}");
    let meant = Create { from: Some(Revision(first)), ..direct(second) };
    rollouts.create(&ann(), meant).await.expect("it is meant so");
}

#[tokio::test]
async fn what_operators_do_with_backends_makes_no_draft_an_old_one() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let changed = wire::Pool { name: "pools/p".into(), ..pool(&["127.0.0.1:9001", "127.0.0.1:9002"]) };
    let landing = Landing::Draft.into();
    let request = wire::UpdatePoolRequest { pool: Some(changed), landing, ..Default::default() };
    let to = client.update_pool(request).await.expect("draft").into_inner().pool.expect("pool").revision;
    let drain = wire::SetBackendStateRequest {
        pool: "pools/p".into(),
        address: "127.0.0.1:9001".into(),
        state: wire::BackendState::Drained.into(),
        ..Default::default()
    };
    client.set_backend_state(drain).await.expect("drained");
    let direct = create("pools/p", to, StrategyDraft::Direct);
    server.route.rollouts().create(&ann(), direct).await.expect("as good as new");
}

#[tokio::test]
async fn a_pool_that_the_way_back_of_a_commit_needs_is_kept_as_long_as_it_may_be_taken() {
    let dir = tempfile::tempdir().expect("dir");
    // Nobody drives but the test.
    let by_hand = RouteOptions { rollout_workers: 0, ..RouteOptions::default() };
    let server = Server::with(dir.path(), by_hand).await;
    let mut client = server.routes().await;
    for id in ["p", "next"] {
        client.create_pool(create_pool(id)).await.expect("pool");
    }
    client.create_route(create_route("r", "pools/p", "/r")).await.expect("route");
    let changed = wire::Route { name: "routes/r".into(), ..route("pools/next", "/r") };
    let request = wire::UpdateRouteRequest {
        route: Some(changed),
        landing: Landing::Draft.into(),
        ..Default::default()
    };
    let to = client.update_route(request).await.expect("draft").into_inner().route.expect("route").revision;
    let made = server.route.rollouts().create(&ann(), create("routes/r", to, StrategyDraft::Direct)).await;
    let driven = Driven { rollout: made.expect("created").rollout, ..Driven::new(&server, "routes/r", to) };
    driven.done(Act::Commit).await;
    let delete = |id: &str| wire::DeletePoolRequest { name: format!("pools/{id}"), ..Default::default() };
    let refused = client.delete_pool(delete("p")).await.expect_err("the way back needs it");
    assert_eq!(error(&refused).reason, "POOL_IN_USE");
    driven.done(Act::Expose(Exposure::None)).await;
    client.delete_pool(delete("next")).await.expect("nothing needs it");
    assert_eq!(driven.back(&Act::Withdraw).await, ActResult::Done);
}

#[tokio::test]
async fn while_a_rollout_is_under_way_nothing_else_is_live_and_nothing_is_deleted() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let to = draft(&server, "/next").await;
    let rollouts = server.route.rollouts();
    let canary = create("routes/r", to, StrategyDraft::Canary { steps: Vec::new() });
    let made = rollouts.create(&ann(), canary).await.expect("created");
    assert_eq!((made.rollout.from, made.rollout.to), (Some(Revision(2)), Revision(to)));
    all_refused(&server, "ROLLOUT_ACTIVE").await;
    // What is applied again as it is changes nothing, and a draft is not live.
    server.routes().await.update_route(update("/r", Landing::Live)).await.expect("as it is");
    server.routes().await.update_route(update("/later", Landing::Draft)).await.expect("kept");
    // Others are free.
    server.routes().await.create_route(create_route("other", "pools/p", "/o")).await.expect("another one");
    let second = rollouts.create(&ann(), create("routes/r", to, StrategyDraft::Direct)).await;
    assert!(matches!(second, Err(hotswap_rollout_host::Error::Active { .. })));
}

#[tokio::test]
async fn while_everything_is_frozen_nothing_is_live_and_nothing_is_deleted() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    server.route.rollouts().set_freeze(&ann(), true, "the night of the sale").await.expect("frozen");
    all_refused(&server, "ROLLOUTS_FROZEN").await;
    let mut client = server.routes().await;
    let refused = client.create_pool(create_pool("new")).await.expect_err("frozen");
    let why = error(&refused).metadata.get("why").cloned();
    assert_eq!(why.as_deref(), Some("the night of the sale"));
    client.update_route(update("/next", Landing::Draft)).await.expect("a draft waits");
    // In an emergency a backend is drained all the same.
    let drain = wire::SetBackendStateRequest {
        pool: "pools/p".into(),
        address: "127.0.0.1:9001".into(),
        state: wire::BackendState::Drained.into(),
        ..Default::default()
    };
    client.set_backend_state(drain).await.expect("drained");
    server.route.rollouts().set_freeze(&ann(), false, "").await.expect("thawed");
    client.update_route(update("/now", Landing::Live)).await.expect("live");
}

#[tokio::test]
async fn where_the_policy_asks_for_steps_or_approvals_nothing_is_live_at_once() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let level = Level { approvers: hotswap_rollout::Approvers::Role("admin".into()), quorum: 1 };
    for policy in [
        RolloutPolicy { gradual: true, ..RolloutPolicy::default() },
        RolloutPolicy { approvals: vec![level], ..RolloutPolicy::default() },
    ] {
        let put = PutPolicy {
            name: "routes".into(),
            subject: "routes/*".into(),
            policy,
            etag: String::new(),
            validate_only: false,
        };
        server.route.rollouts().put_policy(&ann(), put).await.expect("written");
        let mut client = server.routes().await;
        let refused = client.update_route(update("/now", Landing::Live)).await.expect_err("held up");
        let refused = error(&refused);
        assert_eq!(refused.reason, "LIVE_NOT_ALLOWED");
        assert_eq!(refused.metadata.get("policy").map(String::as_str), Some("rolloutPolicies/routes"));
    }
    // The first revision of a route has no baseline beside it: it is live, policy or not.
    let mut client = server.routes().await;
    client.create_route(create_route("new", "pools/p", "/new")).await.expect("created");
    client.create_pool(create_pool("q")).await.expect("pools have no policy");
    assert_eq!(delete(&server).await, Ok(()));
}

#[tokio::test]
async fn a_write_that_is_live_at_once_is_recorded_as_a_rollout_that_has_ended() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    server.routes().await.update_route(update("/now", Landing::Live)).await.expect("live");
    let list = List { filter: "subject = \"routes/r\"".into(), ..List::default() };
    let (listed, _) = server.route.rollouts().list(&ann(), &list).await.expect("listed");
    let mut seen: Vec<_> =
        listed.iter().map(|v| (v.rollout.from, v.rollout.to.0, v.strategy.as_str())).collect();
    seen.sort();
    assert_eq!(seen, [(None, 2, "live"), (Some(Revision(2)), 3, "live")]);
    assert!(listed.iter().all(|view| view.record.state.word() == "promoted"));
}
