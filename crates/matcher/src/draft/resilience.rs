//! What is done about backends that fail.

use serde::{Deserialize, Serialize};

/// Active checks, unchecked; numbers of 0 stand for the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheckDraft {
    /// Path of the request; empty: "/".
    pub path: String,
    /// Between two checks, in ms.
    pub interval_ms: u32,
    /// For one check, in ms.
    pub timeout_ms: u32,
    /// Failures that make it unhealthy.
    pub unhealthy_threshold: u32,
    /// Successes that make it healthy.
    pub healthy_threshold: u32,
    /// How it is checked.
    pub kind: HealthCheckKindDraft,
    /// The Host header; empty: the address.
    pub host: String,
    /// Statuses that are a success; none: 200 to 299.
    pub expected_statuses: Vec<u32>,
    /// How far the interval strays; none: 10.
    pub jitter_percent: Option<u32>,
    /// The service that a check by gRPC asks about; empty: the server as a whole.
    pub service: String,
}

/// How a backend is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheckKindDraft {
    /// By a GET.
    #[default]
    Http,
    /// By a connection.
    Tcp,
    /// By a call of gRPC.
    Grpc,
}

/// A breaker, unchecked; numbers of 0 stand for the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CircuitBreakerDraft {
    /// Consecutive failures that open it.
    pub failure_threshold: u32,
    /// From open to half-open, in ms.
    pub open_ms: u32,
    /// Trials at once.
    pub half_open_requests: u32,
    /// Percentage of failures that opens it; 0: off; none: 50.
    pub failure_rate_percent: Option<u32>,
    /// The window of the rate, in ms.
    pub window_ms: u32,
    /// Requests that a window must have.
    pub min_requests: u32,
}

/// When a backend is taken out, unchecked; numbers of 0 stand for the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutlierEjectionDraft {
    /// Consecutive failures.
    pub consecutive_failures: u32,
    /// The first time, in ms.
    pub base_ms: u32,
    /// The longest time, in ms.
    pub max_ms: u32,
    /// The most at once, in percent.
    pub max_ejected_percent: u32,
}

/// When a request is tried again, unchecked; numbers of 0 stand for the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryDraft {
    /// Tries after the first.
    pub max_retries: u32,
    /// For one try, in ms; 0: none.
    pub per_try_ms: u32,
    /// The first pause at most, in ms.
    pub base_backoff_ms: u32,
    /// Any pause at most, in ms.
    pub max_backoff_ms: u32,
    /// Retries in percent of requests.
    pub budget_percent: u32,
    /// The largest body that is kept, in bytes.
    pub max_body_bytes: u32,
    /// Calls of gRPC are tried again, too.
    pub grpc_unavailable: bool,
}
