//! Who gets the other revision of a resource, and what is tested of it before anybody does.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use hotswap_core::Violations;
use http::HeaderName;

use super::balancing::{check_cookie_name, header_name};
use super::check_path;
use crate::draft::{CandidateDraft, CheckDraft, CohortDraft, ExposureDraft, RequestKeyDraft, SmokeTestDraft};

/// All requests, in basis points.
const ALL_BPS: u32 = 10_000;
const MAX_VALUES: usize = 100;
const MAX_VALUE: usize = 256;
const MAX_TESTS: usize = 20;
const DEFAULT_TEST_MS: u32 = 5_000;
const MAX_TEST_MS: u32 = 60_000;

/// The other revision of a resource, but for its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateSpec {
    /// "rollouts/{rollout}".
    pub rollout: String,
    /// Counts are of this exposure.
    pub epoch: i64,
    /// Who gets it.
    pub exposure: Exposure,
    /// Which part of a request decides, with a share; `None`: each request is drawn.
    pub sticky_key: Option<RequestKey>,
    /// What is to be tested now.
    pub check: Option<Check>,
}

/// Who gets a candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// Nobody.
    #[default]
    Nobody,
    /// This share of requests or keys, in basis points: 0 to 10,000.
    Share(u32),
    /// These.
    Cohort(Cohort),
    /// Nobody; copies of this share of requests, in basis points, go to it.
    Shadow(u32),
}

/// Those whose key has one of some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    /// What it is told by: a header or a cookie.
    pub key: RequestKey,
    /// The values that belong to it.
    pub values: HashSet<Box<[u8]>>,
}

/// A part of a request that tells users apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestKey {
    /// A header.
    Header(HeaderName),
    /// A cookie of this name.
    Cookie(String),
    /// The client's address.
    ClientAddress,
}

/// A look at a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its number within the rollout.
    pub number: i64,
    /// Requests that it must answer well; none: its backends must take requests.
    pub smoke_tests: Vec<SmokeTest>,
}

/// A request and the answer that it must get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmokeTest {
    /// In capitals.
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// `None`: the subject's own.
    pub host: Option<String>,
    /// `None`: any below 400.
    pub expect_status: Option<u16>,
    /// The answer must have come after so long.
    pub timeout: Duration,
}

impl CandidateSpec {
    /// Checks a draft.
    ///
    /// # Errors
    /// Every fault, each with its field.
    pub fn parse(draft: &CandidateDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let id = draft.rollout.strip_prefix("rollouts/").unwrap_or_default();
        let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=63).contains(&id.len()) || !id.bytes().all(sound) {
            v.add("rollout", "must be the name of a rollout, as \"rollouts/0198c2a4\"");
        }
        if draft.epoch < 0 {
            v.add("epoch", "must be 0 or more");
        }
        let exposure = Exposure::parse(draft.exposure.as_ref()).map_err(|e| v.nest("", e));
        let sticky = draft.sticky_key.as_ref().map(RequestKey::parse).transpose();
        let sticky = sticky.map_err(|e| v.nest("sticky_key", e));
        let check = draft.check.as_ref().map(Check::parse).transpose().map_err(|e| v.nest("check", e));
        match (exposure, sticky, check) {
            (Ok(exposure), Ok(sticky_key), Ok(check)) if v.is_empty() => {
                Ok(Self { rollout: draft.rollout.clone(), epoch: draft.epoch, exposure, sticky_key, check })
            }
            _ => Err(v),
        }
    }
}

impl Exposure {
    fn parse(draft: Option<&ExposureDraft>) -> Result<Self, Violations> {
        let share = |field: &str, bps: u32| {
            let wrong = || Violations::one(field, "must be 0 to 10,000");
            if bps <= ALL_BPS { Ok(bps) } else { Err(wrong()) }
        };
        Ok(match draft {
            None => Self::Nobody,
            Some(ExposureDraft::ShareBps(bps)) => Self::Share(share("share_bps", *bps)?),
            Some(ExposureDraft::ShadowBps(bps)) => Self::Shadow(share("shadow_bps", *bps)?),
            Some(ExposureDraft::Cohort(cohort)) => {
                let mut v = Violations::new();
                match Cohort::parse(cohort).map_err(|e| v.nest("cohort", e)) {
                    Ok(cohort) => Self::Cohort(cohort),
                    Err(()) => return Err(v),
                }
            }
        })
    }
}

