//! Contexts that cross the border of a process: W3C Trace Context, <https://www.w3.org/TR/trace-context/>.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header, and the key of gRPC metadata.
const TRACEPARENT: &str = "traceparent";

/// Whether this process sends spans. Where it does not, nothing here looks for any.
static ON: AtomicBool = AtomicBool::new(false);

pub(super) fn turn_on() {
    ON.store(true, Ordering::Relaxed);
}

fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// The context of a span that is recorded, as another process takes it for a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext(SpanContext);

impl TraceContext {
    fn of(span: &Span) -> Option<Self> {
        let context = span.context().span().span_context().clone();
        (context.is_valid() && context.is_sampled()).then_some(Self(context))
    }
}

impl std::fmt::Display for TraceContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{}-{}-01", self.0.trace_id(), self.0.span_id())
    }
}

/// A text is no context of a span that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a W3C traceparent of a sampled span, as \"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\""
)]
pub struct NoTraceContext;

impl FromStr for TraceContext {
    type Err = NoTraceContext;

    fn from_str(text: &str) -> Result<Self, NoTraceContext> {
        extracted(&Only(text)).filter(SpanContext::is_sampled).map(Self).ok_or(NoTraceContext)
    }
}

/// The context of a span, recorded or not; `None` where there is none that can be read.
pub(super) fn extracted(from: &dyn Extractor) -> Option<SpanContext> {
    let context = TraceContextPropagator::new().extract(from);
    Some(context.span().span_context().clone()).filter(SpanContext::is_valid)
}

/// The context of the current span, for one who goes on with its work elsewhere; `None` where it is not recorded.
pub fn current() -> Option<TraceContext> {
    if !is_on() {
        return None;
    }
    TraceContext::of(&Span::current())
}

/// Makes a new span the child of the caller's, where the headers of a call name one, and gives it a `trace_id` in
/// the log, where it has that field.
pub fn follow(span: &Span, headers: &HeaderMap) {
    if !is_on() {
        return;
    }
    if headers.contains_key(TRACEPARENT) {
        // It fails only for a span that is not recorded, or has begun: then there is nothing to be done.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
    }
    show(span);
}

/// Makes a new span the child of the first of `contexts`, and links it to the others: the work of several
/// callers that is done at once.
pub fn follow_all(span: &Span, contexts: impl IntoIterator<Item = TraceContext>) {
    if !is_on() {
        return;
    }
    let mut contexts = contexts.into_iter();
    if let Some(first) = contexts.next() {
        // As above.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(first.0));
    }
    for other in contexts {
        span.add_link(other.0);
    }
    show(span);
}

/// Starts the span, and shows its trace in the log.
fn show(span: &Span) {
    if let Some(context) = TraceContext::of(span) {
        span.record("trace_id", tracing::field::display(context.0.trace_id()));
    }
}

/// The trace of the current span, 32 hexadecimal digits; `None` where it is not recorded.
pub fn trace_id() -> Option<String> {
    current().map(|context| context.0.trace_id().to_string())
}

/// Headers, as OpenTelemetry reads them.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// A traceparent alone.
pub(super) struct Only<'a>(pub(super) &'a str);

impl Extractor for Only<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_written_as_it_is_read() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(text.parse::<TraceContext>().expect("parses").to_string(), text);
    }

    #[test]
    fn what_is_malformed_or_not_recorded_is_no_context() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(NoTraceContext), "{text}");
        }
    }

    #[test]
    fn where_nothing_is_sent_there_is_no_context() {
        assert_eq!(current(), None);
    }
}
