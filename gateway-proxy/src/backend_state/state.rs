//! One backend.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hotswap_matcher::Address;

use super::Observed;

/// Gate: requests may go.
const FREE: u64 = 0;
/// Lower bits of the load: requests in flight. The bits above count those that began, and wrap.
const ACTIVE_BITS: u32 = 24;
const ONE_MORE: u64 = (1 << ACTIVE_BITS) + 1;
const ACTIVE_MASK: u64 = (1 << ACTIVE_BITS) - 1;

/// What became of a request that went to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, with this status.
    Status(u16),
    /// It could not be reached.
    Unreachable,
    /// It took the connection, but did not answer in time, or not with a whole answer.
    NoAnswer,
    /// The request ended before the backend could be judged by it.
    Unknown,
}

/// A core's pointer to a state. To hand it on does not touch memory that cores share.
pub type Handle = Rc<Arc<BackendState>>;

/// A backend of a pool, as all cores see it.
#[derive(Debug)]
pub struct BackendState {
    address: Address,
    load: Padded<AtomicU64>,
    gate: Padded<AtomicU64>,
    observed: Observed,
}

/// Alone in its cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Padded<T>(T);

/// A request that a backend has. Dropped, it is over.
#[derive(Debug)]
pub struct InFlight {
    state: Handle,
    began: Instant,
}

impl BackendState {
    pub(super) fn new(address: &Address) -> Self {
        Self {
            address: address.clone(),
            load: Padded::default(),
            gate: Padded::default(),
            observed: Observed::default(),
        }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether a request may go to it at `now`, in ms; see [`super::clock`]. Asking changes nothing of note.
    pub fn usable(&self, _now: u64) -> bool {
        self.gate.0.load(Ordering::Relaxed) == FREE
    }

    /// Requests in flight, of all cores.
    pub fn active(&self) -> u32 {
        u32::try_from(self.load.0.load(Ordering::Relaxed) & ACTIVE_MASK).unwrap_or(u32::MAX)
    }

    /// What the strategies have learned of it.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// A request goes to it; `None`: it may not after all, since another core was faster.
    pub fn begin(state: &Handle, now: u64) -> Option<InFlight> {
        if !state.usable(now) {
            return None;
        }
        state.load.0.fetch_add(ONE_MORE, Ordering::Relaxed);
        Some(InFlight { state: Rc::clone(state), began: Instant::now() })
    }
}

impl BackendState {
    /// A request goes to it whatever is known of it, since too few others are left.
    pub fn begin_anyway(state: &Handle) -> InFlight {
        state.load.0.fetch_add(ONE_MORE, Ordering::Relaxed);
        InFlight { state: Rc::clone(state), began: Instant::now() }
    }
}

impl InFlight {
    /// The backend it went to.
    pub fn state(&self) -> &Handle {
        &self.state
    }

    /// It was answered, or has failed.
    pub fn report(&self, outcome: Outcome, now: u64) {
        let latency = self.began.elapsed();
        self.state.on_result(outcome, latency, now);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.load.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl BackendState {
    fn on_result(&self, outcome: Outcome, latency: Duration, now: u64) {
        self.observed.on_result(outcome, latency, now);
    }
}
