//! What the service counts. Names and labels are few and fixed: no proxy and no route is a label.

use hotswap_core::{LabelDef, MetricDef};
use hotswap_telemetry::{Metrics, MetricsError};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

const REVISION: MetricDef = MetricDef::gauge(
    "hotswap_gateway_config_revision",
    "revision",
    "Newest revision of the gateway configuration that is distributed.",
);
const RESOURCES: MetricDef =
    MetricDef::gauge("hotswap_gateway_config_resources", "resources", "Routes, pools and certificates.");
const STREAMS: MetricDef =
    MetricDef::gauge("hotswap_watch_streams", "streams", "Proxies whose stream this process holds.");
const DELTAS: MetricDef =
    MetricDef::counter("hotswap_watch_deltas_total", "messages", "Changes sent to proxies.");
const RESETS: MetricDef =
    MetricDef::counter("hotswap_watch_resets_total", "resets", "Proxies that had to start anew.").by(&[
        LabelDef {
            name: "why",
            values: "`compacted`, `foreign`, `future`, `digest_mismatch`, `unspecified`",
        },
    ]);
const REFUSALS: MetricDef =
    MetricDef::counter("hotswap_watch_refusals_total", "resources", "Resources that proxies refused.");
const RETRIES: MetricDef = MetricDef::counter(
    "hotswap_store_retries_total",
    "attempts",
    "Work beside the calls that the store refused, and that is tried again.",
);

/// What is declared here.
pub const METRICS: &[MetricDef] = &[REVISION, RESOURCES, STREAMS, DELTAS, RESETS, REFUSALS, RETRIES];

/// The service's metrics; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RouteMetrics {
    /// The newest revision that the watch distributes.
    pub(crate) revision: IntGauge,
    /// Routes, pools and certificates.
    pub(crate) resources: IntGauge,
    /// Proxies whose stream this process holds.
    pub(crate) streams: IntGauge,
    /// Changes sent to proxies.
    pub(crate) deltas: IntCounter,
    /// Proxies that had to start anew, by the reason.
    pub(crate) resets: IntCounterVec,
    /// Resources that proxies refused.
    pub(crate) refusals: IntCounter,
    /// Reads and writes of the store beside the calls that failed, and are tried again.
    pub(crate) store_errors: IntCounter,
}

impl RouteMetrics {
    /// Declares them.
    ///
    /// # Errors
    /// Where they are declared already.
    pub(crate) fn register(metrics: &Metrics) -> Result<Self, MetricsError> {
        let gauge = |def: MetricDef| IntGauge::new(def.name, def.meaning);
        let counter = |def: MetricDef| IntCounter::new(def.name, def.meaning);
        let this = Self {
            revision: gauge(REVISION)?,
            resources: gauge(RESOURCES)?,
            streams: gauge(STREAMS)?,
            deltas: counter(DELTAS)?,
            resets: IntCounterVec::new(Opts::new(RESETS.name, RESETS.meaning), &RESETS.label_names())?,
            refusals: counter(REFUSALS)?,
            store_errors: counter(RETRIES)?,
        };
        metrics.register(this.revision.clone())?;
        metrics.register(this.resources.clone())?;
        metrics.register(this.streams.clone())?;
        metrics.register(this.deltas.clone())?;
        metrics.register(this.resets.clone())?;
        metrics.register(this.refusals.clone())?;
        metrics.register(this.store_errors.clone())?;
        Ok(this)
    }
}