impl Cohort {
    fn parse(draft: &CohortDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if draft.values.is_empty() || draft.values.len() > MAX_VALUES {
            v.add("values", "must have 1 to 100 entries");
        }
        for (i, value) in draft.values.iter().enumerate() {
            if value.is_empty() || value.len() > MAX_VALUE {
                v.add(format!("values[{i}]"), "must be 1 to 256 bytes");
            }
        }
        let key = match &draft.key {
            RequestKeyDraft::ClientAddress => Err(Violations::one("", "is told by a header or a cookie")),
            other => RequestKey::parse(other),
        };
        match key.map_err(|e| v.nest("", e)) {
            Ok(key) if v.is_empty() => {
                Ok(Self { key, values: draft.values.iter().map(|value| value.as_bytes().into()).collect() })
            }
            _ => Err(v),
        }
    }
}

impl RequestKey {
    fn parse(draft: &RequestKeyDraft) -> Result<Self, Violations> {
        match draft {
            RequestKeyDraft::Missing => Err(Violations::one("", "must say which part of a request it is")),
            RequestKeyDraft::Header(name) => {
                header_name(name).map(Self::Header).map_err(|e| Violations::one("header", e))
            }
            RequestKeyDraft::Cookie(name) => check_cookie_name(name)
                .map(|()| Self::Cookie(name.clone()))
                .map_err(|e| Violations::one("cookie", e)),
            RequestKeyDraft::ClientAddress => Ok(Self::ClientAddress),
            RequestKeyDraft::Targeting => {
                Err(Violations::one("targeting_key", "is nothing that an HTTP request has"))
            }
        }
    }
}

impl Check {
    fn parse(draft: &CheckDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if draft.smoke_tests.len() > MAX_TESTS {
            v.add("smoke_tests", "must have at most 20 entries");
        }
        let mut smoke_tests = Vec::with_capacity(draft.smoke_tests.len());
        for (i, test) in draft.smoke_tests.iter().enumerate() {
            match SmokeTest::parse(test) {
                Ok(test) => smoke_tests.push(test),
                Err(faults) => v.nest(&format!("smoke_tests[{i}]"), faults),
            }
        }
        v.into_result()?;
        Ok(Self { number: draft.number, smoke_tests })
    }
}

impl SmokeTest {
    fn parse(draft: &SmokeTestDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let method = if draft.method.is_empty() { "GET" } else { &draft.method };
        if method.len() > 16 || !method.bytes().all(|b| b.is_ascii_uppercase()) {
            v.add("method", "must be 1 to 16 capital letters");
        }
        // The path as a route knows it; a query may follow.
        let (path, query) = draft.path.split_once('?').unwrap_or((&draft.path, ""));
        v.take("path", check_path(path));
        if draft.path.len() > 1_024 || !query.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            v.add("path", "must have at most 1,024 visible ASCII characters");
        }
        if draft.host.len() > 255 || !draft.host.bytes().all(|b| b.is_ascii_graphic()) {
            v.add("host", "must have at most 255 visible ASCII characters");
        }
        let status = u16::try_from(draft.expect_status).ok();
        if draft.expect_status != 0 && !status.is_some_and(|s| (100..=599).contains(&s)) {
            v.add("expect_status", "must be 100 to 599, or 0 for any below 400");
        }
        if draft.timeout_ms > MAX_TEST_MS {
            v.add("timeout_ms", "must be 1 to 60,000, or 0 for the default");
        }
        v.into_result()?;
        let timeout = if draft.timeout_ms == 0 { DEFAULT_TEST_MS } else { draft.timeout_ms };
        Ok(Self {
            method: method.to_owned(),
            path: draft.path.clone(),
            host: Some(draft.host.clone()).filter(|host| !host.is_empty()),
            expect_status: status.filter(|s| *s != 0),
            timeout: Duration::from_millis(u64::from(timeout)),
        })
    }
}

impl fmt::Display for SmokeTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

#[cfg(test)]
#[path = "candidate_tests.rs"]
mod tests;
