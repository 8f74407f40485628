//! Traces: spans of `tracing`, sent over OTLP.
//!
//! ```text
//!  client ── traceparent ──► rpc span ──► store.write ── commit, with the context of the write
//!                                                           │ change log
//!                                                           ▼
//!  gateway.apply ◄── trace_contexts of the delta ◄── watch of any replica
//! ```
//! A span is made with `tracing`'s macros under a target that begins with "hotswap", at DEBUG or above. Without
//! `--otlp-endpoint` those at DEBUG cost one atomic load.

mod context;
mod export;
mod options;
mod request;

pub use context::{TraceContext, current, follow, follow_all, trace_id};
pub(crate) use export::SPANS;
pub use export::{TraceError, Traces};
pub use options::{SampleRatio, TraceOptions};
pub use request::{Attribute, RequestTrace, RequestTraces};
