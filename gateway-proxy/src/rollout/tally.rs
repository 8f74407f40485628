//! Counts of the two arms, at one exposure. Each core counts in a lane of its own, which it makes when it counts the
//! first request; who reads adds the lanes up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hotswap_api::gateway::v1::{ArmTally, LatencyCounts};
use hotswap_core::{LATENCY_SLOTS, latency_slot};
use hotswap_matcher::Arm;

/// Lanes; where there are more cores, some share one, and only wait for each other a little.
const LANES: usize = 64;
/// Parts of the requests by the hash of their key.
pub(super) const BUCKETS: usize = 64;

/// What was counted of a rollout since its exposure came.
#[derive(Debug)]
pub struct Tallies {
    sticky: bool,
    lanes: Box<[OnceLock<Box<Lane>>]>,
    /// Of the exposures before.
    earlier: [Total; 2],
}

/// Requests of an arm, since the rollout came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// All of them.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
}

/// Aligned so that no cache line is shared with another core.
#[derive(Debug)]
#[repr(align(128))]
struct Lane {
    arms: [Counted; 2],
}

#[derive(Debug)]
struct Counted {
    all: Counts,
    buckets: OnceLock<Box<[Counts]>>,
}

#[derive(Debug)]
struct Counts {
    errors: AtomicU64,
    slots: [AtomicU64; LATENCY_SLOTS],
}

impl Tallies {
    /// Nothing yet. `sticky`: requests are counted by their bucket, too.
    pub fn new(sticky: bool) -> Self {
        let lanes = (0..LANES).map(|_| OnceLock::new()).collect();
        Self { sticky, lanes, earlier: [Total::default(); 2] }
    }

    /// Nothing yet, after another exposure of the same rollout.
    pub fn after(former: &Self, sticky: bool) -> Self {
        let earlier = [Arm::Baseline, Arm::Candidate].map(|arm| former.total(arm));
        Self { earlier, ..Self::new(sticky) }
    }

    /// Counts a request that has ended, on this core.
    pub fn count(&self, core: usize, arm: Arm, bucket: usize, failed: bool, took: Duration) {
        let Some(lane) = self.lanes.get(core % LANES) else { return };
        let lane = lane.get_or_init(|| Box::new(Lane { arms: [Counted::new(), Counted::new()] }));
        let Some(counted) = lane.arms.get(arm as usize) else { return };
        let slot = latency_slot(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        counted.all.add(slot, failed);
        if self.sticky {
            let buckets = counted.buckets.get_or_init(|| (0..BUCKETS).map(|_| Counts::new()).collect());
            if let Some(counts) = buckets.get(bucket % BUCKETS) {
                counts.add(slot, failed);
            }
        }
    }

    /// What was counted of an arm at this exposure, as the control plane wants it.
    pub fn of(&self, arm: Arm) -> ArmTally {
        let mut sum = Sum::default();
        let mut buckets = vec![Sum::default(); if self.sticky { BUCKETS } else { 0 }];
        for counted in self.lanes() {
            let Some(counted) = counted.arms.get(arm as usize) else { continue };
            sum.add(&counted.all);
            let parts = counted.buckets.get().map_or(&[][..], |parts| parts);
            buckets.iter_mut().zip(parts).for_each(|(sum, part)| sum.add(part));
        }
        if sum.requests() == 0 {
            buckets.clear();
        }
        ArmTally { all: Some(sum.to_wire()), buckets: buckets.iter().map(Sum::to_wire).collect() }
    }

    /// Requests of an arm since the rollout came, over all of its exposures.
    pub fn total(&self, arm: Arm) -> Total {
        let earlier = self.earlier.get(arm as usize).copied().unwrap_or_default();
        let now = self.now(arm);
        Total { requests: earlier.requests + now.requests, errors: earlier.errors + now.errors }
    }

    /// Requests of an arm at this exposure.
    pub fn now(&self, arm: Arm) -> Total {
        let mut sum = Sum::default();
        self.lanes().filter_map(|lane| lane.arms.get(arm as usize)).for_each(|c| sum.add(&c.all));
        Total { requests: sum.requests(), errors: sum.errors }
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter_map(|lane| lane.get()).map(|lane| &**lane)
    }
}

impl Counted {
    fn new() -> Self {
        Self { all: Counts::new(), buckets: OnceLock::new() }
    }
}

impl Counts {
    fn new() -> Self {
        Self { errors: AtomicU64::new(0), slots: [const { AtomicU64::new(0) }; LATENCY_SLOTS] }
    }

