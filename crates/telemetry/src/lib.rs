//! Logs, traces and metrics.
//!
//! Logs go to standard error, as text or as one JSON object a line. Metrics live in one registry for each
//! process and leave it as Prometheus text at `/metrics`. Spans go to a collector over OTLP, where one is named.
//!
//! | metric | kind | labels | meaning |
//! |---|---|---|---|
//! | `hotswap_rpc_requests_total` | counter | `method`, `code` | calls answered |
//! | `hotswap_rpc_duration_seconds` | histogram | `method` | time to the head of the answer |
//! | `hotswap_trace_spans_total` | counter | `outcome` | spans sent to the collector, or lost |

mod grpc;
mod logging;
mod metrics;
mod start;
pub mod trace;

pub use grpc::GrpcMetrics;
pub use logging::{LogFormat, LogOptions};
pub use metrics::{Metrics, MetricsError};
pub use start::{Process, TelemetryError, start};
pub use trace::{TraceOptions, Traces};

use hotswap_core::MetricDef;

/// What every server declares.
pub const SERVER_METRICS: &[MetricDef] = &[grpc::REQUESTS, grpc::DURATION];

/// What every process declares.
pub const PROCESS_METRICS: &[MetricDef] = &[trace::SPANS];
