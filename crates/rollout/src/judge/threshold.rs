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
    let (mut in_a_row, mut good) = (0, 0);
    for window in windows.closed.iter().filter(told) {
        if is_beyond(window) {
            in_a_row += 1;
            if in_a_row >= failures {
                return Verdict::Fail;
            }
        } else {
            in_a_row = 0;
            good += 1;
        }
    }
    if good >= successes { Verdict::Pass } else { Verdict::Inconclusive }
}
