//! Real PostgreSQL, Redis, Jaeger, Prometheus, mail and gRPC servers for tests and benchmarks: private, quick to start,
//! and gone with whoever started them.
//!
//! ```text
//!   Postgres::start ──► initdb, postgres ─┐   a folder of its own, a unix socket in it
//!   Redis::start    ──► redis-server ─────┤   stop, kill -9, freeze, start again at the same address
//!   Jaeger, Prometheus, Smtp, Interop ─────┤   on free ports of the loopback
//!                                         │
//!   Folder ──► keeper.sh ◄── a pipe ──────┘   when the pipe closes, in whatever way its owner ended,
//!                                             the keeper kills what runs in the folder and removes it
//! ```
//!
//! Everything here blocks and needs no runtime. It knows nothing else of ours, so that the project's own tools
//! can use it too. PostgreSQL refuses to run as root; where we are root it runs as the user `postgres`, or
//! `nobody` where there is none.

mod find;
mod folder;
mod http;
mod interop;
mod jaeger;
mod postgres;
mod process;
mod prometheus;
mod redis;
mod required;
mod smtp;
mod user;

pub use find::{
    h2spec_program, interop_client_program, jaeger_program, postgres_programs, prometheus_program,
    redis_program, smtp_program, tmux_program, varnishtest_program,
};
pub use http::get as http_get;
pub use interop::Interop;
pub use jaeger::Jaeger;
pub use postgres::{Postgres, PostgresOptions, sql};
pub use process::Frozen;
pub use prometheus::{Prometheus, lint_metrics, promtool};
pub use redis::Redis;
pub use required::required;
pub use smtp::{Mail, Smtp, SmtpTls};

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// A program is not installed. A test that needs it may be skipped.
    #[error("{program} is not installed (Debian package {package})")]
    Missing {
        /// What was looked for.
        program: &'static str,
        /// What would bring it.
        package: &'static str,
    },
    /// A program is not built. A test that needs it may be skipped.
    #[error("{program} is not there; cargo xtask test builds it and names it in {variable}")]
    NotBuilt {
        /// What was looked for.
        program: &'static str,
        /// The variable that says where it is.
        variable: &'static str,
    },
    /// The program is there and does not work. That is a failure and no reason to skip.
    #[error("{0}")]
    Failed(String),
}

impl Unavailable {
    fn failed(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{what}: {error}"))
    }
}
