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
mod kills;
mod lists;
mod live;
mod policies;
#[expect(dead_code, reason = "an example uses the rest")]
mod replicas;
mod retention;
mod rpc;
mod survival;
mod table;
mod thread;
