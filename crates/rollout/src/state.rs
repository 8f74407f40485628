//! What is stored of a rollout, beside its plan.

use std::cmp::Ordering;

use hotswap_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::approval::{Approvals, Content, Principal};
use crate::judge::Evidence;
use crate::strategy::Act;
use crate::{Exposure, Plan};

/// A rollout as it is stored. One schema version a variant: a newer program reads what an older one wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "schema", content = "record")]
pub enum Stored {
    /// The first form.
    #[serde(rename = "1")]
    V1(Record),
}

impl Stored {
    /// The record in today's form.
    pub fn into_record(self) -> Record {
        match self {
            Self::V1(record) => record,
        }
    }
}

impl From<Record> for Stored {
    fn from(record: Record) -> Self {
        Self::V1(record)
    }
}

/// What changes of a rollout while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Rises with each decision that changes something. A write that finds another one is refused.
    pub generation: u64,
    /// The number of the last command that was answered.
    pub answered: i64,
    /// The number of the last act that was asked for.
    pub tickets: u64,
    /// Where it stands.
    pub state: State,
}

impl Record {
    /// A rollout that begins: with the question for approvals, where the plan has some.
    pub fn begin(plan: &Plan, content: Content, now: Timestamp) -> Self {
        let state = if plan.levels().is_empty() {
            State::Running(Running::start(content, now))
        } else {
            State::Waiting(Approvals::ask(content, now))
        };
        Self { generation: 0, answered: 0, tickets: 0, state }
    }
}

/// Where a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// For approvals.
    Waiting(Approvals),
    /// Step by step.
    Running(Running),
    /// The candidate is going away.
    Undoing(Undoing),
    /// It should go back and can't: past the point of no return. A person decides.
    Frozen(Frozen),
    /// Over.
    Ended(Ended),
}

/// An act that was asked for and is not known to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pending<A> {
    /// What.
    pub act: A,
    /// Its number: an outcome that names another one is of another act.
    pub ticket: u64,
    /// How often it was asked for; 1 at first.
    pub attempt: u32,
    /// When it was first asked for.
    pub since: Timestamp,
    /// Not asked for again before.
    pub retry_at: Timestamp,
    /// What the target said when it was to be asked again.
    #[serde(default)]
    pub said: String,
    /// A pause or the global switch holds it up: it is not asked for, and its time does not run.
    #[serde(default)]
    pub held: bool,
    /// What it sets was found to be out: to ask for it again lets nothing grow.
    #[serde(default)]
    pub found: bool,
}

impl<A> Pending<A> {
    /// An act that was not asked for yet.
    pub fn new(act: A, ticket: u64, now: Timestamp) -> Self {
        let said = String::new();
        Self { act, ticket, attempt: 1, since: now, retry_at: now, said, held: false, found: false }
    }
}

/// Step by step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Running {
    /// When it began.
    pub started_at: Timestamp,
    /// What it carries.
    pub content: Content,
    /// Which step, from 0.
    pub step: usize,
    /// Where in the step.
    pub position: Position,
    /// What the target confirmed.
    pub exposure: Exposure,
    /// Nothing grows; it is judged all the same.
    pub paused: Option<Paused>,
    /// A person promoted it all the way: no more waiting before everybody has it.
    pub hurry: bool,
    /// A person had it go on past a point of no return: only a person stops it.
    pub forced: bool,
    /// What "slow" means: more than so many microseconds. Frozen once the baseline's p95 is known.
    pub slow_over_us: Option<u64>,
    /// What was seen of this exposure.
    pub evidence: Option<Evidence>,
}

impl Running {
    pub(crate) fn start(content: Content, now: Timestamp) -> Self {
        Self {
            started_at: now,
            content,
            step: 0,
            position: Position::Ready,
            exposure: Exposure::None,
            paused: None,
            hurry: false,
            forced: false,
            slow_over_us: None,
            evidence: None,
        }
    }

    /// Whether something has begun that has no way back.
    pub(crate) fn is_past_return(&self, plan: &Plan) -> bool {
        let begun = match self.position {
            Position::Ready => self.step.checked_sub(1),
            _ => Some(self.step),
        };
        begun.is_some_and(|step| plan.is_final(step))
    }

    /// Whether this act lets more out than was confirmed, or makes it the baseline.
    pub(crate) fn would_grow(&self, act: &Act) -> bool {
        match act {
            Act::Expose(wanted) => {
                !matches!(wanted.partial_cmp(&self.exposure), Some(Ordering::Less | Ordering::Equal))
            }
            Act::Commit => true,
            Act::Stage | Act::Check(_) | Act::Withdraw => false,
        }
    }

    /// The most that may be out now: what was confirmed, or what is just being set.
    pub fn reach(&self) -> &Exposure {
        match &self.position {
            Position::Acting(Pending { act: Act::Expose(wanted), .. })
                if self.exposure.partial_cmp(wanted) != Some(Ordering::Greater) =>
            {
                wanted
            }
            _ => &self.exposure,
        }
    }
}