    fn add(&self, slot: usize, failed: bool) {
        if let Some(count) = self.slots.get(slot) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if failed {
            // After its request: who reads the errors first never sees more of them than requests.
            self.errors.fetch_add(1, Ordering::Release);
        }
    }
}

/// Lanes added up.
#[derive(Clone, Debug)]
struct Sum {
    errors: u64,
    slots: [u64; LATENCY_SLOTS],
}

impl Default for Sum {
    fn default() -> Self {
        Self { errors: 0, slots: [0; LATENCY_SLOTS] }
    }
}

impl Sum {
    fn add(&mut self, counts: &Counts) {
        self.errors += counts.errors.load(Ordering::Acquire);
        for (sum, count) in self.slots.iter_mut().zip(&counts.slots) {
            *sum += count.load(Ordering::Relaxed);
        }
    }

    fn requests(&self) -> u64 {
        self.slots.iter().sum()
    }

    fn to_wire(&self) -> LatencyCounts {
        let some = (0_u32..).zip(&self.slots).filter(|(_, count)| **count > 0);
        let (slots, counts) = some.map(|(slot, count)| (slot, *count)).unzip();
        LatencyCounts { requests: self.requests(), errors: self.errors, slots, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn lanes_add_up_and_arms_stay_apart() {
        let tallies = Tallies::new(false);
        for core in 0..3 {
            tallies.count(core, Arm::Baseline, 9, core == 1, MS * 2);
            tallies.count(core, Arm::Candidate, 9, false, Duration::from_secs(100));
        }
        let baseline = tallies.of(Arm::Baseline);
        let all = baseline.all.expect("set");
        assert_eq!((all.requests, all.errors, baseline.buckets.len()), (3, 1, 0));
        assert_eq!((all.slots, all.counts), (vec![latency_slot(2_000) as u32], vec![3]));
        assert_eq!(tallies.of(Arm::Candidate).all.expect("set").slots, [80]);
    }

    #[test]
    fn buckets_add_up_to_all() {
        let tallies = Tallies::new(true);
        for n in 0..1_000 {
            tallies.count(n % 4, Arm::Candidate, n % BUCKETS, n % 10 == 0, MS);
        }
        let arm = tallies.of(Arm::Candidate);
        assert_eq!((arm.all.expect("set").requests, arm.buckets.len()), (1_000, BUCKETS));
        let sum = |of: fn(&LatencyCounts) -> u64| arm.buckets.iter().map(of).sum::<u64>();
        assert_eq!((sum(|c| c.requests), sum(|c| c.errors)), (1_000, 100));
        assert_eq!(tallies.of(Arm::Baseline).buckets.len(), 0, "nothing was counted");
    }

    #[test]
    fn another_exposure_begins_anew_and_totals_go_on() {
        let first = Tallies::new(false);
        first.count(0, Arm::Candidate, 0, true, MS);
        let second = Tallies::after(&first, false);
        second.count(0, Arm::Candidate, 0, false, MS);
        assert_eq!(second.now(Arm::Candidate), Total { requests: 1, errors: 0 });
        assert_eq!(second.total(Arm::Candidate), Total { requests: 2, errors: 1 });
    }

    #[test]
    fn what_no_core_counts_takes_no_memory() {
        let tallies = Tallies::new(true);
        assert_eq!(tallies.lanes().count(), 0);
        tallies.count(70, Arm::Baseline, 0, false, MS);
        assert_eq!(tallies.lanes().count(), 1, "beyond the last lane, one is shared");
    }
}
