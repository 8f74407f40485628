//! Sending spans.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hotswap_core::{LabelDef, MetricDef};
use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample, SpanData, SpanExporter,
};
use prometheus::{IntCounterVec, Opts};

use super::TraceOptions;
use super::request::{REQUEST, RequestTraces};
use crate::{Metrics, MetricsError, Process};

/// How long the collector may take for a batch.
const EXPORT_WITHIN: Duration = Duration::from_secs(5);
/// How long the end of a process waits for its last spans.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Spans that can't be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The address of the collector is none.
    #[error("--otlp-endpoint must be a URL, as http://127.0.0.1:4317")]
    Endpoint,
    /// The exporter does not take its options.
    #[error("cannot send spans: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// What is counted of spans can't be declared.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

pub(crate) const SPANS: MetricDef = MetricDef::counter(
    "hotswap_trace_spans_total",
    "spans",
    "Spans handed to the collector, or lost because it did not take them.",
)
.by(&[LabelDef { name: "outcome", values: "`sent`, `lost`" }]);

/// The spans of a process on their way to a collector; cheap to clone.
#[derive(Clone, Debug)]
pub struct Traces {
    provider: Option<SdkTracerProvider>,
    requests: Option<RequestTraces>,
    spans: IntCounterVec,
}

impl Traces {
    /// Starts to send, where there is somewhere to send to; inside a tokio runtime.
    pub(crate) fn start(
        options: &TraceOptions,
        process: &Process,
    ) -> Result<(Self, Option<SdkTracer>), TraceError> {
        let spans = IntCounterVec::new(Opts::new(SPANS.name, SPANS.meaning), &SPANS.label_names())
            .map_err(MetricsError::from)?;
        let Some(endpoint) = &options.otlp_endpoint else {
            return Ok((Self { provider: None, requests: None, spans }, None));
        };
        let is_url = endpoint.parse::<http::Uri>().is_ok_and(|u| {
            matches!(u.scheme_str(), Some("http" | "https")) && u.host().is_some_and(|host| !host.is_empty())
        });
        if !is_url {
            // It is not told: a password may stand in it.
            return Err(TraceError::Endpoint);
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_WITHIN)
            .build()?;
        let exporter = Watched { exporter, spans: spans.clone(), away: Arc::default() };
        let share = Sampler::TraceIdRatioBased(options.trace_sample.get());
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Decided(Sampler::ParentBased(Box::new(share))))
            .with_resource(resource(process))
            .build();
        let tracer = provider.tracer("hotswap");
        super::context::turn_on();
        let requests = Some(RequestTraces::new(tracer.clone(), options.trace_sample));
        Ok((Self { provider: Some(provider), requests, spans }, Some(tracer)))
    }

    /// Decides which requests of a data plane are recorded; `None`: none is.
    pub fn requests(&self) -> Option<RequestTraces> {
        self.requests.clone()
    }

    /// Declares what is counted of spans.
    ///
    /// # Errors
    /// Where it is declared already.
    pub fn register(&self, metrics: &Metrics) -> Result<(), MetricsError> {
        metrics.register(self.spans.clone())
    }

    /// Sends what is left, for 2 s at most; from then on no span is sent. At the end of a process, and on its main
    /// thread, which no task runs on: the calling thread waits.
    pub fn finish(&self) {
        if let Some(provider) = &self.provider
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_WITHIN)
        {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Whether a span is recorded. Of a request that has been settled before its span is made.
#[derive(Clone, Debug)]
struct Decided(Sampler);

impl ShouldSample for Decided {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_root = !parent.is_some_and(|parent| parent.span().span_context().is_valid());
        let sampler = if is_root && name == REQUEST { &Sampler::AlwaysOn } else { &self.0 };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}

/// Which process it is.
fn resource(process: &Process) -> Resource {
    Resource::builder()
        .with_service_name(process.service)
        .with_attributes([
            KeyValue::new("service.namespace", "hotswap"),
            KeyValue::new("service.version", process.version),
            KeyValue::new("service.instance.id", process.instance.clone()),
        ])
        .build()
}

/// An exporter that says, once, that the collector is away, and once that it is back.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    spans: IntCounterVec,
    away: Arc<AtomicBool>,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = u64::try_from(batch.len()).unwrap_or(0);
        let sent = self.exporter.export(batch).await;
        let outcome = if sent.is_ok() { "sent" } else { "lost" };
        self.spans.with_label_values(&[outcome]).inc_by(count);
        let was_away = self.away.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(error) if !was_away => {
                tracing::warn!(%error, "the collector does not take spans; they are lost")
            }
            Ok(()) if was_away => tracing::info!("the collector takes spans again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
