//! Counts of the proxies as a judge takes them.

use hotswap_core::ResourceName as _;
use hotswap_rollout::judge::{Counts, Reading};
use hotswap_rollout::{Exposure, Rollout};
use hotswap_store::StoreError;

use super::RouteTarget;
use crate::domain::{ArmCounts, Content};
use crate::store::{self, rollouts};

/// Requests that a 95th percentile needs: with fewer it is one request's latency.
const LEAST_FOR_P95: u64 = 100;

impl RouteTarget {
    /// What was counted of the present exposure.
    pub(super) async fn reading<C: Content>(
        &self,
        rollout: &Rollout,
        slow_over_us: Option<u64>,
    ) -> Result<Reading, StoreError> {
        let Ok(name) = C::Name::parse(&rollout.subject) else { return Ok(Reading::NoData) };
        let mut tx = self.app.db.read().await?;
        let candidate = store::get::<C>(&mut tx, &name).await?.and_then(|r| r.candidate);
        let Some(candidate) = candidate.filter(|c| c.rollout == rollout.id) else {
            return Ok(Reading::NoData);
        };
        let by_epoch = rollouts::counts(&mut tx, rollout.id).await?;
        Ok(reading(by_epoch, candidate.epoch, &candidate.exposure, rollout.sticky.is_some(), slow_over_us))
    }

    /// The 95th percentile of the baseline since the candidate came, in microseconds.
    pub(super) async fn p95_us(&self, rollout: &Rollout) -> Result<Option<u64>, StoreError> {
        let mut tx = self.app.db.read().await?;
        let mut sum = ArmCounts::default();
        for (_, counts) in rollouts::counts(&mut tx, rollout.id).await? {
            sum.add(&counts);
        }
        Ok(sum.baseline.all.p95_us(LEAST_FOR_P95))
    }
}

/// Counts of an exposure. Where everybody has the candidate, the baseline beside it is the one before.
fn reading(
    by_epoch: Vec<(i64, ArmCounts)>,
    epoch: i64,
    exposure: &Exposure,
    sticky: bool,
    slow_over_us: Option<u64>,
) -> Reading {
    let mut counts = ArmCounts::default();
    let mut before = ArmCounts::default();
    for (of, counted) in by_epoch {
        if of == epoch {
            counts.add(&counted);
        } else if of < epoch {
            before.add(&counted);
        }
    }
    if counts.requests() == 0 {
        return Reading::NoData;
    }
    if *exposure == Exposure::Full {
        counts.baseline = before.baseline;
    }
    let share = match exposure {
        Exposure::Weight(share) if !sticky => Some(*share),
        _ => None,
    };
    Reading::Counts(Counts {
        candidate: counts.candidate.arm(slow_over_us),
        baseline: counts.baseline.arm(slow_over_us),
        share,
        timed: slow_over_us.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use hotswap_rollout::Share;

    use super::*;
    use crate::domain::{ArmTally, LatencyCounts};

    fn counted(candidate: u64, baseline: u64) -> ArmCounts {
        let arm = |requests| ArmTally {
            all: LatencyCounts { requests, errors: 0, slots: vec![(9, requests)] },
            buckets: Vec::new(),
        };
        ArmCounts { candidate: arm(candidate), baseline: arm(baseline) }
    }

    fn seen(exposure: Exposure, sticky: bool) -> Reading {
        let by_epoch =
            vec![(3, counted(0, 50)), (5, counted(10, 90)), (7, counted(40, 60)), (9, counted(1, 1))];
        reading(by_epoch, 7, &exposure, sticky, Some(1))
    }

    #[test]
    fn of_all_that_was_counted_the_present_exposure_is_judged() {
        let half = Share::from_bp(5_000).expect("valid");
        let Reading::Counts(counts) = seen(Exposure::Weight(half), false) else { panic!("counts") };
        assert_eq!((counts.candidate.all.requests, counts.baseline.all.requests), (40, 60));
        assert_eq!((counts.candidate.all.slow, counts.share, counts.timed), (40, Some(half), true));
        let Reading::Counts(counts) = seen(Exposure::Weight(half), true) else { panic!("counts") };
        assert_eq!(counts.share, None);
    }

    #[test]
    fn with_everybody_on_the_candidate_the_baseline_is_the_one_before() {
        let Reading::Counts(counts) = seen(Exposure::Full, false) else { panic!("counts") };
        assert_eq!((counts.candidate.all.requests, counts.baseline.all.requests), (40, 140));
    }

    #[test]
    fn where_nothing_was_counted_there_is_no_data() {
        assert_eq!(reading(vec![(3, counted(0, 50))], 7, &Exposure::Full, false, None), Reading::NoData);
        assert_eq!(reading(Vec::new(), 7, &Exposure::None, false, None), Reading::NoData);
    }
}
