//! Validated routes and pools. A value of these types can be served; there is no other way to make one than
//! to parse a draft.

mod action;
mod balancing;
mod candidate;
mod condition;
mod edits;
mod network;
mod pool;
mod resilience;
mod route;
mod split;
mod tls;
mod traffic;

use std::collections::BTreeMap;

use hotswap_core::{Violations, check_id};

pub use action::{
    Action, Destination, Forward, PathRewrite, Redirect, Rewrite, Scheme, Target, Timeouts, WEBSOCKET,
};
pub use balancing::{Balancing, HashKey, HashSource, HeaderRules, LoadBalancing, StickyCookie};
pub use candidate::{CandidateSpec, Check, Cohort, Exposure, RequestKey, SmokeTest};
pub use condition::{HeaderMatch, HostPattern, PathMatch, QueryMatch, RouteMatch, ValueMatch};
pub use edits::HeaderEdits;
pub use network::{Network, Networks};
pub use pool::{Address, Backend, Backends, PoolSpec};
pub use resilience::{CircuitBreaker, FailureRate, HealthCheck, OutlierEjection, Probe, Resilience, Retry};
pub use route::RouteSpec;
pub use split::{Split, WeightedPool};
pub use tls::BackendTls;
pub use traffic::{
    Access, AccessLog, AccessLogMode, Compression, Concurrency, ContentCoding, ContentType, Cors, Fault, Jwt,
    KeyPlace, KeySet, KeySource, Keys, Mirror, Named, Origins, RateFallback, RateKey, RateLimit,
    RequestLimits, TrafficSpec,
};

/// The longest path, pattern or compared value, in bytes.
const MAX_TEXT: usize = 1_024;

/// The most memory that one compiled regular expression may take, in bytes.
const REGEX_SIZE_LIMIT: usize = 256 * 1024;

/// Compiles a pattern that must match a whole text.
fn whole_regex(pattern: &str) -> Result<regex::bytes::Regex, String> {
    if pattern.len() > MAX_TEXT {
        return Err(format!("must be at most {MAX_TEXT} bytes"));
    }
    // The pattern alone first: "a)|(b" must not become valid by the group around it.
    regex::bytes::Regex::new(pattern).map_err(|e| regex_error(&e))?;
    regex::bytes::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(REGEX_SIZE_LIMIT)
        .build()
        .map_err(|e| regex_error(&e))
}

fn regex_error(error: &regex::Error) -> String {
    if matches!(error, regex::Error::CompiledTooBig(_)) {
        return format!("is too large: it compiles to more than {REGEX_SIZE_LIMIT} bytes");
    }
    // The library draws the pattern over several lines; the last says what is wrong.
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("is not a valid regular expression: {last}")
}

/// What every resource has for people and for finding it: a display name and labels.
pub fn check_meta(v: &mut Violations, display_name: &str, labels: &BTreeMap<String, String>) {
    if display_name.chars().count() > 200 {
        v.add("display_name", "must be at most 200 characters");
    }
    if labels.len() > 64 {
        v.add("labels", "must have at most 64 entries");
    }
    for (key, value) in labels {
        if check_id(key).is_err() {
            v.add(format!("labels[{key:?}]"), "the key must be 1 to 63 lower-case letters, digits and hyphens, beginning with a letter, not ending in a hyphen");
        }
        if value.chars().count() > 200 {
            v.add(format!("labels[{key:?}]"), "the value must be at most 200 characters");
        }
    }
}

/// A path from "/": printable ASCII without space, "?" and "#".
fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err("must start with \"/\"".into());
    }
    if path.len() > MAX_TEXT {
        return Err(format!("must be at most {MAX_TEXT} bytes"));
    }
    match path.bytes().find(|b| !b.is_ascii_graphic() || matches!(b, b'?' | b'#')) {
        Some(_) => {
            Err("must be printable ASCII without spaces, \"?\" and \"#\"; encode others as %XX".into())
        }
        None => Ok(()),
    }
}

/// A host name, with an optional port: RFC 1123 labels, or an IPv6 address in brackets.
fn check_host(host: &str) -> Result<(), String> {
    let bad = || Err("must be a host name, as \"shop.example.com\"".to_owned());
    if host.is_empty() || host.len() > 253 {
        return bad();
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return if inner.parse::<std::net::Ipv6Addr>().is_ok() { Ok(()) } else { bad() };
    }
    let label_ok = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if host.split('.').all(label_ok) { Ok(()) } else { bad() }
}

#[cfg(test)]
mod tests;
