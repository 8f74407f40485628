//! The admin page of a process: `/metrics`, `/healthz` and `/readyz`, on an address of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hotswap_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What must be there before a process takes work; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    waiting: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Readiness {
    /// Says that `part` is not ready, and why.
    pub fn not_ready(&self, part: &'static str, why: impl Into<String>) {
        self.lock().insert(part, why.into());
    }

    /// Says that `part` is ready.
    pub fn ready(&self, part: &'static str) {
        self.lock().remove(part);
    }

    /// What is not ready, as "part: why"; none: ready.
    pub fn waiting(&self) -> Vec<String> {
        self.lock().iter().map(|(part, why)| format!("{part}: {why}")).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the page until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
) {
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(readiness)
        .merge(Router::new().route("/metrics", get(text)).with_state(metrics));
    let served = axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "admin page ended");
    }
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    let waiting = readiness.waiting();
    if waiting.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{}\n", waiting.join("\n")))
}

async fn text(State(metrics): State<Metrics>) -> impl IntoResponse {
    match metrics.encode() {
        Ok(text) => {
            (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_part_is() {
        let readiness = Readiness::default();
        readiness.not_ready("config", "none yet");
        assert_eq!(readiness.waiting(), ["config: none yet"]);
        readiness.ready("config");
        assert!(readiness.waiting().is_empty());
    }
}
