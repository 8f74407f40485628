//! What a decision is made from, and what comes of it.

use hotswap_core::Timestamp;

use crate::approval::Content;
use crate::command::{Answer, Command};
use crate::judge::{Finding, Measurement};
use crate::strategy::Act;
use crate::{Event, Exposure, Millis};

/// What is rolled out, as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// It is there.
    Present(Content),
    /// It was deleted.
    Gone,
}

/// What came of an act.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActOutcome {
    /// The act's number.
    pub ticket: u64,
    /// What came of it.
    pub result: ActResult,
}

/// What came of an act.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ActResult {
    /// It is done, and has taken hold everywhere.
    Done,
    /// Not now: again after a while.
    Retry {
        /// How long.
        after: Millis,
        /// Why.
        detail: String,
    },
    /// It stands as it should, and some have not taken it yet: again after a while.
    Lagging {
        /// How long.
        after: Millis,
        /// Who lags.
        detail: String,
    },
    /// No, and not later either.
    Refused(String),
}

/// What is known when a decision is made. Nothing else enters it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Commands by their numbers; those answered already are passed over.
    pub commands: Vec<Command>,
    /// What is rolled out. `None`: not looked at.
    pub subject: Option<Subject>,
    /// The global switch is on: nothing new begins. The way back stays open.
    pub frozen: bool,
    /// What came of the act that was asked for.
    pub outcome: Option<ActOutcome>,
    /// What was measured.
    pub measurement: Option<Measurement>,
    /// The baseline's p95 in microseconds, from before or beside the rollout.
    pub baseline_p95_us: Option<u64>,
    /// What the target says is out.
    pub actual: Option<Exposure>,
}

/// An act to be done. It is absolute: done twice it is as done once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Its number, which its outcome names. `None`: something is set again, and nobody waits for the outcome.
    pub ticket: Option<u64>,
    /// What.
    pub act: Act,
    /// How often it was asked for; 1 at first.
    pub attempt: u32,
    /// Whether it is of a way back: nothing of the candidate is needed for it.
    pub back: bool,
}

/// What is to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    /// Comes back with the measurement.
    pub epoch: u32,
    /// Counts begin here.
    pub since: Timestamp,
    /// What is slow: more than so many microseconds. `None`: not known yet; the baseline's p95 is asked for.
    pub slow_over_us: Option<u64>,
}

/// What comes of a decision: to be stored with the new state, in one transaction, before the act is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// What happened.
    pub events: Vec<Event>,
    /// What became of the commands.
    pub answers: Vec<Answer>,
    /// What the judge found in the measurement.
    pub finding: Option<Finding>,
    /// What the target is to do now.
    pub request: Option<Request>,
    /// What is to be measured until the next decision.
    pub watch: Option<Watch>,
    /// When to decide again, if nothing happens before.
    pub wake_at: Option<Timestamp>,
}
