//! What the host counts. Labels are few and fixed: no rollout and no subject is one.

use hotswap_core::{LabelDef, MetricDef};
use hotswap_rollout::{Act, ActResult, Event};
use hotswap_telemetry::{Metrics, MetricsError};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts};

const DOMAIN: LabelDef = LabelDef { name: "domain", values: "the service, as `route`" };

const ACTIVE: MetricDef =
    MetricDef::gauge("hotswap_rollout_active", "rollouts", "Rollouts that have not ended.").by(&[
        DOMAIN,
        LabelDef {
            name: "state",
            values: "`waiting_for_approval`, `running`, `paused`, `waiting_for_promotion`, `rolling_back`, \
                     `rollback_stuck`, `frozen`",
        },
    ]);
const TRANSITIONS: MetricDef =
    MetricDef::counter("hotswap_rollout_transitions_total", "events", "What happened in rollouts.")
        .by(&[LabelDef { name: "kind", values: "the kinds of events, as `rollback_began`" }]);
const DECISIONS: MetricDef =
    MetricDef::counter("hotswap_rollout_decisions_total", "decisions", "Decisions that were stored.");
const FENCED: MetricDef = MetricDef::counter(
    "hotswap_rollout_fenced_total",
    "decisions",
    "Decisions that were not stored, since another one drove the rollout by then.",
);
const FAILED: MetricDef = MetricDef::counter(
    "hotswap_rollout_turns_failed_total",
    "turns",
    "Turns that the store refused, and that are taken again.",
);
const ACT: MetricDef =
    MetricDef::seconds("hotswap_rollout_act_seconds", "How long a target took for an act.").by(&[
        LabelDef { name: "act", values: "`stage`, `check`, `expose`, `commit`, `withdraw`" },
        LabelDef { name: "result", values: "`done`, `retry`, `refused`, `interrupted`" },
    ]);
const UNMEASURED: MetricDef = MetricDef::counter(
    "hotswap_rollout_measurements_failed_total",
    "measurements",
    "Measurements that gave no counts.",
)
.by(&[LabelDef { name: "why", values: "`no_data`, `broken`" }]);
const LATE: MetricDef =
    MetricDef::seconds("hotswap_rollout_late_seconds", "How long after it was due a rollout was looked at.");
const DROPPED: MetricDef = MetricDef::counter(
    "hotswap_rollout_dropped_total",
    "rollouts",
    "Rollouts that this process dropped, since they ended longer ago than they are kept.",
);

/// What is declared here.
pub const METRICS: &[MetricDef] =
    &[ACTIVE, TRANSITIONS, DECISIONS, FENCED, FAILED, ACT, UNMEASURED, LATE, DROPPED];

/// The kinds of events that somebody is to hear of.
const KINDS: [&str; 10] = [
    "started",
    "step_began",
    "step_done",
    "promoted",
    "paused",
    "resumed",
    "rollback_began",
    "rollback_stuck",
    "frozen",
    "ended",
];

/// The metrics of drivers, one set for a process; cheap to clone.
#[derive(Clone, Debug)]
pub struct RolloutMetrics {
    active: IntGaugeVec,
    transitions: IntCounterVec,
    pub(crate) decisions: IntCounter,
    pub(crate) fenced: IntCounter,
    pub(crate) failed: IntCounter,
    act: HistogramVec,
    unmeasured: IntCounterVec,
    pub(crate) late: Histogram,
    dropped: IntCounter,
}

impl RolloutMetrics {
    /// Declares them.
    ///
    /// # Errors
    /// Where they are declared already.
    pub fn register(metrics: &Metrics) -> Result<Self, MetricsError> {
        let counter = |def: MetricDef| IntCounter::new(def.name, def.meaning);
        let opts = |def: MetricDef| Opts::new(def.name, def.meaning);
        let buckets = vec![0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let histogram = |def: MetricDef| HistogramOpts::new(def.name, def.meaning).buckets(buckets.clone());
        let this = Self {
            active: IntGaugeVec::new(opts(ACTIVE), &ACTIVE.label_names())?,
            transitions: IntCounterVec::new(opts(TRANSITIONS), &TRANSITIONS.label_names())?,
            decisions: counter(DECISIONS)?,
            fenced: counter(FENCED)?,
            failed: counter(FAILED)?,
            act: HistogramVec::new(histogram(ACT), &ACT.label_names())?,
            unmeasured: IntCounterVec::new(opts(UNMEASURED), &UNMEASURED.label_names())?,
            late: Histogram::with_opts(histogram(LATE))?,
            dropped: counter(DROPPED)?,
        };
        // There from the start, so that a first one is a rise.
        for kind in KINDS {
            this.transitions.with_label_values(&[kind]);
        }
        for act in ["stage", "check", "expose", "commit", "withdraw"] {
            this.act.with_label_values(&[act, "done"]);
        }
        for why in ["no_data", "broken"] {
            this.unmeasured.with_label_values(&[why]);
        }
        metrics.register(this.active.clone())?;
        metrics.register(this.transitions.clone())?;
        metrics.register(this.decisions.clone())?;
        metrics.register(this.fenced.clone())?;
        metrics.register(this.failed.clone())?;
        metrics.register(this.act.clone())?;
        metrics.register(this.unmeasured.clone())?;
        metrics.register(this.late.clone())?;
        metrics.register(this.dropped.clone())?;
        Ok(this)
    }

    /// How many rollouts of a domain are in which state now.
    pub(crate) fn active(&self, domain: &str, states: &[(String, i64)]) {
        const STATES: [&str; 7] = [
            "waiting_for_approval",
            "running",
            "paused",
            "waiting_for_promotion",
            "rolling_back",
            "rollback_stuck",
            "frozen",
        ];
        for state in STATES {
            let n = states.iter().find(|(of, _)| of == state).map_or(0, |(_, n)| *n);
            self.active.with_label_values(&[domain, state]).set(n);
        }
    }

    pub(crate) fn happened(&self, events: &[Event]) {
        for event in events {
            self.transitions.with_label_values(&[crate::store::kind(event).as_str()]).inc();
        }
    }

    /// `None`: it was interrupted.
    pub(crate) fn acted(&self, act: &Act, result: Option<&ActResult>, seconds: f64) {
        let act = match act {
            Act::Stage => "stage",
            Act::Check(_) => "check",
            Act::Expose(_) => "expose",
            Act::Commit => "commit",
            Act::Withdraw => "withdraw",
        };
        let result = match result {
            None => "interrupted",
            Some(ActResult::Done) => "done",
            Some(ActResult::Retry { .. } | ActResult::Lagging { .. }) => "retry",
            Some(ActResult::Refused(_)) => "refused",
        };
        self.act.with_label_values(&[act, result]).observe(seconds);
    }

    /// Rollouts were dropped, since they ended longer ago than they are kept.
    pub fn dropped(&self, rollouts: u64) {
        self.dropped.inc_by(rollouts);
    }

    pub(crate) fn unmeasured(&self, why: &str) {
        self.unmeasured.with_label_values(&[why]).inc();
    }
}
