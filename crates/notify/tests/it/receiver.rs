//! Somebody who is called over HTTP.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::support::spawn;

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("{name} is there")).to_str().expect("text")
    }
}

/// What is answered: status, headers, body.
pub(crate) type Answer = (u16, &'static [(&'static str, &'static str)], String);

#[derive(Clone)]
struct Shared {
    calls: Arc<Mutex<Vec<Call>>>,
    count: watch::Sender<usize>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    /// Each answer takes one permit.
    gate: Arc<Semaphore>,
    /// The most calls that were under way at a time with one identity.
    open: Arc<Mutex<Vec<String>>>,
    overlaps: Arc<Mutex<Vec<String>>>,
}

/// A server on the loopback that notes all calls.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// It answers these in their order, and 200 from then on.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let this = Self::silent(answers).await;
        this.answer(Semaphore::MAX_PERMITS);
        this
    }

    /// It takes calls and does not answer.
    pub(crate) async fn silent(answers: impl IntoIterator<Item = Answer>) -> Self {
        let shared = Shared {
            calls: Arc::default(),
            count: watch::Sender::new(0),
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            gate: Arc::new(Semaphore::new(0)),
            open: Arc::default(),
            overlaps: Arc::default(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
        let address = listener.local_addr().expect("address");
        let app = Router::new().fallback(called).with_state(shared.clone());
        let task = spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { address, shared, task }
    }

    /// Lets so many calls be answered.
    pub(crate) fn answer(&self, calls: usize) {
        self.shared.gate.add_permits(calls);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().expect("lock").clone()
    }

    /// Waits for so many calls.
    pub(crate) async fn called(&self, times: usize) -> Vec<Call> {
        self.shared.count.subscribe().wait_for(|n| *n >= times).await.expect("lives");
        self.calls()
    }

    /// Identities that were under way twice at a time.
    pub(crate) fn overlaps(&self) -> Vec<String> {
        self.shared.overlaps.lock().expect("lock").clone()
    }
}

async fn called(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let id = headers.get("idempotency-key").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    shared.calls.lock().expect("lock").push(Call { path: uri.path().to_owned(), headers, body });
    {
        let mut open = shared.open.lock().expect("lock");
        if open.contains(&id) {
            shared.overlaps.lock().expect("lock").push(id.clone());
        }
        open.push(id.clone());
    }
    shared.count.send_modify(|n| *n += 1);
    shared.gate.acquire().await.expect("open").forget();
    {
        let mut open = shared.open.lock().expect("lock");
        let at = open.iter().position(|i| *i == id).expect("is there");
        open.remove(at);
    }
    let answer = shared.answers.lock().expect("lock").pop_front();
    let (status, headers, body) = answer.unwrap_or((200, &[], "ok".to_owned()));
    let status = StatusCode::from_u16(status).expect("a status");
    let mut response = (status, body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    response
}
