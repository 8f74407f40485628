//! Randomness that need not be hard to guess: to spread checks and retries over time.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// A generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Default for Dice {
    fn default() -> Self {
        Self::new()
    }
}

impl Dice {
    /// One that differs between processes and between calls.
    pub fn new() -> Self {
        // The standard library seeds each of these anew.
        Self(RandomState::new().build_hasher().finish())
    }

    /// One that begins where it is told to: two of the same seed say the same.
    #[cfg(test)]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Another one.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A time from 0 to `most`, to the ms.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(self.next() % most.saturating_add(1).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_spread_over_all_that_is_allowed() {
        let mut dice = Dice::seeded(7);
        let most = Duration::from_millis(9);
        let mut counts = [0_u32; 10];
        for _ in 0..10_000 {
            let time = dice.up_to(most);
            assert!(time <= most);
            counts[time.as_millis() as usize] += 1;
        }
        assert!(counts.iter().all(|n| (850..1_150).contains(n)), "{counts:?}");
        assert_eq!(dice.up_to(Duration::ZERO), Duration::ZERO);
    }
}
