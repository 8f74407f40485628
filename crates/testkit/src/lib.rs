//! Parts for tests, for `dev-dependencies` alone: the real thing, small, on an address of its own, and gone with
//! the test.
//!
//! ```text
//!   TestServer     a service's routes as the suite serves them: authorization, health, reflection, loopback
//!   Authority      certificates of one's own, as files
//!   Forge          tokens that nobody should take
//!   TestDatabase   an empty database in the PostgreSQL of the run            ┐
//!   Postgres       a server of one's own: stop, kill, freeze, copy, standby  │ each a Result;
//!   Redis          the same for Redis                                        ┘ required(…) judges it
//!   Wire           a network between a client and a server: cut, frozen, slow, led elsewhere
//!   Frozen         a process that stands still
//! ```
//!
//! A test that needs a server says in one line what becomes of it where there is none: it is skipped and named,
//! or fails where `HOTSWAP_REQUIRE_ALL=1` is set.
//!
//! ```ignore
//! let Some(database) = required(TestDatabase::create()) else { return };
//! ```
//!
//! `cargo xtask test` starts one PostgreSQL for the whole run and tells where by `HOTSWAP_TEST_POSTGRES_URL`. A
//! test that runs without it starts a server for its process. A test that stops its server takes a [`Postgres`] of
//! its own. What is started here is gone at the end of the test's process, even where that is killed.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod authority;
mod database;
mod forge;
mod server;
mod wire;

pub use authority::{Authority, Identity};
pub use database::{TestDatabase, postgres};
pub use forge::Forge;
pub use hotswap_test_servers::{
    Frozen, Jaeger, Mail, Postgres, PostgresOptions, Prometheus, Redis, Smtp, SmtpTls, Unavailable, http_get,
    lint_metrics, promtool, required, sql, tmux_program,
};
pub use server::{Authed, TestServer};
pub use wire::{Target, Wire};
