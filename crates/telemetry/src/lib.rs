//! Logs and metrics.
//!
//! Logs go to standard error, as text or as one JSON object a line. Metrics live in one registry for each
//! process and leave it as Prometheus text at `/metrics`.
//!
//! | metric | kind | labels | meaning |
//! |---|---|---|---|
//! | `hotswap_rpc_requests_total` | counter | `method`, `code` | calls answered |
//! | `hotswap_rpc_duration_seconds` | histogram | `method` | time to the head of the answer |

mod grpc;
mod logging;
mod metrics;

pub use grpc::GrpcMetrics;
pub use logging::{LogFormat, LogOptions, init_logging};
pub use metrics::{Metrics, MetricsError};
