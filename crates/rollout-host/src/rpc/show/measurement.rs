//! Measurements as the contract has them.

use hotswap_api::rollout::v1 as wire;
use hotswap_rollout::judge::{Arm, Aspect, Counts, Figures, Reading, Tally, Verdict};

use super::time;
use crate::Measured;

/// A measurement, with what was found in it.
pub(in crate::rpc) fn measurement(measured: &Measured) -> wire::Measurement {
    let finding = &measured.finding;
    let counts = match &measured.measurement.reading {
        Reading::Counts(counts) => Some(counts),
        Reading::NoData | Reading::Broken(_) => None,
    };
    wire::Measurement {
        time: Some(time(measured.measurement.at)),
        since_time: Some(time(measured.since)),
        // An exposure is counted by the step that made it.
        step: i32::try_from(measured.measurement.epoch).unwrap_or(i32::MAX),
        baseline: counts.map(|counts: &Counts| arm(&counts.baseline)),
        candidate: counts.map(|counts| arm(&counts.candidate)),
        slow_over_us: measured.slow_over_us.unwrap_or_default(),
        figures: finding.figures.iter().map(figures).collect(),
        verdict: verdict(finding.verdict).into(),
        message: finding.words.clone(),
    }
}

pub(super) fn verdict(verdict: Verdict) -> wire::Verdict {
    match verdict {
        Verdict::Pass => wire::Verdict::Pass,
        Verdict::Fail => wire::Verdict::Fail,
        Verdict::Panic => wire::Verdict::Panic,
        Verdict::Inconclusive => wire::Verdict::Inconclusive,
        Verdict::NoData => wire::Verdict::NoData,
        Verdict::Broken => wire::Verdict::Broken,
    }
}

fn arm(arm: &Arm) -> wire::ArmCounts {
    let bucket = |t: &Tally| wire::BucketCounts { total: t.requests, errors: t.errors, slow: t.slow };
    wire::ArmCounts {
        total: arm.all.requests,
        errors: arm.all.errors,
        slow: arm.all.slow,
        buckets: arm.buckets.iter().map(bucket).collect(),
    }
}

fn figures(f: &Figures) -> wire::AspectFigures {
    const BPS: f64 = 10_000.0;
    let aspect = match f.aspect {
        Aspect::Errors => "errors",
        Aspect::Slow => "slow",
    };
    wire::AspectFigures {
        aspect: aspect.to_owned(),
        candidate_bps: f.candidate * BPS,
        baseline_bps: f.baseline * BPS,
        limit_bps: f.limit * BPS,
        lower_bps: f.lower * BPS,
        upper_bps: f.upper * BPS,
        evidence: f.worse,
        evidence_needed: f.needed,
        dispersion: f.dispersion,
        verdict: verdict(f.verdict).into(),
    }
}
