//! Smoke tests: requests that a candidate must answer well before anybody gets it.

use std::fmt;

use hotswap_core::Violations;
use serde::{Deserialize, Serialize};

use crate::Millis;

/// A request, and the answer that it must get.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SmokeTest {
    /// Method, in capitals.
    pub method: String,
    /// Path with its query, from "/".
    pub path: String,
    /// Host. `None`: the subject's own.
    pub host: Option<String>,
    /// The status it must have. `None`: any below 400.
    pub expect_status: Option<u16>,
    /// The answer must have come after so long, in milliseconds.
    pub timeout_ms: Millis,
}

impl SmokeTest {
    /// A GET of this path, with any status below 400 within 5 s.
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET".into(),
            path: path.into(),
            host: None,
            expect_status: None,
            timeout_ms: Millis(5_000),
        }
    }

    /// Names every fault, each with its field.
    pub(crate) fn check(&self, v: &mut Violations, field: &str) {
        if self.method.is_empty()
            || self.method.len() > 16
            || !self.method.bytes().all(|b| b.is_ascii_uppercase())
        {
            v.add(format!("{field}.method"), "must be 1 to 16 capital letters");
        }
        if !self.path.starts_with('/') || self.path.len() > 1_024 || !is_visible(&self.path) {
            v.add(
                format!("{field}.path"),
                "must begin with / and have at most 1,024 visible ASCII characters",
            );
        }
        if self.host.as_ref().is_some_and(|host| host.is_empty() || host.len() > 255 || !is_visible(host)) {
            v.add(format!("{field}.host"), "must be 1 to 255 visible ASCII characters");
        }
        if self.expect_status.is_some_and(|status| !(100..=599).contains(&status)) {
            v.add(format!("{field}.expect_status"), "must be 100 to 599");
        }
        if !(Millis(1)..=Millis::minutes(1)).contains(&self.timeout_ms) {
            v.add(format!("{field}.timeout_ms"), "must be 1 ms to 60 s");
        }
    }
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

impl fmt::Display for SmokeTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}
