//! The span of a call, from the arrival of its head to that of its answer.

use hotswap_telemetry::trace;
use http::HeaderMap;
use tonic::Code;
use tracing::Span;
use tracing::field::Empty;
use uuid::Uuid;

/// A span of the server's side, a child of the caller's. `path` is that of an RPC that exists, or a placeholder: the
/// caller does not choose what spans are called.
pub(crate) fn server(path: &'static str, headers: &HeaderMap, request_id: Uuid) -> Span {
    let method = path.trim_start_matches('/');
    // Conventions: https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
    let span = tracing::info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.grpc.status_code = Empty,
        method,
        %request_id,
        trace_id = Empty,
    );
    trace::follow(&span, headers);
    span
}

/// Notes how the call ended.
pub(crate) fn close(span: &Span, code: Code) {
    span.record("rpc.grpc.status_code", i32::from(code));
    if is_ours(code) {
        span.record("otel.status_code", "ERROR");
    }
}

/// Whether the server is at fault. What a caller did wrong is no error of the server's.
fn is_ours(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
