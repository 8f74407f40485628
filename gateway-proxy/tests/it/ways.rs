//! Every way that a request can come to the gateway and go on from there, so that a test is written once for all.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use hotswap_matcher::{PoolDraft, RouteDraft};
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::http2_alike::Either;
use crate::http2_backends::{Asked, Backend2, pool_of};
use crate::http2_support::{Http2, body};
use crate::support::*;

/// An engine, and whether its client and its backend speak HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub engine: &'static str,
    from_http2: bool,
    to_http2: bool,
}

const fn own(from_http2: bool, to_http2: bool) -> Way {
    Way { engine: "own", from_http2, to_http2 }
}

/// The engine that knows HTTP/1.1 alone.
pub const HYPER: Way = Way { engine: "hyper", from_http2: false, to_http2: false };

/// Every way that there is.
pub const WAYS: [Way; 5] = [own(false, false), own(true, false), HYPER, own(false, true), own(true, true)];

/// Those of clients of HTTP/1.1, for tests that write their bytes by hand.
pub const FROM_HTTP1: [Way; 3] = [own(false, false), HYPER, own(false, true)];

/// Those to backends of HTTP/1.1, for tests that have pools of their own.
pub const TO_HTTP1: [Way; 3] = [own(false, false), own(true, false), HYPER];

/// The own engine before backends of either version, for tests that have clients of both.
pub const TO_BOTH: [Way; 2] = [own(false, false), own(false, true)];

impl Way {
    /// A gateway whose only route sends everything to one backend of HTTP/1.1, with this change to the route.
    pub async fn before(
        self,
        backend: SocketAddr,
        args: &[&str],
        change: impl FnOnce(&mut RouteDraft),
    ) -> Gateway {
        let mut gateway = Gateway::start(&[&["--gateway-engine", self.engine], args].concat());
        gateway.pool_of("p", &self.pool(&[backend]).await);
        let mut draft = to_pool("p");
        change(&mut draft);
        gateway.route("r", &draft);
        gateway.swap();
        gateway
    }

    /// A pool of these backends of HTTP/1.1, which HTTP/2 leads to where the way does.
    pub async fn pool(self, backends: &[SocketAddr]) -> PoolDraft {
        if !self.to_http2 {
            return of_backends(backends);
        }
        let mut led = Vec::new();
        for backend in backends {
            led.push(by_http2(*backend).await);
        }
        pool_of(&led)
    }

    pub async fn connect(self, gateway: &Gateway) -> Either {
        self.connect_to(gateway.address()).await
    }

    /// A client of whoever listens there.
    pub async fn connect_to(self, address: SocketAddr) -> Either {
        let client = Client::connect(address).await;
        if self.from_http2 { Either::Http2(Http2::over(client.stream).await) } else { Either::Http1(client) }
    }

    /// One request on a connection of its own.
    pub async fn ask(self, gateway: &Gateway, request: &str) -> Response {
        let request = if self.from_http2 { for_http2(request) } else { request.to_owned() };
        self.connect(gateway).await.ask(&request).await
    }
}

/// A request without what HTTP/2 has not: fields of a connection, and the coding of a body of one chunk.
fn for_http2(request: &str) -> String {
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    let is_of_hop = |line: &str| line.starts_with("connection:") || line.starts_with("transfer-encoding:");
    let lines: Vec<_> = head.split("\r\n").filter(|line| !is_of_hop(line)).collect();
    let chunk = head.contains("transfer-encoding: chunked").then(|| body.split("\r\n").nth(1)).flatten();
    format!("{}\r\n\r\n{}", lines.join("\r\n"), chunk.unwrap_or(body))
}

/// A server of HTTP/2 alone that leads to a backend of HTTP/1.1, until the test ends. Each stream has a connection of
/// its own there, and opens it when its request is whole.
pub async fn by_http2(backend: SocketAddr) -> SocketAddr {
    let there = Backend2::each(move |asked| async move {
        let Asked { request, mut respond, .. } = asked;
        let mut passing = pin!(pass(backend, request));
        let answer = tokio::select! {
            answer = &mut passing => answer,
            // Nobody waits for it any more: its connection ends, too.
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
        };
        match answer {
            Some((answer, _connection)) => answered(answer, respond).await,
            None => respond.send_reset(Reason::INTERNAL_ERROR),
        }
    })
    .await;
    let address = there.address;
    spawn(async move {
        let _there = there;
        std::future::pending::<()>().await;
    });
    address
}

/// A connection that ends with whoever holds this.
struct Held(tokio::task::JoinHandle<()>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The head that the backend answers with, and its connection; `None`: the request was cut, or it does not answer.
async fn pass(
    backend: SocketAddr,
    request: http::Request<h2::RecvStream>,
) -> Option<(http::Response<Incoming>, Held)> {
    let (head, sent) = request.into_parts();
    let (sent, true, _) = body(sent).await else { return None };
    let path = head.uri.path_and_query().map_or("*", |path| path.as_str());
    let mut request = http::Request::builder().method(head.method).uri(path);
    if let Some(host) = head.uri.authority() {
        request = request.header(HOST, host.as_str());
    }
    let mut request = request.body(String::from_utf8(sent).expect("text")).expect("a request");
    request.headers_mut().extend(head.headers);
    let stream = TcpStream::connect(backend).await.ok()?;
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    let held = Held(spawn(async move { drop(connection.await) }));
    Some((send.send_request(request).await.ok()?, held))
}

/// Gives an answer on as it comes.
async fn answered(answer: http::Response<Incoming>, mut respond: SendResponse<Bytes>) {
    let (mut head, mut body) = answer.into_parts();
    head.version = http::Version::HTTP_2;
    head.headers.remove(CONNECTION);
    head.headers.remove(TRANSFER_ENCODING);
    let is_over = body.is_end_stream();
    // It fails where nobody waits any more.
    let Ok(mut out) = respond.send_response(http::Response::from_parts(head, ()), is_over) else { return };
    if is_over {
        return;
    }
    while let Some(frame) = poll_fn(|cx| pin!(&mut body).poll_frame(cx)).await {
        let Ok(frame) = frame else { return out.send_reset(Reason::INTERNAL_ERROR) };
        match frame.into_data() {
            Ok(data) => {
                if !sent(&mut out, data).await {
                    return;
                }
            }
            Err(frame) => return drop(out.send_trailers(frame.into_trailers().expect("trailers"))),
        }
    }
    let _ = out.send_data(Bytes::new(), true);
}

/// Whether all of it could be sent, as there was room.
async fn sent(out: &mut SendStream<Bytes>, mut data: Bytes) -> bool {
    while !data.is_empty() {
        out.reserve_capacity(data.len());
        let Some(Ok(room)) = poll_fn(|cx| out.poll_capacity(cx)).await else { return false };
        if out.send_data(data.split_to(room.min(data.len())), false).is_err() {
            return false;
        }
    }
    true
}
