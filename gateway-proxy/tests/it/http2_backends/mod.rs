//! HTTP/2 to backends, from clients of both versions.

mod connections;
mod failures;
mod hostile;
mod leaving;
mod passing;
mod pieces;
mod pools;
mod streams;
mod turns;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use hotswap_matcher::{BackendProtocol, PoolDraft, RouteDraft};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpListener;

use crate::http2_support::body;
use crate::support::*;

pub const OWN: [&str; 2] = ["--gateway-engine", "own"];
pub const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// A backend of HTTP/2 that does with each request what the test says.
pub struct Backend2 {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// A request and the way back.
pub struct Asked {
    /// Of the connection, from 0.
    pub connection: usize,
    pub request: Request<RecvStream>,
    pub respond: SendResponse<Bytes>,
}

impl Backend2 {
    pub async fn each<F, Fut>(serve: F) -> Self
    where
        F: Fn(Asked) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::with(Builder::new(), serve).await
    }

    /// The same, with settings.
    pub async fn with<F, Fut>(settings: Builder, serve: F) -> Self
    where
        F: Fn(Asked) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("addr");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("accepts");
                stream.set_nodelay(true).expect("a socket");
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (settings, serve) = (settings.clone(), serve.clone());
                open.spawn(async move {
                    let mut streams = tokio::task::JoinSet::new();
                    let Ok(mut http2) = settings.handshake(stream).await else { return };
                    while let Some(Ok((request, respond))) = http2.accept().await {
                        streams.spawn(serve(Asked { connection: number, request, respond }));
                    }
                });
            }
        });
        Self { address, connections, task }
    }

    /// Answers every request with what it saw of it.
    pub async fn echo() -> Self {
        Self::each(|asked| async move {
            let (parts, request) = asked.request.into_parts();
            let mut text = format!("{} {} {:?}\n", parts.method, parts.uri, parts.version);
            for (name, value) in &parts.headers {
                text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
            }
            let (sent, whole, trailers) = body(request).await;
            assert!(whole, "the body came to its end");
            text += &format!("\n{}|{trailers}", String::from_utf8_lossy(&sent));
            let mut respond = asked.respond;
            let mut out = respond.send_response(Response::new(()), false).expect("open");
            out.send_data(Bytes::from(text), true).expect("open");
        })
        .await
    }

    /// Answers every request with a status.
    pub async fn always(status: u16) -> Self {
        Self::each(move |mut asked| async move {
            let response = Response::builder().status(status).body(()).expect("a response");
            let _ = asked.respond.send_response(response, true);
        })
        .await
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Ends, and with it all its connections.
    pub async fn end(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Backend2 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins a response.
pub fn begin(respond: &mut SendResponse<Bytes>) -> SendStream<Bytes> {
    respond.send_response(Response::new(()), false).expect("open")
}

/// Ends a response with trailers.
pub fn end(out: &mut SendStream<Bytes>, trailers: &[(&'static str, &str)]) {
    let mut fields = HeaderMap::new();
    for (name, value) in trailers {
        fields.insert(*name, value.parse().expect("a value"));
    }
    out.send_trailers(fields).expect("open");
}

/// A pool of HTTP/2.
pub fn pool_of(backends: &[SocketAddr]) -> PoolDraft {
    PoolDraft { protocol: BackendProtocol::Http2, ..of_backends(backends) }
}

/// A gateway before one backend of HTTP/2.
pub fn before(backend: SocketAddr) -> Gateway {
    with_route(&pool_of(&[backend]), &to_pool("p"))
}

pub fn with_route(pool: &PoolDraft, route: &RouteDraft) -> Gateway {
    let mut gateway = Gateway::start(&OWN);
    gateway.pool_of("p", pool);
    gateway.route("r", route);
    gateway.swap();
    gateway
}
