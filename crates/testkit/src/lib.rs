//! Parts for tests, for `dev-dependencies` alone: the real thing, small, on a port of its own.
//!
//! [`TestServer`] serves a service's routes as the suite does: behind the authorization layer, with health and
//! reflection, on loopback, with a key that tests mint tokens from.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod server;

pub use server::{Authed, TestServer};
