//! Plain data as a user or a stored row gives it, before anything is known to be valid. The fields have the
//! names of the contract, so that a path in a field mask or a violation is the same everywhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A route, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteDraft {
    /// For people.
    pub display_name: String,
    /// For finding and grouping.
    pub labels: BTreeMap<String, String>,
    /// Hosts served; none: every host.
    pub hosts: Vec<String>,
    /// Conditions, one of which must hold; none: every request.
    pub matches: Vec<MatchDraft>,
    /// Higher first.
    pub priority: i32,
    /// Action: send to a backend.
    pub forward: Option<ForwardDraft>,
    /// Action: answer with a redirect.
    pub redirect: Option<RedirectDraft>,
    /// Edits of the request's headers.
    pub request_headers: Option<HeaderEditsDraft>,
    /// Edits of the response's headers.
    pub response_headers: Option<HeaderEditsDraft>,
}

/// Conditions that must all hold, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MatchDraft {
    /// The path.
    pub path: Option<PathMatchDraft>,
    /// Methods, one of which must be the request's.
    pub methods: Vec<String>,
    /// Headers.
    pub headers: Vec<HeaderMatchDraft>,
    /// Query parameters.
    pub query: Vec<QueryMatchDraft>,
}

/// A condition on the path, unchecked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatchDraft {
    /// The whole path.
    Exact(String),
    /// Whole leading segments.
    Prefix(String),
    /// A regular expression over the whole path.
    Regex(String),
}

/// A condition on a value, unchecked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueMatchDraft {
    /// The whole value.
    Exact(String),
    /// The beginning of the value.
    Prefix(String),
    /// A regular expression over the whole value.
    Regex(String),
    /// There, or not.
    Present(bool),
}

/// A condition on a header, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderMatchDraft {
    /// The header.
    pub name: String,
    /// The condition.
    #[serde(flatten)]
    pub kind: Option<ValueMatchDraft>,
}

/// A condition on a query parameter, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryMatchDraft {
    /// The parameter.
    pub name: String,
    /// The condition; never `Prefix`.
    #[serde(flatten)]
    pub kind: Option<ValueMatchDraft>,
}

/// Where to send a request, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForwardDraft {
    /// A pool's name.
    pub pool: Option<String>,
    /// Backends of the route alone.
    pub inline: Option<BackendsDraft>,
    /// What the backend sees otherwise.
    pub rewrite: Option<RewriteDraft>,
    /// Limits.
    pub timeouts: Option<TimeoutsDraft>,
    /// Tries after the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryDraft>,
}

/// A change of the request line, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RewriteDraft {
    /// The whole new path.
    pub full_path: Option<String>,
    /// What stands in for the matched prefix.
    pub replace_prefix: Option<String>,
    /// The Host header; empty: as sent.
    pub host: String,
}

/// Limits in ms, unchecked; 0: the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeoutsDraft {
    /// To the head of the response.
    pub first_byte_ms: u32,
    /// The whole exchange; 0: none.
    pub total_ms: u32,
    /// Without progress of a body.
    pub idle_ms: u32,
}

/// A redirect, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RedirectDraft {
    /// The status; 0: 302.
    pub status: u32,
    /// The scheme; empty: http.
    pub scheme: String,
    /// The host; empty: the request's.
    pub host: String,
    /// The port; 0: see the contract.
    pub port: u32,
    /// The whole new path.
    pub full_path: Option<String>,
    /// What stands in for the matched prefix.
    pub replace_prefix: Option<String>,
    /// Whether the query is dropped.
    pub drop_query: bool,
}

/// Edits of headers, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderEditsDraft {
    /// Names to take away.
    pub remove: Vec<String>,
    /// Headers that replace.
    pub set: Vec<HeaderDraft>,
    /// Headers that are added.
    pub add: Vec<HeaderDraft>,
}

