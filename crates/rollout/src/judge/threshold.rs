//! The plain threshold: windows in a row beyond the limit fail, as with Argo Rollouts and Flagger, which have no
//! baseline beside the candidate; this one has.

use super::windows::{Window, Windows};
use super::{Aspect, JudgeConfig, Limit, Verdict};

/// What the windows say about these aspects.
pub(crate) fn verdict(
    config: &JudgeConfig,
    windows: &Windows,
    aspects: &[(Aspect, Limit)],
    failures: u32,
    successes: u32,
) -> Verdict {
    let told = |window: &&Window| {
        window.candidate.requests >= config.min_requests().min(5) && window.baseline.requests > 0
    };
    let is_beyond = |window: &Window| {
        aspects.iter().any(|(aspect, limit)| {
            window
                .shares(*aspect)
                .is_some_and(|(candidate, baseline)| candidate - baseline > limit.above(baseline))
        })
    };
    let told: Vec<&Window> = windows.closed.iter().filter(told).collect();
    let in_a_row = told.iter().rev().take_while(|window| is_beyond(window)).count();
    if in_a_row >= whole(failures) {
        return Verdict::Fail;
    }
    let good = || told.iter().filter(|window| !is_beyond(window)).count();
    if told.len() >= whole(successes) && good() >= whole(successes) {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    }
}

fn whole(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
