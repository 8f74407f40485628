//! Rollouts at home, on a real database: SQLite, or PostgreSQL where the run says `HOTSWAP_TEST_STORE=postgres`.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and spawns what it likes"
)]

mod approvals;
mod commands;
mod counts;
mod crashes;
mod driver;
mod freeze;
mod harness;
mod lists;
mod live;
mod policies;
mod rpc;
mod table;
mod thread;
