//! Pools and backends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    BalancingDraft, CircuitBreakerDraft, HealthCheckDraft, LoadBalancingDraft, OutlierEjectionDraft,
};

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
    /// How they are reached with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackendTlsDraft>,
    /// What its backends speak.
    #[serde(skip_serializing_if = "is_default")]
    pub protocol: BackendProtocol,
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
    /// How they are reached with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackendTlsDraft>,
    /// What its backends speak.
    #[serde(skip_serializing_if = "is_default")]
    pub protocol: BackendProtocol,
}

/// How backends are reached with TLS, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendTlsDraft {
    /// The name that a backend must bear; empty: the host of its address.
    pub server_name: String,
    /// Who may vouch for it, by name; empty: those whom the machine trusts.
    pub ca: String,
    /// What is shown to it, by name; empty: nothing.
    pub client_certificate: String,
    /// Nothing is verified.
    pub skip_verification: bool,
}

/// What backends speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
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
