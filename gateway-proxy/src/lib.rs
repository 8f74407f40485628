//! The data plane: an HTTP gateway that takes its configuration from the control plane as a stream of
//! changes, and drops no request for one.
//!
//! ```text
//!   control plane ══ WatchConfig ══► discover ─► config::Catalog ─► Compiled ─► Live
//!                                    (control thread)  │                           │ one load a request
//!                                                      └─► state, on disk          ▼
//!   clients ══ SO_REUSEPORT ══► engine, one thread a core ── decide ── balance ── upstream ══► backends
//!                                    │
//!                                    └─► metrics, access log
//! ```
//!
//! A request touches nothing that another core writes, but for the state of its backend: the requests in flight
//! there, its health and how fast it answers. A configuration is compiled off the hot path and
//! swapped in whole; a request keeps the one that it began with.

pub mod access_log;
pub mod admin;
pub mod backend_state;
pub mod balance;
pub mod config;
pub mod decide;
pub mod dice;
pub mod discover;
pub mod engine;
pub mod explain;
pub mod fleet;
pub mod grpc;
mod handover;
pub mod headers;
mod health;
pub mod keys;
pub mod metrics;
pub mod options;
pub mod plane;
pub mod proxy_header;
pub mod reason;
mod respawn;
pub mod rollout;
mod run;
pub mod security;
pub mod standing;
pub mod state;
mod tell;
pub mod tls;
pub mod trace;
pub mod traffic;
pub mod upstream;

pub use options::GatewayOptions;
pub use run::run;
