//! How long to wait before the next try.

use std::time::Duration;

const FIRST_MS: u64 = 50;
const LONGEST_MS: u64 = 5_000;

/// Doubles from 50 ms to 5 s; each wait is drawn between half of that and the whole, so that many gateways
/// do not come back at once.
#[derive(Debug)]
pub struct Backoff {
    ceiling_ms: u64,
    state: u64,
}

impl Backoff {
    /// From the beginning. `seed` differs between gateways.
    pub fn new(seed: u128) -> Self {
        let folded = (seed as u64) ^ ((seed >> 64) as u64);
        Self { ceiling_ms: FIRST_MS, state: folded | 1 }
    }

    /// The next wait.
    pub fn pause(&mut self) -> Duration {
        let ceiling = self.ceiling_ms;
        self.ceiling_ms = (ceiling * 2).min(LONGEST_MS);
        // xorshift64: enough to spread reconnects.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let half = ceiling / 2;
        Duration::from_millis(half + self.state % (ceiling - half + 1))
    }

    /// Begins again with short waits: something worked.
    pub fn reset(&mut self) {
        self.ceiling_ms = FIRST_MS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_5_s_and_differ_between_gateways() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..20).map(|_| backoff.pause().as_millis() as u64).collect::<Vec<_>>()
        };
        let (a, b) = (waits(1), waits(2));
        assert_ne!(a, b);
        let mut ceiling = 50;
        for wait in a {
            assert!((ceiling / 2..=ceiling).contains(&wait), "{wait} of {ceiling}");
            ceiling = (ceiling * 2).min(5_000);
        }
    }

    #[test]
    fn success_begins_it_again() {
        let mut backoff = Backoff::new(7);
        for _ in 0..10 {
            backoff.pause();
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(50));
    }
}
