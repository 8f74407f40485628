//! The parts for tests, tested.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod database;
mod wire;