/// A header, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderDraft {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A pool, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolDraft {
    /// For people.
    pub display_name: String,
    /// For finding and grouping.
    pub labels: BTreeMap<String, String>,
    /// Where requests go.
    pub backends: Vec<BackendDraft>,
    /// How one is chosen.
    pub load_balancing: LoadBalancingDraft,
    /// Limit for connecting, in ms; 0: the default.
    pub connect_timeout_ms: u32,
    /// What the strategy needs beside its name.
    pub balancing: Option<BalancingDraft>,
    /// Active checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheckDraft>,
    /// The breaker of each backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreakerDraft>,
    /// Takes out what fails requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier_ejection: Option<OutlierEjectionDraft>,
}

impl PoolDraft {
    /// The backend at an address; case does not count.
    pub fn backend(&self, address: &str) -> Option<&BackendDraft> {
        self.backends.iter().find(|b| b.address.eq_ignore_ascii_case(address))
    }
}

/// Backends of one route, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendsDraft {
    /// Where requests go.
    pub backends: Vec<BackendDraft>,
    /// How one is chosen.
    pub load_balancing: LoadBalancingDraft,
    /// Limit for connecting, in ms; 0: the default.
    pub connect_timeout_ms: u32,
    /// What the strategy needs beside its name.
    pub balancing: Option<BalancingDraft>,
    /// Active checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheckDraft>,
    /// The breaker of each backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreakerDraft>,
    /// Takes out what fails requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier_ejection: Option<OutlierEjectionDraft>,
}

/// A backend, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendDraft {
    /// "host:port".
    pub address: String,
    /// Relative share; none: 1.
    pub weight: Option<u32>,
    /// 0 comes first.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: u32,
    /// What an operator lets it do; no part of what a user writes of the pool.
    #[serde(skip_serializing_if = "is_default")]
    pub state: BackendState,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What an operator lets a backend do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendState {
    /// Takes requests, as health and breaker allow.
    #[default]
    Enabled,
    /// Takes no new requests.
    Drained,
    /// Its breaker is held open.
    ForcedOpen,
    /// Its breaker is held closed.
    ForcedClosed,
}

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

/// Active checks, unchecked; numbers of 0 stand for the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheckDraft {
    /// Path of the request; empty: "/".
    pub path: String,
    /// Between two checks, in ms.
    pub interval_ms: u32,
    /// For one check, in ms.
    pub timeout_ms: u32,
    /// Failures that make it unhealthy.
    pub unhealthy_threshold: u32,
    /// Successes that make it healthy.
    pub healthy_threshold: u32,
    /// How it is checked.
    pub kind: HealthCheckKindDraft,
    /// The Host header; empty: the address.
    pub host: String,
    /// Statuses that are a success; none: 200 to 299.
    pub expected_statuses: Vec<u32>,
    /// How far the interval strays; none: 10.
    pub jitter_percent: Option<u32>,
}

/// How a backend is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheckKindDraft {
    /// By a GET.
    #[default]
    Http,
    /// By a connection.
    Tcp,
}

/// A breaker, unchecked; numbers of 0 stand for the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CircuitBreakerDraft {
    /// Consecutive failures that open it.
    pub failure_threshold: u32,
    /// From open to half-open, in ms.
    pub open_ms: u32,
    /// Trials at once.
    pub half_open_requests: u32,
    /// Percentage of failures that opens it; 0: off; none: 50.
    pub failure_rate_percent: Option<u32>,
    /// The window of the rate, in ms.
    pub window_ms: u32,
    /// Requests that a window must have.
    pub min_requests: u32,
}

/// When a backend is taken out, unchecked; numbers of 0 stand for the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutlierEjectionDraft {
    /// Consecutive failures.
    pub consecutive_failures: u32,
    /// The first time, in ms.
    pub base_ms: u32,
    /// The longest time, in ms.
    pub max_ms: u32,
    /// The most at once, in percent.
    pub max_ejected_percent: u32,
}

/// When a request is tried again, unchecked; numbers of 0 stand for the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryDraft {
    /// Tries after the first.
    pub max_retries: u32,
    /// For one try, in ms; 0: none.
    pub per_try_ms: u32,
    /// The first pause at most, in ms.
    pub base_backoff_ms: u32,
    /// Any pause at most, in ms.
    pub max_backoff_ms: u32,
    /// Retries in percent of requests.
    pub budget_percent: u32,
    /// The largest body that is kept, in bytes.
    pub max_body_bytes: u32,
}
