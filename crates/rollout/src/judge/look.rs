//! One look at counts with the sequential judge.

use super::counts::{Arm, Counts};
use super::dispersion::{Effective, count, effective};
use super::within::{Line, bounds, ln_against};
use super::worse::ln_e;
use super::{Aspect, Figures, JudgeConfig, Limit, Tally, Verdict};

/// The part of the chance of a false rollback that the counts of the whole exposure get; the rest is for the last
/// minutes, so that a candidate that breaks late is found soon.
const WHOLE: f64 = 0.9;

/// Which counts are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// All of this exposure.
    Whole,
    /// Those of a minute, by its number from 1.
    Minute(u32),
}

/// What one look at one aspect says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) aspect: Aspect,
    pub(crate) candidate: Effective,
    pub(crate) baseline: Effective,
    pub(crate) ln_worse: f64,
    pub(crate) ln_needed: f64,
    pub(crate) above: f64,
    pub(crate) verdict: Verdict,
}

/// Looks at one aspect; `None`: sticky requests come from too few buckets to tell.
pub(crate) fn look(
    config: &JudgeConfig,
    counts: &Counts,
    aspect: Aspect,
    limit: Limit,
    span: Span,
) -> Option<Look> {
    let (candidate, baseline) = effective(&counts.candidate, &counts.baseline, aspect)?;
    let above = limit.above(baseline.share());
    let ln_worse = ln_e(&candidate, &baseline, drawn(counts), tuned_to(limit));
    let part = match span {
        Span::Whole => WHOLE,
        Span::Minute(n) => (1.0 - WHOLE) / (f64::from(n) * (f64::from(n) + 1.0)),
    };
    let ln_needed = -(config.alpha() * part).ln();
    let beyond = candidate.share() - baseline.share() > above;
    let verdict = if ln_worse >= ln_needed && beyond {
        Verdict::Fail
    } else if span == Span::Whole && !beyond && is_within(config, &candidate, &baseline, limit) {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    };
    Some(Look { aspect, candidate, baseline, ln_worse, ln_needed, above, verdict })
}

fn is_within(config: &JudgeConfig, candidate: &Effective, baseline: &Effective, limit: Limit) -> bool {
    let line = match limit {
        Limit::Points(_) => Line::Plus(limit.above(0.0)),
        Limit::Relative(percent) => Line::Times(1.0 + f64::from(percent) / 100.0),
    };
    ln_against(candidate, baseline, line) >= -config.beta().ln()
}

/// The difference that the test is tuned to find. It must not follow from the counts that it is tested on.
fn tuned_to(limit: Limit) -> f64 {
    match limit {
        Limit::Points(_) => limit.above(0.0),
        Limit::Relative(_) => 0.02,
    }
}

/// The chance with which each request was drawn for the candidate. Where the counts belie it, or where clients are
/// drawn and not requests, it is the share that was counted.
fn drawn(counts: &Counts) -> Option<f64> {
    let share = counts.share?.fraction();
    let (candidate, baseline) = (count(counts.candidate.all.requests), count(counts.baseline.all.requests));
    let all = candidate + baseline;
    let spread = (all * share * (1.0 - share)).sqrt();
    let sticky = !counts.candidate.buckets.is_empty() || !counts.baseline.buckets.is_empty();
    (!sticky && (candidate - all * share).abs() <= 5.0 * spread).then_some(share)
}

impl Look {
    /// The figures that are stored and shown.
    pub(crate) fn figures(&self, config: &JudgeConfig) -> Figures {
        let (lower, upper) = bounds(&self.candidate, &self.baseline, -config.beta().ln());
        Figures {
            aspect: self.aspect,
            candidate: self.candidate.share(),
            baseline: self.baseline.share(),
            limit: self.above,
            lower,
            upper,
            worse: self.ln_worse.min(700.0).exp(),
            needed: self.ln_needed.exp(),
            dispersion: self.candidate.dispersion,
            verdict: self.verdict,
        }
    }
}

/// What came since `earlier`.
pub(crate) fn since(now: &Counts, earlier: &Counts) -> Counts {
    let arm = |now: &Arm, earlier: &Arm| Arm {
        all: now.all.since(earlier.all),
        buckets: now
            .buckets
            .iter()
            .enumerate()
            .map(|(i, bucket)| bucket.since(earlier.buckets.get(i).copied().unwrap_or_default()))
            .collect::<Vec<Tally>>(),
    };
    Counts {
        candidate: arm(&now.candidate, &earlier.candidate),
        baseline: arm(&now.baseline, &earlier.baseline),
        share: now.share,
        timed: now.timed,
    }
}
