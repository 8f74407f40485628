//! The gateway on real sockets.
#![expect(clippy::expect_used, reason = "a test fails by panicking, and spawns what it likes")]

mod balancing;
mod clients;
mod control;
mod differential;
mod differential_back;
mod disk;
mod failures;
mod gateway_process;
mod health;
mod hostile;
mod process;
mod proxying;
mod restarts;
mod retries;
mod support;
mod swaps;
mod varnishtest;
mod watch;
