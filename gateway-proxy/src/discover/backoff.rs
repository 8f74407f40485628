//! The wait before the next attempt: it doubles, and half of it is drawn, so that a fleet that lost its
//! control plane at once does not come back at once ("full jitter" with a floor; AWS Architecture Blog,
//! "Exponential Backoff And Jitter", 2015).

use std::time::Duration;

const FIRST_MS: u64 = 50;
const LONGEST_MS: u64 = 5_000;

/// Waits that grow until something succeeds.
#[derive(Debug)]
pub(super) struct Backoff {
    ms: u64,
    seed: u64,
}

impl Backoff {
    /// Draws from a seed, which is another for each instance.
    pub(super) fn new(seed: u128) -> Self {
        // The low half of a UUIDv7 is random. Zero is a fixed point of the generator below.
        let low = seed as u64;
        Self { ms: FIRST_MS, seed: if low == 0 { 1 } else { low } }
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let ms = self.ms;
        self.ms = (self.ms * 2).min(LONGEST_MS);
        let half = ms / 2;
        Duration::from_millis(half + self.draw() % (ms - half + 1))
    }

    /// Something succeeded.
    pub(super) fn reset(&mut self) {
        self.ms = FIRST_MS;
    }

    /// xorshift64 (Marsaglia, "Xorshift RNGs", 2003): enough to spread waits.
    fn draw(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_limit_and_never_fall_below_half() {
        let mut backoff = Backoff::new(42);
        let mut ms = FIRST_MS;
        for _ in 0..20 {
            let wait = backoff.next().as_millis() as u64;
            assert!((ms / 2..=ms).contains(&wait), "{wait} of {ms}");
            ms = (ms * 2).min(LONGEST_MS);
        }
        backoff.reset();
        assert!(backoff.next().as_millis() <= u128::from(FIRST_MS));
    }

    #[test]
    fn two_instances_wait_differently() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..10).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        assert_ne!(waits(1), waits(2));
    }
}
