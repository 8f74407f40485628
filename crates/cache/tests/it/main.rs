//! The cache before a database of the tests' own and, where it has one, a real Redis.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod buckets;
mod faults;
mod loads;
mod model;
mod nodes;
mod support;
