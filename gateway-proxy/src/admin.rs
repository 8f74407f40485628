//! The gateway's admin page: `/metrics`, `/healthz` and `/readyz`. It is ready, with a word of warning, while it
//! serves what it kept on disk: that is better than nothing, and whoever balances over gateways should know.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hotswap_runtime::CancellationToken;
use hotswap_runtime::admin::Readiness;
use hotswap_telemetry::Metrics;
use tokio::net::TcpListener;

use crate::metrics::ControlMetrics;

/// What `/readyz` tells of.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) readiness: Readiness,
    pub(crate) control: Arc<ControlMetrics>,
}

/// Serves the page until `shutdown`.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    standing: Standing,
    shutdown: CancellationToken,
) {
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(standing)
        .merge(Router::new().route("/metrics", get(text)).with_state(metrics));
    let served = axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "admin page ended");
    }
}

async fn ready(State(standing): State<Standing>) -> (StatusCode, String) {
    standing.page()
}

async fn text(State(metrics): State<Metrics>) -> Response {
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

impl Standing {
    fn page(&self) -> (StatusCode, String) {
        let waiting = self.readiness.waiting();
        if !waiting.is_empty() {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{}\n", waiting.join("\n")));
        }
        if self.control.stale.load(Ordering::Relaxed) == 0 {
            return (StatusCode::OK, "ready\n".to_owned());
        }
        let revision = self.control.revision.load(Ordering::Relaxed);
        let text = format!(
            "ready\nstale: revision {revision}, kept on disk; the control plane has not confirmed it\n"
        );
        (StatusCode::OK, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_gateway_is_ready_and_says_so() {
        let standing = Standing { readiness: Readiness::default(), control: Arc::default() };
        standing.readiness.not_ready("configuration", "none yet");
        let (status, text) = standing.page();
        assert_eq!((status.as_u16(), text.as_str()), (503, "not ready\nconfiguration: none yet\n"));
        standing.readiness.ready("configuration");
        standing.control.revision.store(7, Ordering::Relaxed);
        standing.control.stale.store(1, Ordering::Relaxed);
        let (status, text) = standing.page();
        assert!(status.is_success() && text.starts_with("ready\nstale: revision 7, "), "{text}");
        standing.control.stale.store(0, Ordering::Relaxed);
        assert_eq!(standing.page(), (StatusCode::OK, "ready\n".to_owned()));
    }
}
