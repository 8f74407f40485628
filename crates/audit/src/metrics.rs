//! What the audit log counts.

use hotswap_core::{LabelDef, MetricDef, Timestamp};
use prometheus::core::Collector;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::Outcome;

macro_rules! metrics {
    ($( $name:ident = $def:expr; )+) => {
        $( const $name: MetricDef = $def; )+

        /// What is declared here.
        pub const METRICS: &[MetricDef] = &[$( $name ),+];
    };
}

metrics! {
    EVENTS = MetricDef::counter(
        "hotswap_audit_events_total",
        "events",
        "Events that this process put into the audit log; one whose transaction then failed is counted, too.",
    )
    .by(&[LabelDef { name: "outcome", values: "`done`, `denied`, `failed`" }]);
    ATTEMPTS = MetricDef::counter(
        "hotswap_audit_attempts_total",
        "calls",
        "Calls noted as denied or failed: each one, while many alike make one event.",
    )
    .by(&[LabelDef { name: "outcome", values: "`denied`, `failed`" }]);
    WAITING = MetricDef::gauge(
        "hotswap_audit_attempts_waiting",
        "events",
        "Events of denied and failed calls that are to be written; it stays up while the database is away.",
    );
    CHECKPOINTS = MetricDef::counter(
        "hotswap_audit_checkpoints_total",
        "checkpoints",
        "Checkpoints that this process signed; of several replicas one signs.",
    );
    CHECKPOINT_AT = MetricDef::gauge(
        "hotswap_audit_checkpoint_timestamp_seconds",
        "seconds",
        "When the newest checkpoint of the platform's chain was signed, by whichever process, in Unix time; 0: none was.",
    );
    UNSIGNED = MetricDef::gauge(
        "hotswap_audit_unsigned_events",
        "events",
        "Events behind the newest checkpoint of their chain, over all chains, when this process last looked.",
    );
    ERRORS = MetricDef::counter(
        "hotswap_audit_errors_total",
        "failures",
        "Work on the audit log that failed and is tried again, by what it was.",
    )
    .by(&[LabelDef { name: "task", values: "`attempts`, `checkpoint`, `anchor`, `retention`, `upkeep`" }]);
    VERIFICATIONS = MetricDef::counter(
        "hotswap_audit_verifications_total",
        "verifications",
        "Verifications by VerifyLog, of one chain or of all, by result.",
    )
    .by(&[LabelDef { name: "result", values: "`intact`, `not_intact`, `error`" }]);
    FAULTS = MetricDef::gauge(
        "hotswap_audit_faults",
        "faults",
        "Faults that the newest verification of all chains found; 0 before the first.",
    );
    VERIFIED_AT = MetricDef::gauge(
        "hotswap_audit_verified_timestamp_seconds",
        "seconds",
        "When all chains were last verified by this process, in Unix time; 0: never.",
    );
    DROPPED = MetricDef::counter(
        "hotswap_audit_dropped_events_total",
        "events",
        "Events that this process dropped, since they are older than they are kept.",
    );
}

/// Work that may fail.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    Attempts,
    Checkpoint,
    Anchor,
    Retention,
    Upkeep,
}

/// How a verification ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verified {
    Intact,
    NotIntact,
    Error,
}

/// The metrics of a log; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AuditMetrics {
    events: IntCounterVec,
    attempts: IntCounterVec,
    pub(crate) waiting: IntGauge,
    pub(crate) checkpoints: IntCounter,
    checkpoint_at: Gauge,
    unsigned: IntGauge,
    errors: IntCounterVec,
    verifications: IntCounterVec,
    faults: IntGauge,
    verified_at: Gauge,
    pub(crate) dropped: IntCounter,
}

impl AuditMetrics {
    /// Metrics that nobody shows yet.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let counters =
            |def: MetricDef| IntCounterVec::new(Opts::new(def.name, def.meaning), &def.label_names());
        let this = Self {
            events: counters(EVENTS)?,
            attempts: counters(ATTEMPTS)?,
            waiting: IntGauge::new(WAITING.name, WAITING.meaning)?,
            checkpoints: IntCounter::new(CHECKPOINTS.name, CHECKPOINTS.meaning)?,
            checkpoint_at: Gauge::new(CHECKPOINT_AT.name, CHECKPOINT_AT.meaning)?,
            unsigned: IntGauge::new(UNSIGNED.name, UNSIGNED.meaning)?,
            errors: counters(ERRORS)?,
            verifications: counters(VERIFICATIONS)?,
            faults: IntGauge::new(FAULTS.name, FAULTS.meaning)?,
            verified_at: Gauge::new(VERIFIED_AT.name, VERIFIED_AT.meaning)?,
            dropped: IntCounter::new(DROPPED.name, DROPPED.meaning)?,
        };
        // There from the start, so that a first failure is a rise.
        for task in [Task::Attempts, Task::Checkpoint, Task::Anchor, Task::Retention, Task::Upkeep] {
            this.errors.with_label_values(&[task.as_str()]);
        }
        for result in [Verified::Intact, Verified::NotIntact, Verified::Error] {
            this.verifications.with_label_values(&[result.as_str()]);
        }
        for outcome in [Outcome::Done, Outcome::Denied, Outcome::Failed] {
            this.events.with_label_values(&[outcome.as_str()]);
        }
        Ok(this)
    }

    /// Shows them.
    pub(crate) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let collectors: [Box<dyn Collector>; 11] = [
            Box::new(self.events.clone()),
            Box::new(self.attempts.clone()),
            Box::new(self.waiting.clone()),
            Box::new(self.checkpoints.clone()),
            Box::new(self.checkpoint_at.clone()),
            Box::new(self.unsigned.clone()),
            Box::new(self.errors.clone()),
            Box::new(self.verifications.clone()),
            Box::new(self.faults.clone()),
            Box::new(self.verified_at.clone()),
            Box::new(self.dropped.clone()),
        ];
        collectors.into_iter().try_for_each(|collector| registry.register(collector))
    }

    pub(crate) fn recorded(&self, outcome: Outcome) {
        self.events.with_label_values(&[outcome.as_str()]).inc();
    }

    pub(crate) fn attempted(&self, outcome: Outcome) {
        self.attempts.with_label_values(&[outcome.as_str()]).inc();
    }

    /// What a look at all chains saw.
    pub(crate) fn looked(&self, unsigned: i64, newest_checkpoint: Option<Timestamp>) {
        self.unsigned.set(unsigned);
        self.checkpoint_at.set(newest_checkpoint.map_or(0.0, seconds));
    }

    /// Gives the outcome of some work back; a failure is counted.
    pub(crate) fn of<T, E>(&self, task: Task, outcome: Result<T, E>) -> Result<T, E> {
        if outcome.is_err() {
            self.errors.with_label_values(&[task.as_str()]).inc();
        }
        outcome
    }

    pub(crate) fn verified(&self, result: Verified) {
        self.verifications.with_label_values(&[result.as_str()]).inc();
    }

    /// All chains were verified.
    pub(crate) fn verified_all(&self, faults: u64, at: Timestamp) {
        self.faults.set(i64::try_from(faults).unwrap_or(i64::MAX));
        self.verified_at.set(seconds(at));
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1e6
}

impl Task {
    fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Checkpoint => "checkpoint",
            Self::Anchor => "anchor",
            Self::Retention => "retention",
            Self::Upkeep => "upkeep",
        }
    }
}

impl Verified {
    fn as_str(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::NotIntact => "not_intact",
            Self::Error => "error",
        }
    }
}
