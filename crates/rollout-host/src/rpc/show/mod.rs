//! From the engine to the contract.

mod event;
mod measurement;
mod plan;
mod policy;
mod rollout;
mod words;

use hotswap_core::Timestamp;
use hotswap_rollout::{Exposure, Millis};

pub(super) use event::event;
pub(super) use measurement::measurement;
pub(super) use policy::{freeze, policy};
pub(super) use rollout::{pending, rollout};

pub(super) fn time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.seconds(), nanos: at.subsec_nanos() }
}

fn duration(span: Millis) -> prost_types::Duration {
    let seconds = i64::try_from(span.0 / 1_000).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: i32::try_from(span.0 % 1_000 * 1_000_000).unwrap_or(0) }
}

/// The share that somebody gets, in basis points. Of a cohort nobody knows it.
fn share_bps(exposure: &Exposure) -> u32 {
    exposure.share().map(u32::from).unwrap_or_default()
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod figures_tests;
#[cfg(test)]
mod tests;
