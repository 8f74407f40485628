//! What is shown of a rollout.

use hotswap_core::{Etag, Revision, Timestamp};
use hotswap_rollout::judge::{Finding, Measurement, Verdict};
use hotswap_rollout::{Event, Record, Rollout, RolloutPolicy};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// When a step began and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTimes {
    /// `None`: it has not.
    pub began: Option<Timestamp>,
    /// `None`: it has not.
    pub ended: Option<Timestamp>,
}

/// A rollout as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// What does not change of it.
    pub rollout: Rollout,
    /// Where it stands.
    pub record: Record,
    /// Its strategy's name; "live" for a write that was live at once.
    pub strategy: String,
    /// The newest event's place in its log, from 1.
    pub last_event: i64,
    /// The step under way, or the last one that was, from 0.
    pub step: usize,
    /// By step, as far as it came.
    pub step_times: Vec<StepTimes>,
    /// The newest verdict and its words; `None`: nothing was judged yet.
    pub verdict: Option<(Verdict, String)>,
    /// When it last moved.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl View {
    /// Changes with every transition.
    pub fn etag(&self) -> Etag {
        Etag::of(self.rollout.id.0, Revision(self.last_event))
    }

    /// Its full name.
    pub fn name(&self) -> String {
        self.rollout.id.to_string()
    }
}

/// A measurement as it is stored, with what was found in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Since when was counted.
    pub since: Timestamp,
    /// What was slow: more than so many microseconds. `None`: not known.
    pub slow_over_us: Option<u64>,
    /// What was counted.
    pub measurement: Measurement,
    /// What the judge found.
    pub finding: Finding,
}

/// An event in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// Its place in the rollout's log, from 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Its kind, as "rollback_began".
    pub kind: String,
    /// What happened.
    pub event: Event,
}

/// The global switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freeze {
    /// Whether it is on.
    pub on: bool,
    /// Why.
    pub reason: String,
    /// Who turned it; empty: nobody ever did.
    pub actor: String,
    /// When; `None`: nobody ever did.
    pub changed_at: Option<Timestamp>,
}

/// A policy as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyView {
    /// The last part of "rolloutPolicies/{id}".
    pub id: String,
    /// Whose changes: a name, "routes/*" or "*".
    pub subject: String,
    /// What it asks for.
    pub policy: RolloutPolicy,
    pub(crate) uid: Uuid,
    pub(crate) version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl PolicyView {
    /// Its full name.
    pub fn name(&self) -> String {
        format!("rolloutPolicies/{}", self.id)
    }

    /// Changes with each write.
    pub fn etag(&self) -> Etag {
        Etag::of(self.uid, Revision(self.version))
    }
}
