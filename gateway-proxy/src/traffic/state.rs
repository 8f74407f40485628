//! What is kept for a route's traffic features, whatever becomes of its configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::mirror::Copies;
use super::rate::Buckets;
use crate::reason::Reason;

/// Why traffic features refuse requests.
pub const REASONS: [Reason; 11] = [
    Reason::AddressDenied,
    Reason::CorsDenied,
    Reason::BodyTooLarge,
    Reason::HeadTooLarge,
    Reason::TokenMissing,
    Reason::TokenInvalid,
    Reason::KeysUnavailable,
    Reason::RateLimited,
    Reason::LimitUnavailable,
    Reason::ConcurrencyLimit,
    Reason::FaultInjected,
];

/// The state of one route, shared by all cores and all revisions of the route.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct TrafficState {
    in_flight: AtomicU32,
    pub(super) buckets: Buckets,
    copies: Copies,
    refused: [AtomicU64; REASONS.len()],
}

/// A request's place among those under way; it is free again when this is dropped.
#[derive(Debug)]
pub struct Slot(Arc<TrafficState>);

impl TrafficState {
    /// Requests under way that have a slot.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What came of the copies for its mirror.
    pub fn copies(&self) -> &Copies {
        &self.copies
    }

    /// How many requests were refused for each of [`REASONS`].
    pub fn refusals(&self) -> [(Reason, u64); REASONS.len()] {
        std::array::from_fn(|i| {
            let count = self.refused.get(i).map_or(0, |n| n.load(Ordering::Relaxed));
            (REASONS.get(i).copied().unwrap_or(Reason::AddressDenied), count)
        })
    }

    pub(super) fn refused(&self, reason: Reason) {
        let place = REASONS.iter().position(|r| *r == reason);
        if let Some(count) = place.and_then(|i| self.refused.get(i)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Slot {
    /// One of `most`; `None`: all are taken.
    pub(super) fn take(state: &Arc<TrafficState>, most: u32) -> Option<Self> {
        let one_more = |n: u32| (n < most).then_some(n + 1);
        let taken = state.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Self(Arc::clone(state)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
