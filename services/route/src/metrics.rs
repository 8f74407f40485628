//! What the service counts. Names and labels are few and fixed: no proxy and no route is a label.

use hotswap_telemetry::{Metrics, MetricsError};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

/// The service's metrics; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RouteMetrics {
    /// The newest revision that the watch distributes.
    pub(crate) revision: IntGauge,
    /// Routes and pools.
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
        let this = Self {
            revision: IntGauge::new(
                "hotswap_gateway_config_revision",
                "Newest revision of the gateway configuration that is distributed.",
            )?,
            resources: IntGauge::new("hotswap_gateway_config_resources", "Routes and pools.")?,
            streams: IntGauge::new("hotswap_watch_streams", "Proxies whose stream this process holds.")?,
            deltas: IntCounter::new("hotswap_watch_deltas_total", "Changes sent to proxies.")?,
            resets: IntCounterVec::new(
                Opts::new("hotswap_watch_resets_total", "Proxies that had to start anew."),
                &["why"],
            )?,
            refusals: IntCounter::new("hotswap_watch_refusals_total", "Resources that proxies refused.")?,
            store_errors: IntCounter::new(
                "hotswap_store_retries_total",
                "Work beside the calls that the store refused, and that is tried again.",
            )?,
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
