//! The retry budget of a pool: retries within the last ten seconds may be a share of the requests to it. As in
//! Finagle (RetryBudget) it is a rate, with a small reserve for pools that have few requests; a limit on retries in
//! flight, as in Envoy, would let a backend that fails fast be asked ever more often.

use std::sync::{Mutex, PoisonError};

use super::state::requests_between;

/// Parts of the window.
const PARTS: usize = 10;
/// Length of a part, in ms.
const PART_MS: u64 = 1_000;
/// Retries that are allowed in a part whatever the number of requests.
const RESERVE: u64 = 1;

/// The budget of a pool, shared by all cores.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    /// By part, a ring.
    parts: [Part; PARTS],
    /// The number of the newest part, since the start of time.
    newest: u64,
    /// The pool's count of requests when it was last seen.
    seen: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    requests: u64,
    retries: u64,
}

impl Budget {
    /// Whether one more retry may be made at `now`, in ms; it is noted. `requests` is the pool's count of them, which
    /// wraps, and goes back where backends left the pool; retries are among them.
    pub(super) fn take(&self, percent: u32, requests: u64, now: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(percent, requests, now)
    }
}

impl Window {
    fn take(&mut self, percent: u32, requests: u64, now: u64) -> bool {
        self.advance(now / PART_MS);
        let new = self.seen.map_or(0, |seen| requests_between(seen, requests));
        // Half the range: it went back.
        let new = if new > u64::from(u32::MAX) { 0 } else { new };
        self.seen = Some(requests);
        let sum = |of: fn(&Part) -> u64| self.parts.iter().map(of).sum::<u64>();
        let retries = sum(|p| p.retries);
        let firsts = (sum(|p| p.requests) + new).saturating_sub(retries);
        let allowed = firsts.saturating_mul(u64::from(percent)) / 100 + RESERVE * PARTS as u64;
        let Some(part) = self.parts.get_mut(self.newest as usize % PARTS) else { return false };
        part.requests += new;
        let granted = retries < allowed;
        part.retries += u64::from(granted);
        granted
    }

    /// Parts that are over are emptied for their next use.
    fn advance(&mut self, number: u64) {
        let over = number.saturating_sub(self.newest).min(PARTS as u64);
        for i in 1..=over {
            if let Some(part) = self.parts.get_mut(((number - over + i) % PARTS as u64) as usize) {
                *part = Part::default();
            }
        }
        self.newest = self.newest.max(number);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn retries_stay_within_their_share_and_the_reserve(
            steps in prop::collection::vec((0_u64..400, 0_u64..50, 0_u64..20), 1..200),
            percent in 1_u32..=100,
        ) {
            let mut window = Window::default();
            let (mut now, mut count) = (0, 0);
            let (mut firsts, mut retries) = (0_u64, 0_u64);
            // The first look has nothing to compare with.
            prop_assert!(window.take(percent, count, now));
            retries += 1;
            for (pause, requests, wanted) in steps {
                now += pause;
                firsts += requests;
                count += requests;
                for _ in 0..wanted {
                    if window.take(percent, count, now) {
                        retries += 1;
                        count += 1;
                    }
                }
            }
            let windows = now / (PART_MS * PARTS as u64) + 2;
            let reserve = windows * RESERVE * PARTS as u64;
            prop_assert!(retries <= firsts * u64::from(percent) / 100 + reserve, "{} of {}", retries, firsts);
        }
    }

    #[test]
    fn a_quiet_pool_has_the_reserve_and_it_comes_back() {
        let budget = Budget::default();
        let take = |now| (0..100).filter(|_| budget.take(20, 7, now)).count();
        assert_eq!(take(0), 10);
        assert_eq!(take(9_999), 0);
        assert_eq!(take(10_000), 10);
        assert_eq!(take(500_000), 10);
    }

    #[test]
    fn a_count_that_goes_back_gives_nothing() {
        let budget = Budget::default();
        assert!(budget.take(100, 1_000_000, 0));
        assert_eq!((0..100).filter(|_| budget.take(100, 5, 1)).count(), 9);
    }
}
