//! The acts of the engine: once or twice, forward and back, and who holds them up.

use hotswap_api::gateway::v1::Hello;
use hotswap_api::route::v1 as wire;
use hotswap_core::Revision;
use hotswap_rollout::{Act, ActResult, Cohort, CohortDraft, CohortKey, Exposure};
use tonic::Code;

use super::edge::{Edge, Manner, hello};
use super::{Driven, draft, live, prefix, weight, with_draft};
use crate::harness::{Server, create_pool, error, route};

/// The newest revision of the configuration.
async fn head(server: &Server) -> i64 {
    let list = wire::DiffRouteRevisionsRequest { name: "routes/r".into(), from: 0, to: i64::MAX / 2 };
    let refused = server.routes().await.diff_route_revisions(list).await.expect_err("far away");
    error(&refused).metadata.get("newest").expect("the newest").parse().expect("a number")
}

#[tokio::test]
async fn a_commit_makes_the_draft_live_with_one_delta() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let edge = Edge::new(&server, "edge").await;
    let before = live(&server).await;
    driven.done(Act::Stage).await;
    driven.done(Act::Expose(Exposure::Full)).await;
    let seen = edge.has().deltas.len();
    driven.done(Act::Commit).await;
    let held = edge.has();
    assert_eq!(held.deltas[seen..], [["routes/r"]]);
    assert!(held.resources["routes/r"].candidate.is_none());
    let route = live(&server).await;
    let standing = route.standing.clone().expect("standing");
    assert_eq!((prefix(&route), route.revision, standing.live_revision), ("/next", 3, 3));
    assert_eq!((standing.rollout.as_str(), held.resources["routes/r"].version), ("", held.revision));
    assert_ne!(route.etag, before.etag);

    // What was live when is in the history.
    let mut client = server.routes().await;
    let diff = |to| wire::DiffRouteRevisionsRequest { name: "routes/r".into(), from: 0, to };
    let newest = client.diff_route_revisions(diff(0)).await.expect("compared").into_inner();
    assert_eq!((newest.from, newest.to), (2, 3));
    let then = client.diff_route_revisions(diff(4)).await.expect("compared").into_inner();
    assert_eq!((then.from, then.to), (0, 2));
}

#[tokio::test]
async fn a_withdrawal_leaves_exactly_the_baseline() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let edge = Edge::new(&server, "edge").await;
    let (before, held) = (live(&server).await, edge.has());
    driven.done(Act::Stage).await;
    driven.done(Act::Expose(weight(5_000))).await;
    driven.done(Act::Expose(Exposure::None)).await;
    driven.done(Act::Withdraw).await;
    assert_eq!((live(&server).await, driven.out().await), (before, Exposure::None));
    let (was, is) = (&held.resources["routes/r"], &edge.has().resources["routes/r"]);
    assert_eq!((&was.spec, &is.candidate), (&is.spec, &None));
}

#[tokio::test]
async fn each_act_and_its_undoing_done_twice_is_as_done_once() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let _edge = Edge::new(&server, "edge").await;
    let acts = [
        Act::Stage,
        Act::Expose(weight(1_000)),
        Act::Expose(Exposure::Full),
        Act::Commit,
        Act::Expose(weight(5_000)),
        Act::Expose(Exposure::None),
        Act::Withdraw,
    ];
    for (act, at) in acts.iter().zip(4..) {
        driven.done(act.clone()).await;
        let once = (head(&server).await, live(&server).await, driven.out().await);
        driven.done(act.clone()).await;
        let twice = (head(&server).await, live(&server).await, driven.out().await);
        assert_eq!((&once, once.0), (&twice, at), "{act}");
    }
    assert_eq!((prefix(&live(&server).await), live(&server).await.revision), ("/r", 2));
}

#[tokio::test]
async fn a_commit_that_is_taken_back_brings_the_baseline_back() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let edge = Edge::new(&server, "edge").await;
    let before = live(&server).await;
    driven.done(Act::Commit).await;
    assert_eq!(driven.out().await, Exposure::Full);
    driven.done(Act::Expose(Exposure::None)).await;
    driven.done(Act::Withdraw).await;
    let after = live(&server).await;
    assert_eq!((after.revision, &after.matches, &after.etag), (2, &before.matches, &before.etag));
    assert!(edge.candidate("routes/r").is_none());
}

#[tokio::test]
async fn a_driver_that_comes_too_late_changes_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, mut driven) = with_draft(dir.path()).await;
    driven.fence = 7;
    driven.done(Act::Expose(weight(1_000))).await;
    let late = Driven { fence: 6, target: driven.target.clone(), rollout: driven.rollout.clone() };
    for act in [Act::Expose(Exposure::Full), Act::Commit, Act::Withdraw] {
        assert!(matches!(late.once(&act).await, ActResult::Refused(_)), "{act}");
    }
    assert_eq!(driven.out().await, weight(1_000));
    driven.done(Act::Withdraw).await;
    // Neither does it where all is over, whatever its fence.
    for act in [Act::Stage, Act::Expose(Exposure::Full), Act::Commit] {
        assert!(matches!(late.once(&act).await, ActResult::Refused(_)), "{act}");
        assert!(matches!(driven.once(&act).await, ActResult::Refused(_)), "{act}");
    }
    assert_eq!((driven.out().await, live(&server).await.revision), (Exposure::None, 2));
}

