//! The registry.

use prometheus::core::Collector;
use prometheus::{Encoder as _, Registry, TextEncoder};

/// Metrics that can't be registered or written out.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// The metrics of a process; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a collector.
    ///
    /// # Errors
    /// Where one of its names is taken.
    pub fn register(&self, collector: impl Collector + 'static) -> Result<(), MetricsError> {
        Ok(self.registry.register(Box::new(collector))?)
    }

    /// The registry itself, for what takes one.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// Where a collector gives what can't be written.
    pub fn encode(&self) -> Result<String, MetricsError> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GrpcMetrics;

    #[test]
    fn calls_show_in_the_text_and_a_name_is_taken_once() {
        let metrics = Metrics::new();
        let grpc = GrpcMetrics::register(&metrics).expect("registers");
        grpc.observe("/a.B/C", "ok", 0.25);
        let text = metrics.encode().expect("encodes");
        assert!(text.contains(r#"hotswap_rpc_requests_total{code="ok",method="a.B/C"} 1"#), "{text}");
        assert!(text.contains("hotswap_rpc_duration_seconds_sum"), "{text}");
        assert!(GrpcMetrics::register(&metrics).is_err());
    }
}
