//! The servers are real, and so is their end.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod ends;
mod postgres;
mod redis;
mod smtp;

use hotswap_test_servers::Unavailable;

/// What was started; nothing where it is not installed, which is a failure where all is required.
fn there<T>(what: Result<T, Unavailable>) -> Option<T> {
    match what {
        Ok(there) => Some(there),
        Err(Unavailable::Missing { .. }) if std::env::var_os("HOTSWAP_REQUIRE_ALL").is_none() => None,
        Err(why) => panic!("{why}"),
    }
}
