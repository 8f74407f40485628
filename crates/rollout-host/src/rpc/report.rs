//! Counts that clients report.

use hotswap_api::rollout::v1 as wire;
use hotswap_core::Violations;
use hotswap_rollout::judge::{Arm, Tally};
use tonic::Status;

use super::invalid;
use crate::{Counting, Report};

/// What a client counted.
///
/// # Errors
/// INVALID_ARGUMENT with every fault that shows without knowing the rollout.
pub(super) fn report(message: wire::ReportCountsRequest) -> Result<Report, Status> {
    let mut v = Violations::new();
    let step = v.take("step", u32::try_from(message.step).map_err(|_| "must not be negative"));
    let mut arm = |field: &str, counts: Option<wire::ArmCounts>| {
        if counts.is_none() {
            v.add(field, "must be set");
        }
        arm(counts.unwrap_or_default())
    };
    let (baseline, candidate) = (arm("baseline", message.baseline), arm("candidate", message.candidate));
    v.into_result().map_err(invalid)?;
    Ok(Report {
        name: message.name,
        reporter: message.reporter,
        step: step.unwrap_or_default(),
        baseline,
        candidate,
        baseline_p95_us: Some(message.baseline_p95_us).filter(|p95| *p95 > 0),
        slow_over_us: Some(message.slow_over_us).filter(|over| *over > 0),
    })
}

fn arm(counts: wire::ArmCounts) -> Arm {
    let bucket = |m: wire::BucketCounts| Tally { requests: m.total, errors: m.errors, slow: m.slow };
    Arm {
        all: Tally { requests: counts.total, errors: counts.errors, slow: counts.slow },
        buckets: counts.buckets.into_iter().map(bucket).collect(),
    }
}

/// What the reporter needs for its next report.
pub(super) fn counting(counting: Counting) -> wire::ReportCountsResponse {
    wire::ReportCountsResponse {
        step: i32::try_from(counting.step).unwrap_or(i32::MAX),
        counting: counting.counting,
        slow_over_us: counting.slow_over_us.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_read() {
        let bucket = wire::BucketCounts { total: 4, errors: 5, slow: 6 };
        let baseline = wire::ArmCounts { total: 1, errors: 2, slow: 3, buckets: vec![bucket] };
        let message = wire::ReportCountsRequest {
            name: "rollouts/a".into(),
            reporter: "host-1".into(),
            step: 4,
            baseline: Some(baseline),
            candidate: Some(wire::ArmCounts::default()),
            baseline_p95_us: 9,
            slow_over_us: 18,
        };
        let read = report(message).expect("valid");
        assert_eq!((read.name.as_str(), read.reporter.as_str(), read.step), ("rollouts/a", "host-1", 4));
        assert_eq!(read.baseline.all, Tally { requests: 1, errors: 2, slow: 3 });
        assert_eq!(read.baseline.buckets, [Tally { requests: 4, errors: 5, slow: 6 }]);
        assert_eq!((read.candidate, read.baseline_p95_us), (Arm::default(), Some(9)));
        assert_eq!(read.slow_over_us, Some(18));
    }

    #[test]
    fn counts_that_are_missing_and_a_step_below_none_are_named() {
        let faulty = wire::ReportCountsRequest { step: -1, ..Default::default() };
        let said = report(faulty).expect_err("faults").message().to_owned();
        for field in ["step: ", "baseline: ", "candidate: "] {
            assert!(said.contains(field), "{said}");
        }
    }

    #[test]
    fn what_is_not_known_is_0() {
        let told = counting(Counting { step: 3, counting: true, slow_over_us: None });
        assert_eq!(told, wire::ReportCountsResponse { step: 3, counting: true, slow_over_us: 0 });
    }
}
