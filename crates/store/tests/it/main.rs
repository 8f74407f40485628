//! The store on real databases.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod behaviour;
mod copies;
mod files;
mod group;
mod leases;
mod schemas;
mod support;
mod tls;
