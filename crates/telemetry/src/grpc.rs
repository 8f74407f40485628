//! Metrics of gRPC servers.

use hotswap_core::{LabelDef, MetricDef};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

use crate::{Metrics, MetricsError};

const METHOD: LabelDef = LabelDef { name: "method", values: "the RPCs of the contract, and `unknown`" };
const CODE: LabelDef = LabelDef { name: "code", values: "the status codes of gRPC, as `not_found`" };
pub(crate) const REQUESTS: MetricDef =
    MetricDef::counter("hotswap_rpc_requests_total", "calls", "Calls answered, by method and status code.")
        .by(&[METHOD, CODE]);
pub(crate) const DURATION: MetricDef =
    MetricDef::seconds("hotswap_rpc_duration_seconds", "Time to the head of the answer.").by(&[METHOD]);

/// Counts calls. The labels are bounded: `method` comes from the permission table, `code` from gRPC.
#[derive(Clone, Debug)]
pub struct GrpcMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
}

impl GrpcMetrics {
    /// Declares the metrics.
    ///
    /// # Errors
    /// Where they are declared already.
    pub fn register(metrics: &Metrics) -> Result<Self, MetricsError> {
        let requests =
            IntCounterVec::new(Opts::new(REQUESTS.name, REQUESTS.meaning), &REQUESTS.label_names())?;
        let buckets = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
        let options = HistogramOpts::new(DURATION.name, DURATION.meaning).buckets(buckets);
        let duration = HistogramVec::new(options, &DURATION.label_names())?;
        metrics.register(requests.clone())?;
        metrics.register(duration.clone())?;
        Ok(Self { requests, duration })
    }

    /// Counts one call: the path of the RPC, the name of the status code, the seconds it took.
    pub fn observe(&self, path: &str, code: &str, seconds: f64) {
        let method = path.trim_start_matches('/');
        self.requests.with_label_values(&[method, code]).inc();
        self.duration.with_label_values(&[method]).observe(seconds);
    }
}
