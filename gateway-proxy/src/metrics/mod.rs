//! Counting. Each core counts for itself, in memory that no other core writes; a scrape adds the cores up.
//!
//! | metric | kind | labels | meaning |
//! |---|---|---|---|
//! | `gateway_requests_total` | counter | `class` | exchanges ended, by the class of the status ("2xx" …, "none": the client went away before one) |
//! | `gateway_requests_failed_total` | counter | `reason` | exchanges that the gateway answered by itself or had to cut, by reason code |
//! | `gateway_request_duration_seconds` | histogram | | from the head of the request to the last byte of the response |
//! | `gateway_backend_duration_seconds` | histogram | | from the choice of a backend to the head of its response, each try by itself |
//! | `gateway_active_connections` | gauge | | client connections open |
//! | `gateway_connections_total` | counter | | client connections accepted |
//! | `gateway_upstream_connects_total` | counter | `result` | connections to backends opened ("ok") and failed ("failed") |
//! | `gateway_upstream_reuses_total` | counter | | exchanges on a backend connection that was open already |
//! | `gateway_upstream_retries_total` | counter | | exchanges sent anew, because the backend had closed an idle connection |
//! | `gateway_retries_total` | counter | `outcome` | tries after the first ("sent"), requests that one of them answered with a status below 500 ("saved"), tries that the budget did not allow ("over_budget") |
//! | `gateway_config_revision` | gauge | | revision that is served; 0: none yet |
//! | `gateway_config_applied_total` | counter | | snapshots and deltas applied |
//! | `gateway_config_refused_total` | counter | | resources refused |
//! | `gateway_config_stale` | gauge | | 1: what is served comes from disk, and the control plane has not confirmed it yet |
//! | `gateway_state_revision` | gauge | | revision that is safe on disk; 0: none |
//! | `gateway_state_write_errors_total` | counter | | times that the configuration could not be kept on disk |
//! | `gateway_control_plane_connected` | gauge | | 1: the watch is connected |
//! | `gateway_backends` | gauge | `condition` | backends of pools that have checks, breakers, ejection or a backend that an operator holds: all of them, and those that are "out", "unhealthy", "ejected", "open", "half_open", "held" |
//! | `gateway_circuit_breaker_state` | gauge | `pool`, `backend` | 0: closed, 1: half-open, 2: open; of the first 1,000 backends with a breaker |
//! | `gateway_circuit_breaker_opened_total` | counter | `pool`, `backend` | times that the breaker was opened; of the same |
//! | `gateway_backend_healthy` | gauge | `pool`, `backend` | 1: active checks say so, 0: they do not; of the first 1,000 backends that are checked |
//! | `gateway_health_checks_total` | counter | `result` | active checks that succeeded ("ok") and failed ("failed") |
//! | `gateway_access_log_dropped_total` | counter | | lines of the access log that were dropped, because the writer was behind |

mod backends;
mod collector;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

pub use backends::CollectedBackends;
pub use collector::Collected;

use crate::reason::Reason;

/// Upper bounds of the latency buckets, in µs.
const BUCKETS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// A count that one thread writes and any may read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it. Only the thread that owns it may: there is no other writer, so no locked instruction is
    /// needed.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Takes from it, as [`Count::add`].
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one core counts. Aligned so that no cache line is shared with another core.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CoreMetrics {
    classes: [Count; CLASSES.len()],
    failed: [Count; Reason::ALL.len()],
    requests: Latency,
    /// From the choice of a backend to the head of its response.
    pub backends: Latency,
    /// Client connections open.
    pub active: Count,
    /// Client connections accepted.
    pub accepted: Count,
    /// Connections to backends opened.
    pub connects: Count,
    /// Connections to backends that failed to open.
    pub connect_failures: Count,
    /// Exchanges on a connection that was open already.
    pub reuses: Count,
    /// Exchanges sent anew.
    pub retries: Count,
    /// Tries after the first.
    pub tries: Count,
    /// Tries that the budget did not allow.
    pub tries_refused: Count,
    /// Requests that a later try answered with a status below 500.
    pub tries_saved: Count,
}

/// How long something took, in buckets.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [Count; BUCKETS_US.len() + 1],
    sum_us: Count,
}

impl Latency {
    /// Counts one.
    pub fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.iter().position(|b| us <= *b).unwrap_or(BUCKETS_US.len());
        if let Some(count) = self.buckets.get(bucket) {
            count.add(1);
        }
        self.sum_us.add(us);
    }
}

impl CoreMetrics {
    /// Counts the end of an exchange; `status` is `None` where the client got none.
    pub fn ended(&self, status: Option<StatusCode>, reason: Option<Reason>, took: Duration) {
        let class = status.map_or(0, |s| usize::from(s.as_u16() / 100));
        if let Some(count) = self.classes.get(class) {
            count.add(1);
        }
        if let Some(count) = reason.and_then(|r| self.failed.get(r as usize)) {
            count.add(1);
        }
        self.requests.add(took);
    }
}

/// What the control thread counts.
#[derive(Debug, Default)]
pub struct ControlMetrics {
    /// The revision served; 0: none.
    pub revision: AtomicI64,
    /// Snapshots and deltas applied.
    pub applied: AtomicU64,
    /// Resources refused.
    pub refused: AtomicU64,
    /// 1: the watch is connected.
    pub connected: AtomicU64,
    /// 1: what is served comes from disk, and the control plane has not confirmed it yet.
    pub stale: AtomicU64,
    /// The revision that is safe on disk; 0: none.
    pub state_revision: AtomicI64,
    /// Changes that could not be written.
    pub state_write_errors: AtomicU64,
    /// Active checks that succeeded.
    pub checks_ok: AtomicU64,
    /// Active checks that failed.
    pub checks_failed: AtomicU64,
    /// Lines of the access log that were dropped.
    pub log_dropped: AtomicU64,
}

/// All that the gateway counts.
#[derive(Clone, Debug)]
pub struct GatewayMetrics {
    /// One for each core.
    pub cores: Vec<Arc<CoreMetrics>>,
    /// The control thread's.
    pub control: Arc<ControlMetrics>,
}

impl GatewayMetrics {
    /// For so many cores.
    pub fn new(cores: usize) -> Self {
        Self { cores: (0..cores).map(|_| Arc::default()).collect(), control: Arc::default() }
    }

    fn sum(&self, of: impl Fn(&CoreMetrics) -> &Count) -> u64 {
        self.cores.iter().fold(0, |sum, core| sum.wrapping_add(of(core).get()))
    }
}
