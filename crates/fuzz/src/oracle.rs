//! hyper, without a network and without a runtime: it reads a script, and what it understood is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;

/// More than a peer may send: the gateway adds some.
const MAX_HEADERS: usize = 200;

/// A connection whose other side sends what stands in a script, and takes everything.
struct Script {
    pieces: VecDeque<Vec<u8>>,
    /// The other side is a backend: it begins when something has been written to it, and closes in the end. A
    /// client would wait for its answers.
    backend: bool,
    spoken_to: bool,
}

impl Script {
    fn new(pieces: &[&[u8]], backend: bool) -> Self {
        let pieces = pieces.iter().filter(|p| !p.is_empty()).map(|p| p.to_vec()).collect();
        Self { pieces, backend, spoken_to: false }
    }
}

impl Read for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.backend && !self.spoken_to {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.pieces.is_empty() && !self.backend {
            return Poll::Pending;
        }
        if let Some(mut piece) = self.pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(into.remaining()));
            into.put_slice(&piece);
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Script {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.spoken_to = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A body of no bytes.
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

/// A message as hyper understood it.
#[derive(Clone, Debug)]
pub(crate) struct Message<H> {
    pub(crate) head: H,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    /// The body came to its end.
    pub(crate) whole: bool,
}

async fn collect<H>(head: H, body: Incoming) -> Message<H> {
    let mut body = pin!(body);
    let mut message = Message { head, body: Vec::new(), trailers: HeaderMap::new(), whole: false };
    loop {
        match std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => {
                message.whole = true;
                return message;
            }
            Some(Err(_)) => return message,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => message.body.extend_from_slice(&data),
                Err(frame) => message.trailers = frame.into_trailers().unwrap_or_default(),
            },
        }
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls to the end, or until nobody would wake it any more.
fn run<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    while woken.0.swap(false, Ordering::Relaxed) {
        if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return Some(done);
        }
    }
    None
}

/// The requests that hyper takes from a connection, to the first that is none.
pub(crate) fn requests(pieces: &[&[u8]]) -> Vec<Message<http::request::Parts>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let tell = Arc::clone(&tell);
        async move {
            let (parts, body) = request.into_parts();
            let message = collect(parts, body).await;
            tell.lock().unwrap_or_else(PoisonError::into_inner).push(message);
            Ok::<_, Infallible>(Response::new(Nothing))
        }
    });
    let mut builder = server::Builder::new();
    builder.header_read_timeout(None).max_headers(MAX_HEADERS);
    let _ = run(builder.serve_connection(Script::new(pieces, false), service));
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *seen)
}

/// The response that hyper takes from a connection.
pub(crate) fn response(pieces: &[&[u8]], method: &http::Method) -> Option<Message<http::response::Parts>> {
    let request = Request::builder().method(method).uri("/").header("host", "h").body(Nothing).ok()?;
    let exchange = async {
        let script = Script::new(pieces, true);
        let mut builder = client::Builder::new();
        builder.max_headers(MAX_HEADERS);
        let (mut send, mut driver) = builder.handshake(script).await.ok()?;
        let mut response = pin!(async move {
            let (parts, body) = send.send_request(request).await.ok()?.into_parts();
            Some(collect(parts, body).await)
        });
        let mut driven = false;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(seen) = response.as_mut().poll(cx) {
                return Poll::Ready(seen);
            }
            if !driven {
                driven = Pin::new(&mut driver).poll(cx).is_ready();
            }
            response.as_mut().poll(cx)
        })
        .await
    };
    run(exchange).flatten()
}

/// Fields by name; those of one name in their order.
pub(crate) fn sorted(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let text =
        |(name, value): (&HeaderName, &HeaderValue)| (name.as_str().to_owned(), value.as_bytes().to_vec());
    let mut all: Vec<_> = fields.iter().map(text).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}
