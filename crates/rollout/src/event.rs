//! What happened, in order: the append-only log of a rollout.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::approval::Principal;
use crate::{Exposure, Outcome, Reason};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Approvals of a level are asked for.
    ApprovalAsked {
        /// The level, from 1.
        level: usize,
    },
    /// It is asked again, soon before the end of the wait.
    ApprovalReminded,
    /// The content was edited: what was approved is void.
    ApprovalsVoided,
    /// Somebody said yes.
    Approved {
        /// Who.
        by: Principal,
        /// At which level, from 1.
        level: usize,
    },
    /// It runs.
    Started,
    /// The intent to do a step, before anything is done.
    StepBegan {
        /// Which, from 0.
        step: usize,
        /// What it is.
        what: String,
    },
    /// A step is done.
    StepDone {
        /// Which, from 0.
        step: usize,
    },
    /// The target will try again.
    Retried {
        /// What.
        what: String,
        /// What it said.
        detail: String,
    },
    /// A person must promote it.
    GateOpened {
        /// Why.
        why: String,
    },
    /// A person had it go on.
    Promoted {
        /// Who.
        by: Principal,
        /// All the way.
        full: bool,
    },
    /// Nothing grows.
    Paused {
        /// Who; `None`: the engine itself.
        by: Option<Principal>,
        /// Why.
        why: String,
    },
    /// It goes on.
    Resumed {
        /// Who.
        by: Principal,
    },
    /// What "slow" means from now on: more than so many microseconds.
    SlowFrozen {
        /// The threshold.
        over_us: u64,
    },
    /// The judge says something new.
    Judged {
        /// What, in words.
        words: String,
    },
    /// The target was found otherwise than it was set; it is set again.
    Drifted {
        /// What it was found at.
        found: Exposure,
        /// What it is set to.
        wanted: Exposure,
    },
    /// The way back began.
    RollbackBegan {
        /// Why.
        reason: Reason,
        /// The most that was out.
        from: Exposure,
    },
    /// Less is out.
    Lowered {
        /// What is out now.
        to: Exposure,
    },
    /// A step on the way down could not be had: the rest of the way is taken at once.
    Hastened {
        /// What the target said.
        detail: String,
    },
    /// The way back goes on without those who lag.
    LeftBehind {
        /// What the target said.
        detail: String,
    },
    /// The target can't take it back; it is tried on.
    RollbackStuck {
        /// What it said.
        detail: String,
    },
    /// It should go back and can't.
    Frozen {
        /// Why it should.
        reason: Reason,
    },
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
    },
}

impl Event {
    /// Whether people want to be told.
    pub fn is_news(&self) -> bool {
        match self {
            Self::ApprovalAsked { .. }
            | Self::ApprovalReminded
            | Self::ApprovalsVoided
            | Self::Started
            | Self::GateOpened { .. }
            | Self::Paused { .. }
            | Self::RollbackBegan { .. }
            | Self::RollbackStuck { .. }
            | Self::Frozen { .. }
            | Self::Ended { .. } => true,
            Self::Approved { .. }
            | Self::StepBegan { .. }
            | Self::StepDone { .. }
            | Self::Retried { .. }
            | Self::Promoted { .. }
            | Self::Resumed { .. }
            | Self::SlowFrozen { .. }
            | Self::Judged { .. }
            | Self::Drifted { .. }
            | Self::Lowered { .. }
            | Self::Hastened { .. }
            | Self::LeftBehind { .. } => false,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApprovalAsked { level } => write!(f, "approval of level {level} is asked for"),
            Self::ApprovalReminded => f.write_str("approval is still asked for; in 24 h it is too late"),
            Self::ApprovalsVoided => f.write_str("the content was edited: what was approved is void"),
            Self::Approved { by, level } => write!(f, "{by} approved at level {level}"),
            Self::Started => f.write_str("started"),
            Self::StepBegan { step, what } => write!(f, "step {}: {what}", step + 1),
            Self::StepDone { step } => write!(f, "step {} is done", step + 1),
            Self::Retried { what, detail } => write!(f, "{what} is tried again: {detail}"),
            Self::GateOpened { why } => write!(f, "a person must promote it: {why}"),
            Self::Promoted { by, full: false } => write!(f, "{by} promoted it"),
            Self::Promoted { by, full: true } => write!(f, "{by} promoted it all the way"),
            Self::Paused { by: Some(by), why } => write!(f, "{by} paused it: {why}"),
            Self::Paused { by: None, why } => write!(f, "paused: {why}"),
            Self::Resumed { by } => write!(f, "{by} resumed it"),
            Self::SlowFrozen { over_us } => write!(f, "slow is more than {} ms", over_us / 1_000),
            Self::Judged { words } => f.write_str(words),
            Self::Drifted { found, wanted } => write!(f, "found at {found}; set to {wanted} again"),
            Self::RollbackBegan { reason, from } => write!(f, "rolling back from {from}: {reason}"),
            Self::Lowered { to } => write!(f, "lowered to {to}"),
            Self::Hastened { detail } => write!(f, "the way back goes on at once: {detail}"),
            Self::LeftBehind { detail } => write!(f, "nobody is waited for any longer: {detail}"),
            Self::RollbackStuck { detail } => write!(f, "the rollback is stuck and tried on: {detail}"),
            Self::Frozen { reason } => {
                write!(f, "frozen: it can't be taken back, and it should be: {reason}")
            }
            Self::Ended { outcome } => match outcome {
                Outcome::Promoted => f.write_str("promoted: everybody has the candidate"),
                Outcome::Compared => f.write_str("compared, and taken away as planned"),
                Outcome::RolledBack(reason) => write!(f, "rolled back: {reason}"),
                Outcome::NotStarted(reason) => write!(f, "not started: {reason}"),
            },
        }
    }
}
