//! RouteService and the gateway's configuration watch: routes and pools, validated, stored with their whole
//! history, and streamed to every proxy. The folder's README has the tables and pictures.
//!
//! ```text
//!   rpc     tonic services, conversions, status map, watch streams     knows the wire
//!    │
//!   app     a use case a file: check, load, decide, save               knows neither
//!    │
//!   store   rows and SQL                                               knows the database
//!   domain  content, masks, differences: pure
//! ```

mod app;
mod domain;
mod metrics;
mod notices;
mod rpc;
mod server;
mod store;
mod target;

pub use app::Error;
pub use metrics::METRICS;
pub use server::{RouteOptions, RouteServer, ServerOptions};
pub use target::RouteTarget;
