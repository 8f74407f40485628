//! Counting. Each core counts for itself, in memory that no other core writes; a scrape adds the cores up.

mod backends;
mod certificates;
mod collector;
mod declared;
mod rollouts;
mod traffic;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hotswap_matcher::ContentCoding;
use http::StatusCode;

pub use backends::CollectedBackends;
pub use certificates::CollectedCertificates;
pub use collector::Collected;
pub use declared::METRICS;
pub use rollouts::CollectedRollouts;
pub use traffic::CollectedTraffic;

use crate::grpc::{self, Code};
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

/// A count for each reason.
#[derive(Debug)]
struct PerReason([Count; Reason::ALL.len()]);

impl Default for PerReason {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

impl PerReason {
    fn get(&self, reason: Reason) -> Option<&Count> {
        self.0.get(reason as usize)
    }
}

/// What one core counts. Aligned so that no cache line is shared with another core.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CoreMetrics {
    classes: [Count; CLASSES.len()],
    failed: PerReason,
    requests: Latency,
    calls: [Count; grpc::NAMES.len()],
    /// From the choice of a backend to the head of its response.
    pub backends: Latency,
    /// Connections of clients by HTTP/2.
    pub http2_connections: Count,
    /// Requests that came over them.
    pub http2_streams: Count,
    /// Those of them that were ended because the client sent too much that brings nothing.
    pub http2_calmed: Count,
    /// Those that were ended because they broke the protocol.
    pub http2_refused: Count,
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
    /// Connections that have switched to another protocol.
    pub upgrades: Count,
    /// Those of them that are open.
    pub upgraded: Count,
    /// Bytes that they brought from clients.
    pub upgraded_in: Count,
    /// Bytes that they brought to clients.
    pub upgraded_out: Count,
    /// Connections without the header of the PROXY protocol that they should begin with.
    pub proxy_headers_refused: Count,
    /// Handshakes of TLS from the beginning.
    pub tls_full: Count,
    /// Sessions of TLS that were taken up again.
    pub tls_resumed: Count,
    /// Handshakes that came to nothing.
    pub tls_failed: Count,
    /// Handshakes that took too long.
    pub tls_timed_out: Count,
    /// Handshakes of TLS with backends, from the beginning.
    pub backend_tls_full: Count,
    /// Sessions of TLS with backends that were taken up again.
    pub backend_tls_resumed: Count,
    /// Handshakes with backends that came to nothing.
    pub backend_tls_failed: Count,
    /// Copies sent to candidates.
    pub copies: Count,
    /// Copies that were dropped: too many were under way, or the body was too large.
    pub copies_dropped: Count,
    /// Responses that were compressed: by zstd, brotli, gzip; and those for which there was no room.
    pub compressed: [Count; 4],
    /// Bytes of them before.
    pub compressed_in: Count,
    /// Bytes of them after.
    pub compressed_out: Count,
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
    /// Counts a response that is compressed; `None`: there was no room.
    pub fn compressed(&self, coding: Option<ContentCoding>) {
        let place = ContentCoding::ALL.iter().position(|c| Some(*c) == coding);
        if let Some(count) = self.compressed.get(place.unwrap_or(ContentCoding::ALL.len())) {
            count.add(1);
        }
    }

    /// Counts the end of an exchange; `status` is `None` where the client got none.
    pub fn ended(&self, status: Option<StatusCode>, reason: Option<Reason>, took: Duration) {
        let class = status.map_or(0, |s| usize::from(s.as_u16() / 100));
        if let Some(count) = self.classes.get(class) {
            count.add(1);
        }
        if let Some(count) = reason.and_then(|r| self.failed.get(r)) {
            count.add(1);
        }
        self.requests.add(took);
    }

    /// Counts the end of a call of gRPC; `code` is `None` where it had no status.
    pub(crate) fn call_ended(&self, code: Option<Code>) {
        if let Some(count) = self.calls.get(Code::place(code)) {
            count.add(1);
        }
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
    /// Active checks that could not be made, for want of a socket.
    pub checks_not_made: AtomicU64,
    /// Client connections that may be open; 0: there is no limit.
    pub max_connections: AtomicU64,
    /// Times that as many were open.
    pub connection_limits: AtomicU64,
    /// Key sets fetched.
    pub keys_ok: AtomicU64,
    /// Key sets that could not be fetched.
    pub keys_failed: AtomicU64,
    /// Lines of the access log that were dropped.
    pub log_dropped: AtomicU64,
    /// Times that new certificates for clients were taken.
    pub tls_reloads: AtomicU64,
    /// 1: the files of certificates for clients can't be used, and what was in force stays so.
    pub tls_stale: AtomicU64,
    trouble: Mutex<String>,
    tls_trouble: Mutex<String>,
}

impl ControlMetrics {
    /// Why there is no stream from the control plane, in words; empty: nothing is known to be wrong.
    pub fn trouble(&self) -> String {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the files of certificates for clients can't be used; empty: they can.
    pub fn tls_trouble(&self) -> String {
        self.tls_trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says why they can't be used.
    pub fn set_tls_trouble(&self, why: String) {
        *self.tls_trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Says why there is no stream.
    pub fn set_trouble(&self, why: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
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
