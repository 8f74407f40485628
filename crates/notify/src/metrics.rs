//! What notifications count.

use std::time::Duration;

use hotswap_core::{LabelDef, MetricDef};
use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::Channels;

macro_rules! metrics {
    ($( $name:ident = $def:expr; )+) => {
        $( const $name: MetricDef = $def; )+

        /// What is declared here.
        pub const METRICS: &[MetricDef] = &[$( $name ),+];
    };
}

const CHANNEL: LabelDef = LabelDef { name: "channel", values: "the channels that are configured" };

metrics! {
    MESSAGES = MetricDef::counter(
        "hotswap_notify_messages_total",
        "messages",
        "Messages that this process took from the outbox, also those that no channel wants.",
    );
    DELIVERIES = MetricDef::counter(
        "hotswap_notify_deliveries_total",
        "attempts",
        "Attempts to deliver, by how they ended; `dead` is given up for good.",
    )
    .by(&[CHANNEL, LabelDef { name: "outcome", values: "`sent`, `again`, `dead`" }]);
    DURATION = MetricDef::seconds(
        "hotswap_notify_delivery_duration_seconds",
        "How long an attempt to deliver took.",
    )
    .by(&[CHANNEL]);
    WAITING = MetricDef::gauge(
        "hotswap_notify_waiting",
        "deliveries",
        "Deliveries that wait for an attempt or are under way, of all processes; looked at every 15 s.",
    )
    .by(&[CHANNEL]);
    DEAD = MetricDef::gauge(
        "hotswap_notify_dead",
        "deliveries",
        "Deliveries that were given up and are kept, of all processes; looked at every 15 s.",
    )
    .by(&[CHANNEL]);
    FALLBACKS = MetricDef::counter(
        "hotswap_notify_template_faults_total",
        "attempts",
        "Attempts whose template failed, so that the data were sent as they are.",
    );
    ERRORS = MetricDef::counter(
        "hotswap_notify_errors_total",
        "failures",
        "Work on the outbox that the database failed and that is tried again, by what it was.",
    )
    .by(&[LabelDef { name: "task", values: "`fan_out`, `claim`, `mark`, `upkeep`" }]);
}

/// The upper bounds, in seconds.
const BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Sent,
    Again,
    Dead,
}

impl Ended {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Again => "again",
            Self::Dead => "dead",
        }
    }
}

/// Work that may fail.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    FanOut,
    Claim,
    Mark,
    Upkeep,
}

impl Task {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::FanOut => "fan_out",
            Self::Claim => "claim",
            Self::Mark => "mark",
            Self::Upkeep => "upkeep",
        }
    }
}

/// The metrics of a sender; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct NotifyMetrics {
    pub(crate) messages: IntCounter,
    deliveries: IntCounterVec,
    duration: HistogramVec,
    waiting: IntGaugeVec,
    dead: IntGaugeVec,
    pub(crate) template_faults: IntCounter,
    errors: IntCounterVec,
}

impl NotifyMetrics {
    /// Metrics that nobody shows yet.
    pub(crate) fn new(channels: &Channels) -> Result<Self, prometheus::Error> {
        let opts = |def: MetricDef| Opts::new(def.name, def.meaning);
        let duration = HistogramOpts::from(opts(DURATION)).buckets(BUCKETS.to_vec());
        let this = Self {
            messages: IntCounter::with_opts(opts(MESSAGES))?,
            deliveries: IntCounterVec::new(opts(DELIVERIES), &DELIVERIES.label_names())?,
            duration: HistogramVec::new(duration, &DURATION.label_names())?,
            waiting: IntGaugeVec::new(opts(WAITING), &WAITING.label_names())?,
            dead: IntGaugeVec::new(opts(DEAD), &DEAD.label_names())?,
            template_faults: IntCounter::with_opts(opts(FALLBACKS))?,
            errors: IntCounterVec::new(opts(ERRORS), &ERRORS.label_names())?,
        };
        // There from the start, so that a first failure is a rise.
        for task in [Task::FanOut, Task::Claim, Task::Mark, Task::Upkeep] {
            this.errors.with_label_values(&[task.as_str()]);
        }
        for channel in channels.ids() {
            for ended in [Ended::Sent, Ended::Again, Ended::Dead] {
                this.deliveries.with_label_values(&[channel, ended.as_str()]);
            }
            this.duration.with_label_values(&[channel]);
            this.looked(channel, 0, 0);
        }
        Ok(this)
    }

    /// Shows them.
    pub(crate) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let collectors: [Box<dyn Collector>; 7] = [
            Box::new(self.messages.clone()),
            Box::new(self.deliveries.clone()),
            Box::new(self.duration.clone()),
            Box::new(self.waiting.clone()),
            Box::new(self.dead.clone()),
            Box::new(self.template_faults.clone()),
            Box::new(self.errors.clone()),
        ];
        collectors.into_iter().try_for_each(|collector| registry.register(collector))
    }

    /// An attempt ended.
    pub(crate) fn attempted(&self, channel: &str, ended: Ended, took: Duration) {
        self.deliveries.with_label_values(&[channel, ended.as_str()]).inc();
        self.duration.with_label_values(&[channel]).observe(took.as_secs_f64());
    }

    /// One was given up without an attempt.
    pub(crate) fn died(&self, channel: &str) {
        self.deliveries.with_label_values(&[channel, Ended::Dead.as_str()]).inc();
    }

    pub(crate) fn looked(&self, channel: &str, waiting: i64, dead: i64) {
        self.waiting.with_label_values(&[channel]).set(waiting);
        self.dead.with_label_values(&[channel]).set(dead);
    }

    pub(crate) fn failed(&self, task: Task) {
        self.errors.with_label_values(&[task.as_str()]).inc();
    }
}
