//! The admin page of a process: `/metrics`, `/healthz` and `/readyz`, and what the process adds, on an address of
//! its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hotswap_telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::Listener;

/// What must be there before a process takes work; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: BTreeMap<&'static str, String>,
    notes: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// Says that `part` is not ready, and why.
    pub fn not_ready(&self, part: &'static str, why: impl Into<String>) {
        self.lock().waiting.insert(part, why.into());
    }

    /// Says that `part` is ready.
    pub fn ready(&self, part: &'static str) {
        self.lock().waiting.remove(part);
    }

    /// Says something that whoever balances over several processes should know, although this one takes work.
    pub fn note(&self, about: &'static str, what: impl Into<String>) {
        self.lock().notes.insert(about, what.into());
    }

    /// Takes back what was said about something.
    pub fn settled(&self, about: &'static str) {
        self.lock().notes.remove(about);
    }

    /// What is not ready, as "part: why"; none: ready.
    pub fn waiting(&self) -> Vec<String> {
        lines(&self.lock().waiting)
    }

    /// The answer to `/readyz`.
    fn page(&self) -> (StatusCode, String) {
        let inner = self.lock();
        let (status, word, lines) = if inner.waiting.is_empty() {
            (StatusCode::OK, "ready", lines(&inner.notes))
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready", lines(&inner.waiting))
        };
        (status, lines.iter().fold(format!("{word}\n"), |page, line| page + line + "\n"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lines(parts: &BTreeMap<&'static str, String>) -> Vec<String> {
    parts.iter().map(|(part, what)| format!("{part}: {what}")).collect()
}

/// A page of a process's own, beside those that all have: as text for people, or as JSON where that is asked for by
/// `?format=json` or by the header Accept.
#[derive(Clone)]
pub struct Page {
    path: &'static str,
    write: Arc<Write>,
}

/// Writes a page; an error is what is wrong with the question.
type Write = dyn Fn(&Asked) -> Result<String, String> + Send + Sync;

/// How a page was asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    json: bool,
    parameters: BTreeMap<String, String>,
}

impl Page {
    /// Answers a GET of `path` with what is written for it, on a thread for long work. An error is a 400 with that
    /// line.
    pub fn new(
        path: &'static str,
        write: impl Fn(&Asked) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self { path, write: Arc::new(write) }
    }

    async fn answer(
        self,
        uri: Uri,
        headers: HeaderMap,
    ) -> (StatusCode, [(HeaderName, &'static str); 1], String) {
        let asked = Asked::of(&uri, &headers);
        let (kind, write) = (if asked.json { JSON } else { TEXT }, self.write);
        let written = tokio::task::spawn_blocking(move || write(&asked)).await;
        let (status, kind, text) = match written {
            Ok(Ok(text)) => (StatusCode::OK, kind, text),
            Ok(Err(why)) => (StatusCode::BAD_REQUEST, TEXT, why + "\n"),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the page could not be written\n".to_owned()),
        };
        (status, [(header::CONTENT_TYPE, kind)], text)
    }
}

impl Asked {
    fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let query = uri.query().unwrap_or_default();
        let parameters: BTreeMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let json = match parameters.get("format") {
            Some(format) => format == "json",
            None => accept.contains("application/json"),
        };
        Self { json, parameters }
    }

    /// Whether JSON is wanted.
    pub fn json(&self) -> bool {
        self.json
    }

    /// A parameter of the query; one that is empty counts as not given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Serves the page until `shutdown`.
pub async fn serve(
    listener: impl Into<Listener>,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
) {
    serve_with(listener, metrics, readiness, Vec::new(), shutdown).await;
}

/// The same, with pages of the process's own.
pub async fn serve_with(
    listener: impl Into<Listener>,
    metrics: Metrics,
    readiness: Readiness,
    pages: Vec<Page>,
    shutdown: CancellationToken,
) {
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(readiness)
        .merge(Router::new().route("/metrics", get(text)).with_state(metrics));
    let app = pages.into_iter().fold(app, |app, page| {
        app.route(page.path, get(move |uri: Uri, headers: HeaderMap| page.answer(uri, headers)))
    });
    let served = axum::serve(listener.into(), app).with_graceful_shutdown(shutdown.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "admin page ended");
    }
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    readiness.page()
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

    #[test]
    fn a_page_is_text_unless_json_is_asked_for() {
        let asked = |uri: &str, accept: &'static str| {
            let headers = [(header::ACCEPT, accept.parse().expect("a value"))].into_iter().collect();
            Asked::of(&uri.parse().expect("a URI"), &headers)
        };
        assert!(!asked("/routes", "*/*").json() && !asked("/routes?format=text", "application/json").json());
        assert!(asked("/routes?format=json", "*/*").json());
        assert!(asked("/routes", "text/html, application/json;q=0.9").json());
        let asked = asked("/routes?name=routes%2Fa&host=", "*/*");
        assert_eq!((asked.get("name"), asked.get("host")), (Some("routes/a"), None));
    }

    #[test]
    fn a_note_does_not_make_a_process_unready() {
        let readiness = Readiness::default();
        readiness.note("stale", "revision 7");
        assert_eq!(readiness.page(), (StatusCode::OK, "ready\nstale: revision 7\n".to_owned()));
        readiness.not_ready("drain", "stopping");
        let unready = (StatusCode::SERVICE_UNAVAILABLE, "not ready\ndrain: stopping\n".to_owned());
        assert_eq!(readiness.page(), unready);
        readiness.ready("drain");
        readiness.settled("stale");
        assert_eq!(readiness.page(), (StatusCode::OK, "ready\n".to_owned()));
    }
}
