//! The engine drives, and nobody but proxies that count takes part.

use std::time::Duration;

use hotswap_api::gateway::v1::candidate::Exposure as To;
use hotswap_core::Revision;
use hotswap_rollout::{CanaryStepDraft, Millis, RolloutId, State, StrategyDraft};
use hotswap_rollout_host::{Create, View};

use super::counts::{arm, report};
use super::edge::Edge;
use super::landing::{ann, create};
use super::{Driven, draft, live, prefix};
use crate::harness::{Server, with_route};

pub(crate) fn canary(to: i64) -> Create {
    let step = |share_bp| CanaryStepDraft { share_bp, bake_ms: Millis(0), gate: false };
    create("routes/r", to, StrategyDraft::Canary { steps: vec![step(1_000), step(5_000)] })
}

/// Counts as a proxy with plenty of traffic would, so many of a thousand requests of the candidate failing, until the
/// rollout has ended.
async fn ended(server: &Server, edge: &Edge, id: RolloutId, failing: u64) -> View {
    let mut driven = Driven::new(server, "routes/r", 3);
    driven.rollout.id = id;
    loop {
        let view = server.route.rollouts().get(&ann(), &id.to_string()).await.expect("there");
        if view.record.state.is_ended() {
            return view;
        }
        if let Some(candidate) = edge.candidate("routes/r") {
            let bps = match candidate.exposure {
                Some(To::ShareBps(bps)) => u64::from(bps),
                _ => 0,
            };
            // Of 100,000 requests as many as are drawn.
            let (of, rest) = (bps * 10, 100_000 - bps * 10);
            let (new, old) = (arm(of, of * failing / 1_000, 500, 0), arm(rest, rest / 100, 500, 0));
            report(edge, &driven, (candidate.epoch, new, old)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A canary of a draft of "routes/r", so many of a thousand requests of the candidate failing, to its end.
pub(crate) async fn of(server: &Server, failing: u64) -> (View, Edge) {
    let to = draft(server, "/next").await;
    let edge = Edge::new(server, "edge").await;
    let made = server.route.rollouts().create(&ann(), canary(to)).await.expect("created");
    let limit = Duration::from_secs(100);
    let ended = tokio::time::timeout(limit, ended(server, &edge, made.rollout.id, failing)).await;
    (ended.expect("it ends by itself"), edge)
}

#[tokio::test]
async fn a_good_canary_promotes_itself() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let (view, edge) = of(&server, 10).await;
    assert_eq!(view.record.state.word(), "promoted");
    let route = live(&server).await;
    assert_eq!((prefix(&route), route.revision), ("/next", 3));
    assert!(edge.candidate("routes/r").is_none());
    // The next one may begin.
    let to = draft(&server, "/after").await;
    server.route.rollouts().create(&ann(), canary(to)).await.expect("created");
}

#[tokio::test]
async fn a_canary_with_errors_goes_back_and_says_why() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, before) = with_route(dir.path()).await;
    let (view, edge) = of(&server, 300).await;
    let State::Ended(ended) = &view.record.state else { panic!("ended") };
    let why = format!("{:?}", ended.outcome);
    assert!(view.record.state.word() == "rolled_back" && why.contains("Failed"), "{why}");
    assert_eq!((live(&server).await, view.rollout.to), (before, Revision(3)));
    assert!(edge.candidate("routes/r").is_none());
}
