//! What decides a request's arm, and where the counts of the arms come from.

use hotswap_core::Violations;
use serde::{Deserialize, Serialize};

/// The part of a request that decides its arm, so that the same user stays on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StickyKey {
    /// A header, in lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// The client's address.
    ClientAddress,
    /// The targeting key of a client library.
    Targeting,
}

impl StickyKey {
    /// Names every fault; header names become lower case.
    ///
    /// # Errors
    /// Every fault, each with its field.
    pub fn parse(self) -> Result<Self, Violations> {
        let name = match &self {
            Self::Header(name) | Self::Cookie(name) => name,
            Self::ClientAddress | Self::Targeting => return Ok(self),
        };
        if !crate::exposure::is_token(name) {
            let field = if matches!(self, Self::Header(_)) { "header" } else { "cookie" };
            return Err(Violations::one(field, "the name must be 1 to 128 letters, digits, or any of -_."));
        }
        Ok(match self {
            Self::Header(name) => Self::Header(name.to_ascii_lowercase()),
            other => other,
        })
    }
}

/// Where the counts come from that a rollout is judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountSource {
    /// The target's own: what proxies or plugin hosts count.
    #[default]
    Target,
    /// Queries to a Prometheus server.
    Prometheus(PrometheusQueries),
    /// What clients report.
    Reported,
}

/// Queries that give counts. `{{arm}}`, `{{window}}` and `{{slow_s}}` are filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PrometheusQueries {
    /// Address of the server.
    pub address: String,
    /// The number of requests of an arm.
    pub total: String,
    /// The number of failed ones.
    pub errors: String,
    /// The number of slow ones. `None`: slowness is not judged.
    pub slow: Option<String>,
    /// The baseline's p95 in seconds.
    pub p95: Option<String>,
}
