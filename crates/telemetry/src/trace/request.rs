//! Spans of a data plane's requests. Whether one is recorded is settled first, by the caller or by a draw, so that one
//! that is not costs a branch; the spans of one that is are made with OpenTelemetry's own interface, since a request
//! changes hands between callbacks in which no span of `tracing` can be entered.
//!
//! ```text
//!  gateway.request ─┬─ gateway.match     which route
//!    (server)       ├─ gateway.select    which backend
//!                   └─ gateway.proxy     one for each try; its context goes to the backend
//!                        (client)
//! ```

use std::time::SystemTime;

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::context::{self, Only};
use super::options::SampleRatio;

/// The span of a request.
pub(super) const REQUEST: &str = "gateway.request";

/// Decides which requests are recorded; cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestTraces {
    tracer: SdkTracer,
    /// A draw below it is recorded.
    below: u64,
    all: bool,
}

impl RequestTraces {
    pub(super) fn new(tracer: SdkTracer, share: SampleRatio) -> Self {
        // The product is at most 2^64, where the cast saturates.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^64, saturating")]
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let below = (share.get() * u64::MAX as f64) as u64;
        Self { tracer, below, all: share.get() >= 1.0 }
    }

    /// Begins to record a request, where its caller's `traceparent` says so, or, where there is none that can be read,
    /// where `draw`, a random number, falls into the share.
    pub fn begin(&self, traceparent: Option<&str>, draw: u64, at: SystemTime) -> Option<RequestTrace> {
        let parent = traceparent.and_then(|text| context::extracted(&Only(text)));
        let recorded = match &parent {
            Some(parent) => parent.is_sampled(),
            None => self.all || draw < self.below,
        };
        recorded.then(|| self.record(parent, at))
    }

    fn record(&self, parent: Option<SpanContext>, at: SystemTime) -> RequestTrace {
        let parent = parent.map_or_else(Context::new, |p| Context::new().with_remote_span_context(p));
        let builder = SpanBuilder::from_name(REQUEST).with_kind(SpanKind::Server).with_start_time(at);
        let request = self.tracer.build_with_context(builder, &parent);
        let own = Context::new().with_remote_span_context(request.span_context().clone());
        RequestTrace { tracer: self.tracer.clone(), own, request, attempt: None }
    }
}

/// A request that is recorded.
#[derive(Debug)]
pub struct RequestTrace {
    tracer: SdkTracer,
    /// With the request's span as the parent.
    own: Context,
    request: Span,
    /// The try that is under way.
    attempt: Option<Span>,
}

/// A name and a value of a span.
pub type Attribute = KeyValue;

impl RequestTrace {
    /// The trace, 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.request.span_context().trace_id().to_string()
    }

    /// Says something of the request.
    pub fn say(&mut self, attribute: Attribute) {
        self.request.set_attribute(attribute);
    }

    /// Something that was done for the request in between.
    pub fn did(&self, name: &'static str, (from, to): (SystemTime, SystemTime), attributes: Vec<Attribute>) {
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal).with_start_time(from);
        let builder = builder.with_attributes(attributes);
        self.tracer.build_with_context(builder, &self.own).end_with_timestamp(to);
    }

    /// Begins a try at a backend, after the end of the one before; gives the `traceparent` that it gets.
    pub fn attempt(&mut self, at: SystemTime, attributes: Vec<Attribute>) -> String {
        self.attempted(at, None, None);
        let builder = SpanBuilder::from_name("gateway.proxy").with_kind(SpanKind::Client).with_start_time(at);
        let builder = builder.with_attributes(attributes);
        let span = self.tracer.build_with_context(builder, &self.own);
        let context = span.span_context();
        let traceparent = format!("00-{}-{}-01", context.trace_id(), context.span_id());
        self.attempt = Some(span);
        traceparent
    }

    /// The try has ended: with a status, or with the reason why there is none.
    pub fn attempted(&mut self, at: SystemTime, status: Option<u16>, failed: Option<&'static str>) {
        if let Some(span) = self.attempt.take() {
            end(span, at, status, failed);
        }
    }

    /// The request has ended. What is left of a try ends with it.
    pub fn ended(mut self, at: SystemTime, status: Option<u16>, failed: Option<&'static str>) {
        self.attempted(at, status, failed);
        end(self.request, at, status, failed);
    }
}

/// As OpenTelemetry's conventions for HTTP have it: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>.
fn end(mut span: Span, at: SystemTime, status: Option<u16>, failed: Option<&'static str>) {
    if let Some(status) = status {
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
    }
    if let Some(reason) = failed {
        span.set_attribute(KeyValue::new("error.type", reason));
    }
    if failed.is_some() || status.is_some_and(|s| s >= 500) {
        span.set_status(Status::error(""));
    }
    span.end_with_timestamp(at);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::{SpanId, TracerProvider as _};
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};

    use super::*;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNRECORDED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn traces(share: &str) -> (RequestTraces, InMemorySpanExporter) {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        // A tracer is of no use once its provider is gone.
        let tracer = Box::leak(Box::new(provider)).tracer("test");
        (RequestTraces::new(tracer, share.parse().expect("a share")), exporter)
    }

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    #[test]
    fn what_the_caller_decided_holds_and_else_the_draw_decides() {
        let (none, _) = traces("0");
        assert!(none.begin(Some(CALLER), u64::MAX, at(0)).is_some());
        assert!(none.begin(None, 0, at(0)).is_none());
        let (half, _) = traces("0.5");
        assert!(half.begin(None, u64::MAX / 2 - 9_999, at(0)).is_some());
        assert!(half.begin(None, u64::MAX / 2 + 9_999, at(0)).is_none());
        assert!(half.begin(Some(UNRECORDED), 0, at(0)).is_none());
        assert!(half.begin(Some("nonsense"), 0, at(0)).is_some());
        let (all, _) = traces("1");
        assert!(all.begin(None, u64::MAX, at(0)).is_some());
        assert!(all.begin(Some(UNRECORDED), 0, at(0)).is_none());
    }

    #[test]
    fn a_request_is_a_tree_whose_tries_are_told_to_the_backends() {
        let (traces, exporter) = traces("1");
        let mut trace = traces.begin(Some(CALLER), 0, at(10)).expect("recorded");
        trace.did("gateway.match", (at(11), at(12)), vec![KeyValue::new("hotswap.route", "routes/a")]);
        let first = trace.attempt(at(12), vec![]);
        trace.attempted(at(13), None, Some("CONNECT_FAILED"));
        let second = trace.attempt(at(14), vec![]);
        trace.ended(at(20), Some(200), None);

        let spans = exporter.get_finished_spans().expect("spans");
        let named = |name: &str| spans.iter().filter(|s| s.name == name).collect::<Vec<&SpanData>>();
        let (request, tries) = (named("gateway.request")[0], named("gateway.proxy"));
        assert_eq!(request.parent_span_id, SpanId::from_hex("00f067aa0ba902b7").expect("an id"));
        assert_eq!((request.start_time, request.end_time), (at(10), at(20)));
        assert_eq!(request.span_kind, SpanKind::Server);
        let own = request.span_context.span_id();
        assert!(named("gateway.match").iter().chain(&tries).all(|s| s.parent_span_id == own));
        for (sent, span) in [first, second].iter().zip(&tries) {
            let id = span.span_context.span_id();
            assert_eq!(*sent, format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{id}-01"));
        }
        assert_eq!(tries[0].status, Status::error(""));
        assert_eq!((tries[1].end_time, &tries[1].status), (at(20), &Status::Unset));
    }
}
