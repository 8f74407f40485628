//! One backend, as a picker keeps it.

use hotswap_matcher::Backend;

use super::hash;

/// All of a ramp. A backend that is led up to its share begins with a tenth of it.
pub(super) const FULL: u32 = 1_024;
const LEAST: u64 = FULL as u64 / 10;

/// A backend's place in the pool.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) weight: u32,
    pub(super) priority: u8,
    /// The configuration lets it take requests.
    pub(super) enabled: bool,
    /// Of its address.
    pub(super) hash: u64,
    /// The part of its share that it gets now, of [`FULL`].
    ramp: u32,
    /// It took requests at the last look.
    up: bool,
    /// Since when, in ms; 0: it always has.
    since: u64,
    /// What it has gained in smooth weighted round robin.
    pub(super) gained: i64,
}

impl Place {
    pub(super) fn new(backend: &Backend) -> Self {
        Self {
            weight: backend.weight,
            priority: backend.priority,
            enabled: backend.is_enabled(),
            hash: hash::of(backend.address.as_str().as_bytes()),
            ramp: FULL,
            up: false,
            since: 0,
            gained: 0,
        }
    }

    /// The most that it can gain in a round.
    pub(super) fn most(&self) -> i64 {
        i64::from(self.weight) * i64::from(FULL)
    }

    /// Its weight, as far as it has been led up; never 0 for one that takes requests.
    pub(super) fn effective(&self, weighted: bool) -> u64 {
        let weight = if weighted { self.weight } else { 1 };
        u64::from(weight) * u64::from(self.ramp)
    }

    /// Goes on where another stood. What was gained stays within the new sum.
    pub(super) fn keep(&mut self, was: &Self, sum: i64) {
        (self.up, self.since, self.ramp) = (was.up, was.since, was.ramp);
        self.gained = was.gained.clamp(-sum, sum);
    }

    /// Notes whether it takes requests. One that begins to is led up, but for those that a pool begins with.
    pub(super) fn look(&mut self, takes: bool, fresh: bool, now: u64) {
        if takes && !self.up {
            self.since = if fresh { 0 } else { now };
        }
        self.up = takes;
    }

    pub(super) fn lead_up(&mut self, slow_start_ms: u64, now: u64) {
        let passed = now.saturating_sub(self.since);
        self.ramp = if self.since == 0 || passed >= slow_start_ms {
            FULL
        } else {
            let led = u64::from(FULL).saturating_mul(passed) / slow_start_ms;
            u32::try_from(led.max(LEAST)).unwrap_or(FULL)
        };
    }

    pub(super) fn takes(&self) -> bool {
        self.up
    }

    pub(super) fn is_ramping(&self) -> bool {
        self.up && self.ramp < FULL
    }
}