#[tokio::test]
async fn a_candidate_that_was_taken_away_before_it_came_never_comes() {
    let dir = tempfile::tempdir().expect("dir");
    let (_server, driven) = with_draft(dir.path()).await;
    driven.done(Act::Expose(Exposure::None)).await;
    driven.done(Act::Withdraw).await;
    assert!(matches!(driven.once(&Act::Stage).await, ActResult::Refused(_)));
}

#[tokio::test]
async fn a_proxy_that_refuses_the_candidate_ends_the_act_and_not_the_way_back() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let _good = Edge::new(&server, "good").await;
    let _bad = Edge::connect(&server, hello("bad"), Manner::RefusesCandidates).await;
    let ActResult::Refused(why) = driven.act(&Act::Stage).await else { panic!("refused") };
    for part in ["proxies/bad", "routes/r", "candidate.route", "it does not like it", "INVALID_INPUT"] {
        assert!(why.contains(part), "{why}");
    }
    driven.done(Act::Expose(Exposure::None)).await;
    driven.done(Act::Withdraw).await;
}

#[tokio::test]
async fn a_step_down_of_the_way_back_needs_nobody_to_like_the_candidate() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    driven.done(Act::Expose(weight(5_000))).await;
    let _bad = Edge::connect(&server, hello("bad"), Manner::RefusesCandidates).await;
    let old = Hello { features: Vec::new(), ..hello("old") };
    let _old = Edge::connect(&server, old, Manner::Takes).await;
    let lower = Act::Expose(weight(1_000));
    assert!(matches!(driven.act(&lower).await, ActResult::Refused(_)), "forward it counts");
    while driven.back(&lower).await != ActResult::Done {}
    assert_eq!(driven.out().await, weight(1_000));
}

#[tokio::test]
async fn a_proxy_that_lags_is_waited_for_and_one_that_is_away_is_not() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let _good = Edge::new(&server, "good").await;
    let slow = Edge::connect(&server, hello("slow"), Manner::Dawdles).await;
    let ActResult::Lagging { detail, .. } = driven.once(&Act::Stage).await else { panic!("waits") };
    assert!(detail.contains("proxies/slow") && !detail.contains("good"), "{detail}");
    drop(slow);
    driven.done(Act::Stage).await;
}

#[tokio::test]
async fn what_no_gateway_can_do_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let tenants = CohortDraft { key: CohortKey::Targeting("tenant".into()), values: vec!["a".into()] };
    let tenants = Act::Expose(Exposure::Cohort(Cohort::parse(&tenants).expect("valid")));
    assert!(matches!(driven.once(&tenants).await, ActResult::Refused(_)));
    for (subject, to) in [("routes/r", 99), ("routes/none", 3), ("plugins/p", 3)] {
        let other = Driven::new(&server, subject, to);
        assert!(matches!(other.once(&Act::Stage).await, ActResult::Refused(_)), "{subject} {to}");
        assert_eq!(other.out().await, Exposure::None);
    }
    let second = Driven::new(&server, "routes/r", draft(&server, "/other").await);
    driven.done(Act::Stage).await;
    let ActResult::Refused(why) = second.once(&Act::Stage).await else { panic!("one at a time") };
    assert!(why.contains(&driven.rollout.id.to_string()), "{why}");
}

#[tokio::test]
async fn a_draft_is_checked_again_when_it_is_staged_and_its_pool_stays_while_it_is() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_draft(dir.path()).await;
    let mut client = server.routes().await;
    client.create_pool(create_pool("other")).await.expect("pool");
    let changed = wire::Route { name: "routes/r".into(), ..route("pools/other", "/r") };
    let landing = hotswap_api::rollout::v1::Landing::Draft.into();
    let update = wire::UpdateRouteRequest { route: Some(changed), landing, ..Default::default() };
    let to = client.update_route(update).await.expect("draft").into_inner().route.expect("route").revision;
    let delete = wire::DeletePoolRequest { name: "pools/other".into(), ..Default::default() };

    let driven = Driven::new(&server, "routes/r", to);
    driven.done(Act::Stage).await;
    let refused = client.delete_pool(delete.clone()).await.expect_err("in use");
    assert_eq!((refused.code(), error(&refused).reason.as_str()), (Code::FailedPrecondition, "POOL_IN_USE"));
    driven.done(Act::Withdraw).await;
    client.delete_pool(delete).await.expect("gone");

    let again = Driven::new(&server, "routes/r", to);
    let ActResult::Refused(why) = again.once(&Act::Stage).await else { panic!("refused") };
    assert!(why.contains("pools/other does not exist"), "{why}");
    server.route.distributed(Revision(7)).await;
}
