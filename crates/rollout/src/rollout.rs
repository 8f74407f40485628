//! A rollout: what is carried from where to where, and how.

use std::fmt;

use hotswap_core::{Revision, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{CountSource, Plan, Principal, StickyKey};

/// The id of a rollout, a UUIDv7: "rollouts/{id}" is its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RolloutId(pub Uuid);

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rollouts/{}", self.0)
    }
}

/// What does not change of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Which.
    pub id: RolloutId,
    /// Whose: the domain that drives it, as "route".
    pub domain: String,
    /// Of what: a resource name. One active rollout a subject.
    pub subject: String,
    /// The baseline; `None`: there was nothing before.
    pub from: Option<Revision>,
    /// The candidate.
    pub to: Revision,
    /// Who asked for it.
    pub author: Principal,
    /// When.
    pub created_at: Timestamp,
    /// How.
    pub plan: Plan,
    /// Which part of a request decides its arm. `None`: each request is drawn.
    pub sticky: Option<StickyKey>,
    /// Where the counts come from that it is judged by.
    pub source: CountSource,
    /// Why, for people.
    pub reason: String,
}
