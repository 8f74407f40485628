//! The edge of every gRPC server: who may pass, and how errors look on the wire.
//!
//! ```text
//!   request ─► AuthLayer ─────────────► tonic service ─► op_context ─► use case
//!              token, role, request id                                   │ app::Error
//!              metrics, one log line a failure                           ▼
//!   response ◄─────────────────────────── Status ◄── WireError ◄── the service's status map
//! ```
//! Every error carries a `google.rpc.ErrorInfo` with domain "hotswap" and a stable reason; bad input carries
//! all its field violations at once (docs/adr/0001-errors-on-the-wire.md). Calls that the layer denies go to the audit
//! log; its AuditService is here too, since every server has it.

mod answer;
mod audit;
mod auth_layer;
mod client;
mod error;
mod expiry;
pub mod limits;
mod span;

pub use audit::{AuditRpc, SigningKey};
pub use auth_layer::{AuthLayer, AuthService, op_context};
pub use client::{BearerToken, ClientError};
pub use error::{WireError, not_built};
