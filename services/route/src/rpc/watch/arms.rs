//! What proxies say of rollouts, read.

use hotswap_api::gateway::v1 as wire;
use hotswap_core::LATENCY_SLOTS;
use hotswap_rollout::RolloutId;

use crate::app::Found;
use crate::domain::{ArmCounts, ArmTally, BUCKETS, LatencyCounts};

/// Rollouts that are read of one report; the contract's own limit of a message is far above.
const MAX_ROLLOUTS: usize = 20_000;
/// Characters that are kept of what a check says.
const MAX_MESSAGE: usize = 1_000;

/// What a proxy counted, by rollout and exposure. What breaks the contract is left out.
pub(super) fn counts(report: wire::ArmReport) -> Vec<(RolloutId, i64, ArmCounts)> {
    let read = |counts: wire::RolloutCounts| {
        let rollout = rollout(&counts.rollout)?;
        let (candidate, baseline) =
            (counts.candidate.unwrap_or_default(), counts.baseline.unwrap_or_default());
        Some((rollout, counts.epoch, ArmCounts { candidate: arm(candidate)?, baseline: arm(baseline)? }))
    };
    report.rollouts.into_iter().take(MAX_ROLLOUTS).filter_map(read).collect()
}

/// What a proxy found in a check: of which rollout, and the check's number.
pub(super) fn check(proxy: &str, result: wire::CheckResult) -> Option<(RolloutId, i64, Found)> {
    let message = result.message.chars().take(MAX_MESSAGE).collect();
    let found = Found { proxy: proxy.to_owned(), passed: result.passed, message };
    Some((rollout(&result.rollout)?, result.number, found))
}

fn rollout(name: &str) -> Option<RolloutId> {
    name.strip_prefix("rollouts/")?.parse().ok().map(RolloutId)
}

fn arm(tally: wire::ArmTally) -> Option<ArmTally> {
    if tally.buckets.len() > BUCKETS {
        return None;
    }
    let buckets = tally.buckets.into_iter().map(latency).collect::<Option<_>>()?;
    Some(ArmTally { all: latency(tally.all.unwrap_or_default())?, buckets })
}

fn latency(counts: wire::LatencyCounts) -> Option<LatencyCounts> {
    let wire::LatencyCounts { requests, errors, slots, counts } = counts;
    let rising = slots.is_sorted_by(|a, b| a < b);
    let known = slots.last().is_none_or(|last| usize::try_from(*last).is_ok_and(|l| l < LATENCY_SLOTS));
    if !rising || !known || slots.len() != counts.len() || errors > requests {
        return None;
    }
    let slots = slots.into_iter().map(|slot| u8::try_from(slot).unwrap_or(u8::MAX)).zip(counts).collect();
    Some(LatencyCounts { requests, errors, slots })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(slots: &[u32], counts: &[u64]) -> Option<LatencyCounts> {
        latency(wire::LatencyCounts {
            requests: 9,
            errors: 1,
            slots: slots.to_vec(),
            counts: counts.to_vec(),
        })
    }

    #[test]
    fn counts_that_break_the_contract_are_left_out() {
        let good = LatencyCounts { requests: 9, errors: 1, slots: vec![(0, 4), (80, 5)] };
        assert_eq!(read(&[0, 80], &[4, 5]), Some(good));
        for (slots, counts) in
            [(&[1, 1][..], &[4, 5][..]), (&[81], &[9]), (&[1, 2], &[9]), (&[2, 1], &[4, 5])]
        {
            assert_eq!(read(slots, counts), None, "{slots:?}");
        }
        let report = |rollout: &str| wire::ArmReport {
            rollouts: vec![wire::RolloutCounts { rollout: rollout.to_owned(), ..Default::default() }],
        };
        assert_eq!(counts(report("rollouts/0197d9a2-0000-7000-8000-000000000001")).len(), 1);
        assert!(counts(report("rollouts/1")).is_empty() && counts(report("routes/r")).is_empty());
    }
}
