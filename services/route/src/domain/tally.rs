//! What proxies count of the arms of a rollout, and what a judge is told of it.

use hotswap_core::{latency_slot, latency_slot_from_us};
use hotswap_rollout::judge::{Arm, Tally};
use serde::{Deserialize, Serialize};

/// Hash buckets that sticky requests are counted by.
pub const BUCKETS: usize = 64;

/// Requests, and how long they took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyCounts {
    /// Requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// How many took how long: slots of the scale that have some, rising.
    pub slots: Vec<(u8, u64)>,
}

impl LatencyCounts {
    /// Takes another proxy's in.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        for (slot, count) in &other.slots {
            match self.slots.binary_search_by_key(slot, |(slot, _)| *slot) {
                Ok(at) => self.slots[at].1 = self.slots[at].1.saturating_add(*count),
                Err(at) => self.slots.insert(at, (*slot, *count)),
            }
        }
    }

    fn tally(&self, slow_from: Option<usize>) -> Tally {
        let slow = slow_from.map_or(0, |from| {
            self.slots.iter().filter(|(slot, _)| usize::from(*slot) >= from).map(|(_, count)| count).sum()
        });
        Tally { requests: self.requests, errors: self.errors, slow }
    }

    /// The end of the slot that the 95th percentile lies in, in microseconds; `None`: fewer requests than `least`.
    pub fn p95_us(&self, least: u64) -> Option<u64> {
        let all: u64 = self.slots.iter().map(|(_, count)| count).sum();
        if all == 0 || all < least {
            return None;
        }
        let beyond = all / 20;
        let mut behind = 0;
        let slot = self.slots.iter().rev().find_map(|(slot, count)| {
            behind += count;
            (behind > beyond).then_some(usize::from(*slot))
        })?;
        Some(latency_slot_from_us(slot + 1))
    }
}

/// Requests of one arm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmTally {
    /// All of them.
    pub all: LatencyCounts,
    /// The same by hash bucket; empty: each was drawn.
    pub buckets: Vec<LatencyCounts>,
}

impl ArmTally {
    fn add(&mut self, other: &Self) {
        self.all.add(&other.all);
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), LatencyCounts::default());
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            mine.add(theirs);
        }
    }

    /// As a judge sees it.
    pub fn arm(&self, slow_over_us: Option<u64>) -> Arm {
        let slow_from = slow_over_us.map(slow_slot);
        Arm {
            all: self.all.tally(slow_from),
            buckets: self.buckets.iter().map(|bucket| bucket.tally(slow_from)).collect(),
        }
    }
}

/// The first slot in which everything takes longer: the threshold is taken up to the next edge.
fn slow_slot(over_us: u64) -> usize {
    let slot = latency_slot(over_us);
    if latency_slot_from_us(slot) == over_us { slot } else { slot + 1 }
}

/// What was counted of an exposure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmCounts {
    /// Of the candidate.
    pub candidate: ArmTally,
    /// Of the baseline.
    pub baseline: ArmTally,
}

impl ArmCounts {
    /// Takes another proxy's in.
    pub fn add(&mut self, other: &Self) {
        self.candidate.add(&other.candidate);
        self.baseline.add(&other.baseline);
    }

    /// Requests of both.
    pub fn requests(&self) -> u64 {
        self.candidate.all.requests.saturating_add(self.baseline.all.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(slots: &[(u8, u64)]) -> LatencyCounts {
        let requests = slots.iter().map(|(_, count)| count).sum();
        LatencyCounts { requests, errors: 0, slots: slots.to_vec() }
    }

    #[test]
    fn counts_of_proxies_add_up_slot_by_slot() {
        let mut sum = took(&[(3, 2), (7, 1)]);
        sum.add(&LatencyCounts { errors: 4, ..took(&[(1, 5), (7, 1), (9, 1)]) });
        assert_eq!(
            sum,
            LatencyCounts { requests: 10, errors: 4, slots: vec![(1, 5), (3, 2), (7, 2), (9, 1)] }
        );
    }

    #[test]
    fn a_threshold_within_a_slot_is_taken_up_to_its_end() {
        // Slot 5 is 128 to 160 µs.
        let arm = ArmTally { all: took(&[(4, 1), (5, 10), (6, 100)]), buckets: Vec::new() };
        let slow = |over| arm.arm(Some(over)).all.slow;
        assert_eq!((slow(127), slow(128), slow(129), slow(160)), (110, 110, 100, 100));
        assert_eq!((arm.arm(None).all.slow, slow(u64::MAX)), (0, 0));
    }

    #[test]
    fn the_95th_percentile_is_the_end_of_its_slot() {
        assert_eq!(took(&[(5, 95), (9, 5)]).p95_us(20), Some(160));
        assert_eq!(took(&[(5, 94), (9, 6)]).p95_us(20), Some(320));
        assert_eq!(took(&[(5, 19)]).p95_us(20), None);
        assert_eq!(LatencyCounts::default().p95_us(0), None);
    }

    #[test]
    fn buckets_of_a_proxy_that_has_some_are_kept_beside_one_that_has_none() {
        let mut sum = ArmTally::default();
        sum.add(&ArmTally { all: took(&[(1, 1)]), buckets: vec![took(&[(1, 1)]); BUCKETS] });
        sum.add(&ArmTally { all: took(&[(1, 2)]), buckets: Vec::new() });
        assert_eq!((sum.all.requests, sum.buckets.len(), sum.arm(None).buckets[63].requests), (3, 64, 1));
    }
}
