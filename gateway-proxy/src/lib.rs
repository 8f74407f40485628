//! The data plane: an HTTP gateway that takes its configuration from the control plane as a stream of
//! changes, and never drops a request for one.
pub mod access_log;
pub mod balance;
pub mod config;
pub mod decide;
pub mod discover;
pub mod engine;
pub mod headers;
pub mod metrics;
pub mod options;
pub mod plane;
pub mod reason;
mod run;
pub mod upstream;

pub use run::run;
