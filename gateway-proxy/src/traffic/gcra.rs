//! The generic cell rate algorithm (ITU-T I.371): a bucket is one number, the moment at which it is full again. A bucket
//! whose moment has passed is as one that was never used, so it can be forgotten.

use std::time::Duration;

use hotswap_matcher::RateLimit;

/// How fast a bucket fills, and how much it holds; in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// One request's worth.
    each: u64,
    /// The whole bucket.
    whole: u64,
}

/// What a request finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether it goes on.
    pub(super) passes: bool,
    /// When the bucket is full again, to be kept.
    pub(super) full_at: u64,
    /// Requests that may follow at once.
    pub(super) left: u64,
    /// Until the bucket is full, or, where it is refused, until it holds one request; in ns.
    pub(super) wait: u64,
}

impl Pace {
    pub(super) fn of(limit: &RateLimit) -> Self {
        let period = u64::try_from(limit.period.as_nanos()).unwrap_or(u64::MAX);
        // The shortest period has as many ns as there are requests at the most.
        let each = (period / u64::from(limit.requests.max(1))).max(1);
        Self { each, whole: each.saturating_mul(u64::from(limit.burst.max(1))) }
    }

    /// What somebody else found who asked at `now`: whether it passes, and the time until the bucket is full, or until it
    /// holds one request.
    pub(super) fn told(self, passes: bool, wait: Duration, now: u64) -> Found {
        let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let until_full = if passes { wait } else { wait.saturating_add(self.whole - self.each) };
        let full_at = now.saturating_add(until_full.min(self.whole));
        let left = if passes { self.whole.saturating_sub(wait) / self.each } else { 0 };
        Found { passes, full_at, left, wait }
    }

    /// A request comes at `now` to a bucket that is full at `full_at`.
    pub(super) fn take(self, full_at: u64, now: u64) -> Found {
        // A bucket that was emptied by other rules may not take longer than these allow.
        let full_at = full_at.clamp(now, now.saturating_add(self.whole));
        let after = full_at.saturating_add(self.each);
        let wait = after - now;
        match self.whole.checked_sub(wait) {
            Some(room) => Found { passes: true, full_at: after, left: room / self.each, wait },
            None => Found { passes: false, full_at, left: 0, wait: wait - self.whole },
        }
    }
}

#[cfg(test)]
mod tests {
    use hotswap_matcher::{RateFallback, RateKey};
    use proptest::prelude::*;

    use super::*;

    fn pace(requests: u32, period_ms: u64, burst: u32) -> Pace {
        let period = Duration::from_millis(period_ms);
        Pace::of(&RateLimit {
            requests,
            period,
            burst,
            key: RateKey::Route,
            quiet: false,
            is_shared: true,
            fallback: RateFallback::Local,
        })
    }

    #[test]
    fn a_burst_passes_and_then_one_a_share_of_the_period() {
        let pace = pace(10, 1_000, 3);
        let mut full_at = 0;
        let now = 5_000_000_000;
        for left in [2, 1, 0] {
            let found = pace.take(full_at, now);
            assert_eq!(found.left, left);
            assert!(found.passes);
            full_at = found.full_at;
        }
        let refused = pace.take(full_at, now);
        assert_eq!((refused.passes, refused.full_at, refused.wait), (false, full_at, 100_000_000));
        assert!(!pace.take(full_at, now + 99_999_999).passes);
        assert!(pace.take(full_at, now + 100_000_000).passes);
    }

    #[test]
    fn what_others_found_is_as_if_it_were_found_here() {
        let (pace, now) = (pace(10, 1_000, 3), 5_000_000_000);
        let mut full_at = 0;
        for _ in 0..5 {
            let found = pace.take(full_at, now);
            full_at = found.full_at;
            assert_eq!(pace.told(found.passes, Duration::from_nanos(found.wait), now), found);
        }
    }

    #[test]
    fn a_bucket_of_slower_rules_does_not_hold_up_faster_ones() {
        let slow = pace(1, 86_400_000, 1).take(0, 1);
        let fast = pace(1_000, 1_000, 1);
        let found = fast.take(slow.full_at, 2);
        assert_eq!((found.passes, found.wait), (false, 1_000_000));
        assert!(fast.take(found.full_at, 2 + found.wait).passes, "it fills at its own pace from then on");
    }

    proptest! {
        /// Whatever the moments, in no span of time pass more than the burst and what flows in meanwhile.
        #[test]
        fn never_more_than_the_bucket_and_what_flows_in(
            requests in 1_u32..2_000, period in 1_u64..10_000, burst in 1_u32..50,
            steps in prop::collection::vec(0_u64..200_000_000, 1..200),
        ) {
            let pace = pace(requests, period, burst);
            let (mut now, mut full_at, mut passed) = (1_u64, 0, Vec::new());
            for step in steps {
                now += step;
                let found = pace.take(full_at, now);
                full_at = found.full_at;
                if found.passes {
                    passed.push(now);
                }
            }
            for (i, from) in passed.iter().enumerate() {
                for (n, to) in passed[i..].iter().enumerate() {
                    prop_assert!((n as u64) < u64::from(burst) + (to - from) / pace.each);
                }
            }
            // Nobody is refused for ever.
            prop_assert!(pace.take(full_at, now + pace.whole + pace.each).passes);
        }
    }
}
