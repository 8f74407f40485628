//! The audit log on real databases.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod exports;
mod guards;
mod lists;
mod metrics;
mod retention;
mod support;
mod tampering;
mod writing;
