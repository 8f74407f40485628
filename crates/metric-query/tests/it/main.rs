//! Queries to a real Prometheus, and to servers that are none.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod prometheus;
mod servers;
mod support;
