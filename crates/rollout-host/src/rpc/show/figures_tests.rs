//! Every figure of a measurement, events, and the global switch.

use hotswap_api::rollout::v1 as wire;
use hotswap_core::Timestamp;
use hotswap_rollout::judge::{Arm, Aspect, Counts, Figures, Finding, Measurement, Reading, Tally, Verdict};

use super::*;
use crate::{Happened, Measured};

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

fn when(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn measured(reading: Reading, verdict: Verdict, figures: Vec<Figures>) -> Measured {
    Measured {
        since: at(5),
        slow_over_us: Some(40_000),
        measurement: Measurement { at: at(9), epoch: 4, reading },
        finding: Finding { verdict, words: "said".into(), figures },
    }
}

#[test]
fn every_figure_of_a_measurement_is_shown() {
    let tally = |requests, errors, slow| Tally { requests, errors, slow };
    let counts = Counts {
        candidate: Arm { all: tally(3, 2, 1), buckets: vec![tally(1, 0, 1), tally(2, 2, 0)] },
        baseline: Arm { all: tally(30, 20, 10), buckets: vec![] },
        share: None,
        timed: true,
    };
    let figures = Figures {
        aspect: Aspect::Slow,
        candidate: 0.5,
        baseline: 0.25,
        limit: 0.05,
        lower: -0.5,
        upper: 0.75,
        worse: 3.0,
        needed: 400.0,
        dispersion: 1.5,
        verdict: Verdict::Inconclusive,
    };
    let shown = measurement(&measured(Reading::Counts(counts), Verdict::Fail, vec![figures]));
    let arm = |total, errors, slow, buckets| Some(wire::ArmCounts { total, errors, slow, buckets });
    let bucket = |total, errors, slow| wire::BucketCounts { total, errors, slow };
    assert_eq!((shown.time, shown.since_time, shown.step), (when(9), when(5), 4));
    assert_eq!(shown.candidate, arm(3, 2, 1, vec![bucket(1, 0, 1), bucket(2, 2, 0)]));
    assert_eq!(shown.baseline, arm(30, 20, 10, vec![]));
    assert_eq!((shown.slow_over_us, shown.message.as_str()), (40_000, "said"));
    assert_eq!(shown.verdict(), wire::Verdict::Fail);
    let want = wire::AspectFigures {
        aspect: "slow".into(),
        candidate_bps: 5_000.0,
        baseline_bps: 2_500.0,
        limit_bps: 500.0,
        lower_bps: -5_000.0,
        upper_bps: 7_500.0,
        evidence: 3.0,
        evidence_needed: 400.0,
        dispersion: 1.5,
        verdict: wire::Verdict::Inconclusive.into(),
    };
    assert_eq!(shown.figures, [want]);
    let broken = measurement(&measured(Reading::Broken("gone".into()), Verdict::Broken, vec![]));
    assert_eq!((broken.verdict(), broken.baseline), (wire::Verdict::Broken, None));
    let none = measurement(&measured(Reading::NoData, Verdict::NoData, vec![]));
    assert_eq!((none.verdict(), none.candidate), (wire::Verdict::NoData, None));
}

#[test]
fn events_and_the_switch_are_shown() {
    let event = hotswap_rollout::Event::Paused { by: None, why: "why".into() };
    let shown = super::event(&Happened { seq: 4, at: at(5), kind: "paused".into(), event });
    assert_eq!((shown.sequence, shown.time, shown.kind.as_str()), (4, when(5), "paused"));
    assert_eq!(shown.message, "paused: why");
    let on = crate::Freeze { on: true, reason: "r".into(), actor: "a".into(), changed_at: Some(at(1)) };
    let want = wire::Freeze { on: true, reason: "r".into(), actor: "a".into(), update_time: when(1) };
    assert_eq!(freeze(&on), want);
    assert_eq!(freeze(&crate::Freeze::default()), wire::Freeze::default());
}
