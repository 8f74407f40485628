//! The breaker of one backend: a state machine without a clock of its own.
//!
//! ```text
//!            failures in a row, or their rate in a window              open time is over
//!   Closed ──────────────────────────────────────────────► Open ──────────────────────► HalfOpen
//!     ▲                                                      ▲      a trial failed         │ │
//!     │                                                      └─────────────────────────────┘ │
//!     └──────────────────────────────────────────────────────────────────────────────────────┘
//!                                  enough trials succeeded
//! ```

use hotswap_matcher::CircuitBreaker;

use super::millis;

/// What a request says about its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It works.
    Success,
    /// It fails.
    Failure,
    /// Nothing.
    Neutral,
}

/// Where a breaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// None passes.
    Open,
    /// A few pass, to see how they fare.
    HalfOpen,
}

/// Leave for one trial request, in the round that it belongs to: what comes of it later, in another round, says
/// nothing about that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trial(u64);

/// The breaker of one backend.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaker {
    place: Place,
    /// Counts the times that it was opened.
    opened: u64,
}

#[derive(Clone, Debug)]
enum Place {
    Closed { in_a_row: u32, window: Option<Window> },
    Open { until: u64 },
    HalfOpen { trials: u32, successes: u32 },
}

/// Begins with a failure.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: u64,
    failures: u64,
    /// Requests that had begun before the one that failed first.
    before: u64,
}

impl Default for Place {
    fn default() -> Self {
        Self::Closed { in_a_row: 0, window: None }
    }
}

impl Breaker {
    pub(super) fn state(&self) -> BreakerState {
        match self.place {
            Place::Closed { .. } => BreakerState::Closed,
            Place::Open { .. } => BreakerState::Open,
            Place::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How many times it was opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// When it turns half-open by itself, in ms.
    pub(super) fn opens_until(&self) -> Option<u64> {
        match self.place {
            Place::Open { until } => Some(until),
            Place::Closed { .. } | Place::HalfOpen { .. } => None,
        }
    }

    /// Whether a success would change it.
    pub(super) fn minds_success(&self) -> bool {
        !matches!(self.place, Place::Closed { in_a_row: 0, .. })
    }

    /// Time goes by.
    pub(super) fn advance(&mut self, now: u64) {
        if self.opens_until().is_some_and(|until| now >= until) {
            self.place = Place::HalfOpen { trials: 0, successes: 0 };
        }
    }

    /// Whether a request may begin.
    pub(super) fn admits(&self, settings: &CircuitBreaker) -> bool {
        match self.place {
            Place::Closed { .. } => true,
            Place::Open { .. } => false,
            Place::HalfOpen { trials, successes } => {
                trials.saturating_add(successes) < settings.half_open_requests
            }
        }
    }

    /// A request begins, which it admits. While half-open it is a trial.
    pub(super) fn begin(&mut self) -> Option<Trial> {
        match &mut self.place {
            Place::HalfOpen { trials, .. } => {
                *trials += 1;
                Some(Trial(self.opened))
            }
            Place::Closed { .. } | Place::Open { .. } => None,
        }
    }

    /// A request has ended. `requests`: how many have begun since the backend is known, this one included; it may
    /// wrap.
    pub(super) fn end(
        &mut self,
        trial: Option<Trial>,
        verdict: Verdict,
        (now, requests): (u64, u64),
        settings: &CircuitBreaker,
    ) {
        match &mut self.place {
            Place::Closed { in_a_row, window } => match verdict {
                Verdict::Success => *in_a_row = 0,
                Verdict::Neutral => {}
                Verdict::Failure => {
                    *in_a_row = in_a_row.saturating_add(1);
                    let rate = note_failure(window, now, requests, settings);
                    if rate || *in_a_row >= settings.failure_threshold {
                        self.trip(now, settings);
                    }
                }
            },
            Place::HalfOpen { trials, successes } if trial == Some(Trial(self.opened)) => {
                *trials = trials.saturating_sub(1);
                match verdict {
                    Verdict::Neutral => {}
                    Verdict::Failure => self.trip(now, settings),
                    Verdict::Success => {
                        *successes += 1;
                        if *successes >= settings.half_open_requests {
                            self.place = Place::default();
                        }
                    }
                }
            }
            // It began before the breaker opened.
            Place::Open { .. } | Place::HalfOpen { .. } => {}
        }
    }

    fn trip(&mut self, now: u64, settings: &CircuitBreaker) {
        self.opened += 1;
        self.place = Place::Open { until: now.saturating_add(millis(settings.open)) };
    }
}

/// Counts a failure in the window; whether their rate is too high.
fn note_failure(window: &mut Option<Window>, now: u64, requests: u64, settings: &CircuitBreaker) -> bool {
    let Some(rate) = settings.rate else { return false };
    let fresh = Window { since: now, failures: 0, before: requests.wrapping_sub(1) };
    let current = window.filter(|w| now.saturating_sub(w.since) < millis(rate.window));
    let mut current = current.unwrap_or(fresh);
    current.failures += 1;
    *window = Some(current);
    let all = super::state::requests_between(current.before, requests);
    all >= u64::from(rate.min_requests) && current.failures * 100 >= u64::from(rate.percent) * all
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
