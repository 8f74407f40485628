//! Counts of proxies, on their way to the judge.

use std::time::Duration;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::watch_config_request::Message as Say;
use hotswap_core::{Timestamp, latency_slot};
use hotswap_rollout::judge::{Counts, Reading};
use hotswap_rollout::{Act, Exposure, MetricSource as _, Share, Watch};

use super::edge::{Edge, Manner, hello};
use super::{Driven, weight, with_draft};

fn latency(requests: u64, errors: u64, us: u64) -> wire::LatencyCounts {
    let slot = u32::try_from(latency_slot(us)).expect("small");
    wire::LatencyCounts { requests, errors, slots: vec![slot], counts: vec![requests] }
}

pub(crate) fn arm(requests: u64, errors: u64, us: u64, buckets: usize) -> wire::ArmTally {
    let all = Some(latency(requests, errors, us));
    wire::ArmTally { all, buckets: vec![latency(1, 0, us); buckets] }
}

pub(crate) async fn report(
    edge: &Edge,
    driven: &Driven,
    (epoch, candidate, baseline): (i64, wire::ArmTally, wire::ArmTally),
) {
    let counts = wire::RolloutCounts {
        rollout: driven.rollout.id.to_string(),
        epoch,
        candidate: Some(candidate),
        baseline: Some(baseline),
    };
    edge.say(Say::Arms(wire::ArmReport { rollouts: vec![counts] })).await;
}

/// What is measured once this holds.
pub(crate) async fn measured(driven: &Driven, holds: impl Fn(&Counts) -> bool) -> Counts {
    let watch = Watch { epoch: 1, since: Timestamp(0), slow_over_us: Some(10_000) };
    loop {
        match driven.target.measure(&driven.rollout, &watch).await {
            Reading::Counts(counts) if holds(&counts) => return counts,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test]
async fn counts_of_several_proxies_and_of_one_that_was_restarted_add_up() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let (a, b) = (Edge::new(&server, "a").await, Edge::new(&server, "b").await);
    driven.done(Act::Expose(weight(1_000))).await;
    let epoch = a.candidate("routes/r").expect("a candidate").epoch;
    report(&a, &driven, (epoch, arm(10, 1, 500, 0), arm(90, 0, 500, 0))).await;
    report(&b, &driven, (epoch, arm(10, 2, 20_000, 0), arm(90, 1, 500, 0))).await;
    let counts = measured(&driven, |c| c.candidate.all.requests == 20).await;
    assert_eq!((counts.candidate.all.errors, counts.candidate.all.slow), (3, 10));
    assert_eq!((counts.share, counts.timed), (Share::from_bp(1_000).ok(), true));

    // What it says again is as said once, and more takes the place of less.
    report(&a, &driven, (epoch, arm(10, 1, 500, 0), arm(90, 0, 500, 0))).await;
    report(&a, &driven, (epoch, arm(30, 1, 500, 0), arm(90, 0, 500, 0))).await;
    measured(&driven, |c| c.candidate.all.requests == 40).await;

    drop(a);
    let again = wire::Hello { instance_id: "a/2".into(), ..hello("a") };
    let a = Edge::connect(&server, again, Manner::Takes).await;
    report(&a, &driven, (epoch, arm(5, 0, 500, 0), arm(1, 0, 500, 0))).await;
    let counts = measured(&driven, |c| c.candidate.all.requests == 45).await;
    assert_eq!(counts.baseline.all.requests, 181);
    assert_eq!(driven.target.baseline_p95_us(&driven.rollout).await, Some(512));
}

#[tokio::test]
async fn counts_of_another_exposure_are_not_those_of_this_one() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let edge = Edge::new(&server, "edge").await;
    driven.done(Act::Expose(weight(1_000))).await;
    let first = edge.candidate("routes/r").expect("a candidate").epoch;
    report(&edge, &driven, (first, arm(10, 10, 500, 64), arm(90, 0, 500, 64))).await;
    let counts = measured(&driven, |c| c.candidate.all.requests == 10).await;
    assert_eq!(counts.candidate.buckets.len(), 64);
    driven.done(Act::Expose(Exposure::Full)).await;
    let watch = Watch { epoch: 2, since: Timestamp(0), slow_over_us: None };
    assert_eq!(driven.target.measure(&driven.rollout, &watch).await, Reading::NoData);
    // With everybody on the candidate, it is compared with the baseline before.
    let all = edge.candidate("routes/r").expect("a candidate").epoch;
    report(&edge, &driven, (all, arm(7, 0, 500, 0), arm(0, 0, 500, 0))).await;
    let counts = measured(&driven, |c| c.candidate.all.requests == 7).await;
    assert_eq!((counts.baseline.all.requests, counts.share), (90, None));

    driven.done(Act::Withdraw).await;
    report(&edge, &driven, (all, arm(9, 0, 500, 0), arm(0, 0, 500, 0))).await;
    assert_eq!(driven.target.measure(&driven.rollout, &watch).await, Reading::NoData);
}
