//! The rollout engine: it carries a subject from one revision to another, step by step, judged, and back where it must.
//! It knows no domain: what is rolled out is a target that declares what it can do.
//!
//! ```text
//!   PlanDraft + Powers ──RolloutPolicy::admit──► Plan      steps: stage, check, expose, bake, judge, gate, commit
//!                                                  │
//!   Record (stored) ─┐                             ▼
//!   Facts           ─┼──────────────────────► decide ──► Record' + Effects
//!   now             ─┘      commands → abort → deadlines → observe → advance
//! ```
//!
//! [`decide`] is pure. Whoever runs it stores the record and its events in one transaction, under the fence of its lease
//! and only over the generation that it read; then it has the requested [`Act`] done, and decides again with the
//! outcome. So an intent is always stored before anything is done. An act is absolute ("30 % of requests", never "10 %
//! more"), and what is requested follows from the record alone: whoever takes over after a crash asks for the same
//! again.
//!
//! What holds, whatever the facts:
//! - after a rollback began, exposure only falls, and the rollback needs nothing of the candidate;
//! - a bake lasts at least as long as the plan says, unless a person promotes;
//! - at the end nobody or everybody has the candidate;
//! - past a point of no return nothing goes back: it freezes, and a person decides.
//!
//! The [`judge`] compares counts of the candidate with those of the baseline beside it.

mod approval;
mod command;
mod decide;
mod event;
mod exposure;
mod facts;
pub mod judge;
mod plan;
mod policy;
mod ports;
mod powers;
mod rollout;
mod share;
mod smoke;
mod source;
mod state;
mod strategy;

pub use approval::{
    APPROVAL_EXPIRY, APPROVAL_REMINDER, Actor, Approvals, Approvers, Content, ContentHash, Level, NotCounted,
    Principal,
};
pub use command::{Answer, Answered, Command, Order};
pub use decide::decide;
pub use event::Event;
pub use exposure::{Cohort, CohortDraft, CohortKey, Exposure};
pub use facts::{ActOutcome, ActResult, Effects, Facts, Request, Subject, Watch};
pub use plan::{Plan, PlanDraft, RollbackDraft};
pub use policy::RolloutPolicy;
pub use ports::{MetricSource, Notice, Notifier, PortError, Store, Target, TargetContext};
pub use powers::Powers;
pub use rollout::{Rollout, RolloutId};
pub use share::{InvalidShare, Millis, Share};
pub use smoke::SmokeTest;
pub use source::{CountSource, PrometheusQueries, StickyKey};
pub use state::{
    Ended, Frozen, Outcome, Paused, Pending, Position, Reason, Record, Running, State, Stored, UndoAct,
    UndoPosition, Undoing,
};
pub use strategy::{Act, CanaryStepDraft, Check, ShadowEnd, Step, StrategyDraft};
