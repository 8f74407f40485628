//! A route, and all that lies in it but its backends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BackendsDraft, RetryDraft, TrafficDraft};

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
    /// What is done with requests beside the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Box<TrafficDraft>>,
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
    /// Pools, of which each request goes to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Vec<WeightedPoolDraft>>,
    /// What the backend sees otherwise.
    pub rewrite: Option<RewriteDraft>,
    /// Limits.
    pub timeouts: Option<TimeoutsDraft>,
    /// Tries after the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryDraft>,
    /// Protocols that a client may switch to; empty: the default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub upgrades: Vec<String>,
}

/// A pool and its share, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WeightedPoolDraft {
    /// A pool's name.
    pub pool: String,
    /// The relative share; `None`: 1.
    pub weight: Option<u32>,
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
