//! What limits count.

use hotswap_core::{LabelDef, MetricDef};
use hotswap_telemetry::{Metrics, MetricsError};
use prometheus::{IntCounterVec, Opts};

const REFUSED: MetricDef = MetricDef::counter(
    "hotswap_rpc_limited_total",
    "calls",
    "Calls refused by a rate limit, by method and limit.",
)
.by(&[
    LabelDef { name: "method", values: "the RPCs of the contract" },
    LabelDef { name: "limit", values: "`principal`, `tenant`, `method`" },
]);

/// What is declared here.
pub const METRICS: &[MetricDef] = &[REFUSED];

/// Counts calls that were refused. The labels are bounded: `method` comes from the permission table, `limit` is
/// "principal", "tenant" or "method". Who it was stands in the log.
#[derive(Clone, Debug)]
pub struct LimitMetrics {
    refused: IntCounterVec,
}

impl LimitMetrics {
    /// Declares the metrics.
    ///
    /// # Errors
    /// Where they are declared already.
    pub fn register(metrics: &Metrics) -> Result<Self, MetricsError> {
        let options = Opts::new(REFUSED.name, REFUSED.meaning);
        let refused = IntCounterVec::new(options, &REFUSED.label_names())?;
        metrics.register(refused.clone())?;
        Ok(Self { refused })
    }

    pub(super) fn refused(&self, path: &str, limit: &str) {
        self.refused.with_label_values(&[path.trim_start_matches('/'), limit]).inc();
    }
}
