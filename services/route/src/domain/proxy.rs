//! Proxies of the data plane: what each has, and what it refuses.

use std::collections::{BTreeMap, BTreeSet};

use hotswap_core::Timestamp;
use serde::{Deserialize, Serialize};

/// A place in the history of one store's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The store.
    pub store_id: String,
    /// The revision.
    pub revision: i64,
}

/// Why a proxy does not serve the newest revision of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The resource.
    pub name: String,
    /// Its revision that was refused.
    pub version: i64,
    /// The field; empty: the resource as a whole.
    pub field: String,
    /// A stable reason.
    pub reason: String,
    /// In words.
    pub message: String,
}

/// Where the breaker of a backend is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// It has none.
    #[default]
    None,
    /// Requests pass.
    Closed,
    /// None passes.
    Open,
    /// A few pass.
    HalfOpen,
}

/// A backend that is not in order, as one proxy sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The pool, or the route whose own it is.
    pub pool: String,
    /// Its address.
    pub address: String,
    /// Active checks say that it does not work.
    pub unhealthy: bool,
    /// It failed requests.
    pub ejected: bool,
    /// Its breaker.
    pub breaker: Breaker,
    /// An operator has decided about it.
    pub held: bool,
}

/// The backends that a proxy does not send to freely.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// How many.
    pub total: u32,
    /// The first of them.
    pub listed: Vec<Condition>,
}

/// A proxy that watches, or has watched, the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its id.
    pub id: String,
    /// The process of the control plane that holds, or held, its stream.
    pub replica: String,
    /// The instance that is or was last connected.
    pub instance_id: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its build.
    pub build_version: String,
    /// What it can do beyond the least, as "rollouts".
    pub features: BTreeSet<String>,
    /// Whether its stream is open.
    pub connected: bool,
    /// What it serves.
    pub active: Option<Place>,
    /// What was last sent to it.
    pub sent: Option<Place>,
    /// What it refuses.
    pub refusals: Vec<Refusal>,
    /// Its backends that are not in order.
    pub backends: Conditions,
    /// Since when it is connected, or was the last time.
    pub connected_at: Timestamp,
    /// When it last said something.
    pub last_seen_at: Timestamp,
}

/// The feature of proxies that know candidates.
pub const ROLLOUTS: &str = "rollouts";

/// The feature of a proxy that shows certificates to clients.
pub const CERTIFICATES: &str = "certificates";

impl Proxy {
    /// Whether it serves a revision of a store, or a later one.
    pub fn serves(&self, store_id: &str, revision: i64) -> bool {
        self.active.as_ref().is_some_and(|a| a.store_id == store_id && a.revision >= revision)
    }
}
