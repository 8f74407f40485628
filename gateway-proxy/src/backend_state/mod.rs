//! What the gateway knows of each backend: requests in flight, health, ejection, breaker. One state for each
//! address of a pool, shared by all cores and all routes, and kept across every change of the configuration.
//!
//! ```text
//!   control thread: put_pool ──► States ──► PoolStates ──► BackendState (by pool and address)
//!                                                             ▲     ▲ active checks
//!   cores: balance asks usable(now) ─► begin(now) ─► InFlight ┘
//!                                                    │ report(outcome), drop
//! ```
//!
//! # Cost
//! `usable` is one relaxed load where nothing is wrong. A request adds once to the backend's count when it
//! begins and takes once from it when it ends; the count stands in a cache line of its own. A lock is taken only
//! around a failure, and while the backend is not in order.

mod breaker;
mod budget;
pub mod clock;
mod ejection;
mod inner;
mod observed;
mod registry;
mod state;

use std::time::Duration;

pub use breaker::BreakerState;
use budget::Budget;
pub use inner::{Hold, View};
pub use observed::Observed;
pub use registry::{PoolStates, States};
pub use state::{BackendState, Handle, InFlight, Outcome};

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
