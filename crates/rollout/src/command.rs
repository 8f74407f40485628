//! Commands: what people ask for. They are rows that the engine answers, never edits of its state.

use hotswap_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::approval::{Actor, ContentHash};

/// A command as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Command {
    /// Its number; commands are answered in this order, each once.
    pub seq: i64,
    /// Whoever sends the same key again gets the same answer. Unique in the store.
    pub key: String,
    /// Who.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// What.
    pub order: Order,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Wait no longer: past this bake, verdict or gate; out of a pause; onward past a point of no return.
    Promote {
        /// The step that the caller saw: where it has moved on, nothing is done. `None`: whichever it is.
        step: Option<usize>,
        /// All the way to everybody. Smoke tests are still run.
        full: bool,
    },
    /// Grow no further.
    Pause {
        /// Why.
        why: String,
    },
    /// Go on.
    Resume,
    /// Take the candidate away.
    Rollback {
        /// Why.
        why: String,
        /// At once, even where the plan says gradually.
        instant: bool,
    },
    /// Say yes to what has this hash.
    Approve {
        /// The hash of what was looked at.
        content: ContentHash,
    },
    /// Say no.
    Reject {
        /// Why.
        why: String,
    },
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// The command's number.
    pub seq: i64,
    /// What became of it.
    pub result: Answered,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// It was done, or was so already.
    Done,
    /// It can't be done, and why.
    Refused(String),
}
