//! A process from the outside: its signals, its exit, its admin page.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod admin;
mod process;
mod tls;
