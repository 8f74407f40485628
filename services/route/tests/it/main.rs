//! RouteService over a real socket, on a real SQLite file.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and spawns what it likes"
)]

mod audit;
mod cache;
mod certificates;
mod explain;
mod fleet;
mod harness;
mod lists;
mod replicas;
mod rollouts;
mod security;
mod survival;
mod watch;
mod writes;