/// Where in a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Before it.
    Ready,
    /// The target is doing it.
    Acting(Pending<Act>),
    /// It bakes until then.
    Baking {
        /// Until when, at least.
        until: Timestamp,
    },
    /// The judge has not said pass.
    Judging {
        /// How long it is waited for a verdict.
        until: Timestamp,
    },
    /// A person has not promoted it.
    Gated {
        /// Since when.
        since: Timestamp,
    },
}

/// Who paused it, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Paused {
    /// `None`: the engine itself, since the judge could not decide.
    pub by: Option<Principal>,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// What undoes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoAct {
    /// Less, down to nobody.
    Lower(Exposure),
    /// Take the candidate away.
    Withdraw,
}

/// Where in the way back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoPosition {
    /// The target is doing it.
    Acting(Pending<UndoAct>),
    /// Between two steps down.
    Resting {
        /// Until when.
        until: Timestamp,
    },
}

/// The candidate is going away.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Undoing {
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Timestamp,
    /// The most that may be out; it only falls.
    pub ceiling: Exposure,
    /// What is left on the way down, the next one last.
    pub left: Vec<Exposure>,
    /// Where in it.
    pub position: UndoPosition,
    /// The target can't do it, since then: somebody must look. It is tried on.
    pub stuck: Option<Timestamp>,
}

/// It should go back and can't.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frozen {
    /// Why it should.
    pub reason: Reason,
    /// Since when.
    pub since: Timestamp,
    /// What was going on; a person can have it go on.
    pub interrupted: Running,
}

/// Over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The candidate is the baseline now.
    Promoted,
    /// It was compared in the shadow, and taken away as planned.
    Compared,
    /// It was taken back.
    RolledBack(Reason),
    /// It never began.
    NotStarted(Reason),
}

impl Outcome {
    /// Who has the candidate at the end: everybody or nobody.
    pub fn exposure(&self) -> Exposure {
        match self {
            Self::Promoted => Exposure::Full,
            Self::Compared | Self::RolledBack(_) | Self::NotStarted(_) => Exposure::None,
        }
    }
}

/// Why a rollout does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Somebody asked for it.
    #[error("{by} rolled it back{}", said(.why))]
    Asked {
        /// Who.
        by: Principal,
        /// What they said.
        why: String,
    },
    /// Somebody rejected it.
    #[error("{by} rejected it{}", said(.why))]
    Rejected {
        /// Who.
        by: Principal,
        /// What they said.
        why: String,
    },
    /// The judge says fail.
    #[error("{0}")]
    Failed(String),
    /// So bad that it took no statistics.
    #[error("{0}")]
    Panic(String),
    /// The judge could not decide in time, and the plan says so.
    #[error("the judge could not decide in time: {0}")]
    Undecided(String),
    /// Not approved in time.
    #[error("it was not approved within 72 h")]
    NotApproved,
    /// Not done in time.
    #[error("its deadline has passed")]
    Deadline,
    /// One act took too long.
    #[error("{0} took too long")]
    ActTooLong(String),
    /// The target refused, and will again.
    #[error("{act} was refused: {detail}")]
    Refused {
        /// What it was asked for.
        act: String,
        /// What it said.
        detail: String,
    },
    /// What is rolled out is no longer what was approved.
    #[error("the content was changed while it was rolled out")]
    ContentChanged,
    /// What is rolled out is gone.
    #[error("what it changes was deleted meanwhile")]
    SubjectGone,
}

fn said(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

impl State {
    /// The most that may be out now.
    pub fn reach(&self) -> Exposure {
        match self {
            Self::Waiting(_) => Exposure::None,
            Self::Running(running) => running.reach().clone(),
            Self::Undoing(undoing) => undoing.ceiling.clone(),
            Self::Frozen(frozen) => frozen.interrupted.reach().clone(),
            Self::Ended(ended) => ended.outcome.exposure(),
        }
    }

    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }

    /// Whether nothing goes on until a person does something.
    pub fn waits_for_a_person(&self) -> bool {
        match self {
            Self::Waiting(_) | Self::Frozen(_) => true,
            Self::Running(running) => {
                running.paused.is_some() || matches!(running.position, Position::Gated { .. })
            }
            Self::Undoing(undoing) => undoing.stuck.is_some(),
            Self::Ended(_) => false,
        }
    }

    /// One word for it, for people and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting_for_approval",
            Self::Running(running) if running.paused.is_some() => "paused",
            Self::Running(Running { position: Position::Gated { .. }, .. }) => "waiting_for_promotion",
            Self::Running(_) => "running",
            Self::Undoing(undoing) if undoing.stuck.is_some() => "rollback_stuck",
            Self::Undoing(_) => "rolling_back",
            Self::Frozen(_) => "frozen",
            Self::Ended(ended) => match ended.outcome {
                Outcome::Promoted => "promoted",
                Outcome::Compared => "compared",
                Outcome::RolledBack(_) => "rolled_back",
                Outcome::NotStarted(_) => "not_started",
            },
        }
    }
}
