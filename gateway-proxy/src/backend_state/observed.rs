//! What the balancing strategies learn of a backend from its answers: a peak EWMA of the time that they take, as in
//! Finagle and linkerd. A slower answer counts at once, faster ones little by little, and with time it is forgotten.
//! A failure counts as a very slow answer: else one that fails fast would draw all requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Outcome;

/// After so many ms the past counts for 1/e.
const DECAY_MS: f64 = 10_000.0;
/// A failure counts as an answer that took so many times as long.
const PENALTY: f64 = 10.0;
/// But at least and at most so long, in µs.
const LEAST_PENALTY: f64 = 10_000.0;
const MOST_PENALTY: f64 = 5_000_000.0;

/// Kept beside each backend for the strategies that go by latency. Cores write it without a lock: where two write at
/// once one of their answers is lost, which changes little.
#[derive(Debug, Default)]
pub struct Observed {
    /// The bits of an `f64`, in µs; 0: nothing is known.
    latency: AtomicU64,
    /// When it was true, in ms.
    at: AtomicU64,
}

impl Observed {
    /// A request has been answered, or has failed. `latency`: to the head of the response, or to the failure;
    /// `now` in ms.
    pub(super) fn on_result(&self, outcome: Outcome, latency: Duration, now: u64) {
        let took = latency.as_secs_f64() * 1e6;
        let at = self.at.load(Ordering::Relaxed);
        let known = f64::from_bits(self.latency.load(Ordering::Relaxed));
        let sample = match outcome {
            Outcome::Unknown => return,
            Outcome::Status(429 | 500..) | Outcome::Unreachable | Outcome::NoAnswer => {
                took.max((known * PENALTY).clamp(LEAST_PENALTY, MOST_PENALTY))
            }
            Outcome::Status(_) => took,
        };
        // The clock of a core moves every 25 ms. What comes in between and is not slower changes nothing.
        if known > 0.0 && now <= at && sample <= known {
            return;
        }
        let old = decayed(known, at, now);
        let new = if known > 0.0 && sample < known { old + sample * (1.0 - kept(at, now)) } else { sample };
        self.latency.store(new.max(f64::MIN_POSITIVE).to_bits(), Ordering::Relaxed);
        self.at.store(now, Ordering::Relaxed);
    }

    /// The time to an answer at `now`, in µs; `None`: nothing is known.
    pub fn latency(&self, now: u64) -> Option<f64> {
        let known = f64::from_bits(self.latency.load(Ordering::Relaxed));
        (known > 0.0).then(|| decayed(known, self.at.load(Ordering::Relaxed), now))
    }
}

fn decayed(known: f64, at: u64, now: u64) -> f64 {
    known * kept(at, now)
}

/// The part of the past that still counts.
fn kept(at: u64, now: u64) -> f64 {
    let passed = now.saturating_sub(at);
    if passed == 0 { 1.0 } else { (-(passed as f64) / DECAY_MS).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Outcome = Outcome::Status(200);

    fn of(results: &[(Outcome, u64, u64)]) -> Observed {
        let observed = Observed::default();
        for (outcome, micros, now) in results {
            observed.on_result(*outcome, Duration::from_micros(*micros), *now);
        }
        observed
    }

    fn near(observed: &Observed, now: u64, want: f64) {
        let got = observed.latency(now).expect("known");
        assert!((got - want).abs() < want / 100.0, "{got} µs, not {want}");
    }

    #[test]
    fn a_slower_answer_counts_at_once_and_faster_ones_little_by_little() {
        assert_eq!(Observed::default().latency(1), None);
        let observed = of(&[(OK, 1_000, 1), (OK, 9_000, 1)]);
        near(&observed, 1, 9_000.0);
        observed.on_result(OK, Duration::from_micros(1_000), 1_001);
        near(&observed, 1_001, 9_000.0 * 0.904_8 + 1_000.0 * 0.095_2);
        for second in 2..100 {
            observed.on_result(OK, Duration::from_micros(1_000), second * 1_000);
        }
        near(&observed, 99_000, 1_000.0);
    }

    #[test]
    fn a_failure_costs_more_than_what_answers_and_is_forgotten_with_time() {
        let observed = of(&[(OK, 5_000, 1), (Outcome::Status(503), 100, 1)]);
        near(&observed, 1, 50_000.0);
        near(&observed, 10_001, 50_000.0 * 0.367_9);
        near(&of(&[(Outcome::Unreachable, 10, 1)]), 1, LEAST_PENALTY);
        near(&of(&[(Outcome::Status(429), 10, 1); 9]), 1, MOST_PENALTY);
        assert_eq!(of(&[(Outcome::Unknown, 10, 1)]).latency(1), None);
    }
}
