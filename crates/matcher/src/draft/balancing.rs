//! How a backend is chosen.

use serde::{Deserialize, Serialize};

/// How a backend is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancingDraft {
    /// In turn.
    #[default]
    RoundRobin,
    /// In turn, by weight.
    WeightedRoundRobin,
    /// The fewest requests in flight.
    LeastConnections,
    /// By the client's address.
    IpHash,
    /// By rules over a header.
    Header,
    /// Of two the one that costs less.
    PowerOfTwo,
    /// By a header or cookie.
    Hash,
}

/// What a strategy needs beside its name, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BalancingDraft {
    /// For the strategy by header.
    pub header_rules: Option<HeaderRulesDraft>,
    /// For the strategy by hash.
    pub hash: Option<HashKeyDraft>,
    /// Keeps clients with their backends.
    pub sticky_cookie: Option<StickyCookieDraft>,
    /// How long a backend is led up to its share, in ms; 0: at once.
    pub slow_start_ms: u32,
    /// Below this percentage all take requests; 0: never.
    pub panic_threshold_percent: u32,
}

/// Backends by the value of a header, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderRulesDraft {
    /// The header.
    pub header: String,
    /// The rules.
    pub rules: Vec<HeaderRuleDraft>,
    /// For requests that no rule takes.
    pub default_addresses: Vec<String>,
}

/// Backends for one value, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderRuleDraft {
    /// The value.
    pub value: String,
    /// Where to.
    pub addresses: Vec<String>,
}

/// What is hashed, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HashKeyDraft {
    /// A header's name.
    pub header: Option<String>,
    /// A cookie's name.
    pub cookie: Option<String>,
    /// The most in flight, in percent of the fair share; 0: no bound.
    pub load_limit_percent: u32,
}

/// A cookie with the id of a backend, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StickyCookieDraft {
    /// Its name; empty: the default.
    pub name: String,
    /// Its path; empty: "/".
    pub path: String,
    /// Its domain; empty: none.
    pub domain: String,
    /// How long it lasts, in s; 0: a session.
    pub max_age_s: u32,
    /// Over https alone.
    pub secure: bool,
    /// Whether scripts can read it.
    pub script_access: bool,
    /// Whether it comes with what other sites cause.
    pub same_site: SameSite,
    /// Goes into the ids; empty: the pool's name.
    pub salt: String,
}

/// Whether a cookie comes with requests that other sites cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    /// Only when the user follows a link.
    #[default]
    Lax,
    /// Never.
    Strict,
    /// Always.
    None,
}
