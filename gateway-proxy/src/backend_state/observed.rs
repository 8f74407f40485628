//! What the balancing strategies learn of a backend from its answers.

use std::time::Duration;

use super::Outcome;

/// Kept beside each backend for the strategies that go by latency.
#[derive(Debug, Default)]
pub struct Observed {}

impl Observed {
    /// A request has been answered, or has failed. `latency`: to the head of the response, or to the failure;
    /// `now` in ms.
    pub(super) fn on_result(&self, _outcome: Outcome, _latency: Duration, _now: u64) {}
}
