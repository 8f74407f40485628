//! WebSockets and other protocols over a stream of HTTP/2 (RFC 8441), to backends of HTTP/1.1.

pub mod ends;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use hotswap_matcher::{CircuitBreakerDraft, ExposureDraft, RetryDraft, RouteDraft, TimeoutsDraft};
use http::{Method, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::http2_backends::Backend2;
use crate::http2_support::*;
use crate::rollouts::{counted, is_about, who};
use crate::upgrades::{accepted, echoing, switching, talked};

/// A stream that has switched.
pub struct Tunnel {
    pub send: SendStream<Bytes>,
    body: RecvStream,
}

fn wish(protocol: &'static str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(Method::CONNECT).uri("http://h/chat");
    request = request.extension(Protocol::from_static(protocol)).header("sec-websocket-version", "13");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

/// Sends a wish, once the gateway has said that it takes one.
async fn ask(client: &Http2, wish: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
    let mut send = in_time("ready", client.send.clone().ready()).await.expect("open");
    while !send.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    send.send_request(wish, false).expect("takes it")
}

/// Asks for what is refused.
async fn refused(client: &Http2, wish: Request<()>) -> Response {
    whole(ask(client, wish).await.0).await
}

impl Tunnel {
    pub async fn open(client: &Http2) -> Self {
        let (response, send) = ask(client, wish("websocket", &[])).await;
        let response = in_time("an answer", response).await.expect("an answer");
        assert_eq!(response.status(), 200);
        Self { send, body: response.into_body() }
    }

    pub fn say(&mut self, bytes: &'static str, over: bool) {
        self.send.send_data(bytes.into(), over).expect("takes it");
    }

    pub async fn hears(&mut self, bytes: &str) {
        let mut came = Vec::new();
        while came.len() < bytes.len() {
            came.extend(self.heard().await.expect("more").expect("in order"));
        }
        assert_eq!(String::from_utf8_lossy(&came), bytes);
    }

    /// What comes next; the frame that ends a stream may have no bytes.
    pub async fn heard(&mut self) -> Option<Result<Bytes, h2::Error>> {
        loop {
            let data = in_time("data", self.body.data()).await?;
            if let Ok(data) = &data {
                self.body.flow_control().release_capacity(data.len()).expect("open");
            }
            if data.as_ref().map_or(true, |data| !data.is_empty()) {
                return Some(data);
            }
        }
    }

    /// As a socket.
    pub fn stream(self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (mut read, mut write) = tokio::io::split(far);
        let Self { mut send, mut body } = self;
        spawn(async move {
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).expect("open");
                if write.write_all(&data).await.is_err() {
                    return;
                }
            }
            let _ = write.shutdown().await;
        });
        spawn(async move {
            let mut bytes = vec![0; 50_000];
            while let Ok(n @ 1..) = read.read(&mut bytes).await {
                let mut sent = 0;
                while sent < n {
                    send.reserve_capacity(n - sent);
                    let Some(Ok(room)) = std::future::poll_fn(|cx| send.poll_capacity(cx)).await else {
                        return;
                    };
                    let piece = Bytes::copy_from_slice(&bytes[sent..n.min(sent + room)]);
                    sent += piece.len();
                    send.send_data(piece, false).expect("takes it");
                }
            }
            let _ = send.send_data(Bytes::new(), true);
        });
        near
    }
}

fn upgrades(names: &'static [&str]) -> impl FnOnce(&mut RouteDraft) {
    |draft| draft.forward.as_mut().expect("forwards").upgrades = names.iter().map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn a_websocket_passes_in_both_directions_whatever_the_size() {
    let backend = echoing().await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let tunnel = Tunnel::open(&client).await;
    gateway.counts("gateway_upgraded_connections 1").await;
    let mut socket = WebSocketStream::from_raw_socket(tunnel.stream(), Role::Client, None).await;
    talked(&mut socket).await;
    drop(socket);
    gateway.counts("gateway_upgraded_connections 0").await;
    gateway.counts("gateway_upgrades_total 1").await;
    gateway.counts("gateway_requests_total{class=\"2xx\"} 1").await;
    assert!(gateway.metrics().contains("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 0"));
}

#[tokio::test]
async fn the_backend_gets_the_wish_of_http_1_1_with_a_key_of_the_gateways() {
    let seen = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&seen);
    let backend = Backend::each(move |_, mut wire| {
        let kept = Arc::clone(&kept);
        async move {
            let head = wire.request_head().await.expect("a head");
            let answer = accepted(&head)
                .replace("\r\n\r\n", "\r\nsec-websocket-protocol: chat\r\nx-a: 1\r\n\r\nhello");
            *kept.lock().expect("whole") = head;
            wire.send(answer).await;
            wire.ended().await;
        }
    })
    .await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let own = [
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat"),
        ("cookie", "a=1"),
    ];
    let (response, _send) = ask(&client, wish("websocket", &own)).await;
    let response = in_time("an answer", response).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let names: Vec<&str> = response.headers().keys().map(|n| n.as_str()).collect();
    assert_eq!(names, ["sec-websocket-protocol", "x-a", "via"]);
    let mut body = response.into_body();
    assert_eq!(in_time("data", body.data()).await.expect("some").expect("sound"), "hello");
    let head = seen.lock().expect("whole").clone();
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat"),
        ("cookie", "a=1"),
        ("host", "h"),
    ] {
        assert_eq!(header(&head, name), Some(value), "{head}");
    }
    assert_eq!(head.matches("sec-websocket-key").count(), 1, "{head}");
    let key = header(&head, "sec-websocket-key").expect("a key");
    assert_ne!(key, own[0].1);
    assert_eq!(STANDARD.decode(key).expect("base64").len(), 16);
}

#[tokio::test]
async fn an_answer_that_is_no_switch_does_not_become_one() {
    const SWITCHED: &str =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    for answer in [
        format!("{SWITCHED}\r\n"),
        format!("{SWITCHED}sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
        "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
    ] {
        let backend = Backend::always(String::leak(answer.clone())).await;
        let gateway = before(&backend);
        let client = Http2::connect(&gateway).await;
        let response = refused(&client, wish("websocket", &[])).await;
        assert_eq!((response.status, response.reason()), (502, Some("BACKEND_PROTOCOL")), "{answer}");
    }
    for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "HTTP/1.1 204 No Content\r\n\r\n"] {
        let backend = Backend::always(answer).await;
        let gateway = before(&backend);
        let client = Http2::connect(&gateway).await;
        let call = wish("websocket", &[("content-type", "application/grpc")]);
        for wish in [wish("websocket", &[]), call] {
            let response = refused(&client, wish).await;
            assert_eq!((response.status, response.reason()), (501, Some("NOT_SWITCHED")), "{answer}");
        }
    }
    let backend = Backend::always("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    let response = refused(&client, wish("websocket", &[])).await;
    assert_eq!((response.status, response.text().as_str(), response.whole), (403, "no", true));
}

#[tokio::test]
async fn what_may_not_switch_is_refused_and_reaches_no_backend() {
    let backend = Backend::echo().await;
    for (names, protocol, fields) in [
        (&["none"][..], "websocket", &[][..]),
        (&["my-protocol"][..], "websocket", &[]),
        (&[][..], "my-protocol", &[]),
        (&[][..], "h2c", &[]),
        (&[][..], "websocket", &[("content-length", "4")]),
    ] {
        let gateway = Gateway::before_with(backend.address, &OWN, upgrades(names));
        let client = Http2::connect(&gateway).await;
        let response = refused(&client, wish(protocol, fields)).await;
        assert_eq!(
            (response.status, response.reason()),
            (501, Some("NOT_SWITCHED")),
            "{protocol} {fields:?}"
        );
        assert_eq!(backend.connections(), 0);
        gateway.counts("gateway_requests_failed_total{reason=\"NOT_SWITCHED\"} 1").await;
    }
    let gateway = before(&backend);
    let client = Http2::connect(&gateway).await;
    for fields in [&[][..], &[("content-type", "application/grpc")]] {
        let odd = refused(&client, wish("a b", fields)).await;
        assert_eq!((odd.status, odd.reason()), (400, Some("BAD_REQUEST")));
    }
    let tunnel =
        Request::builder().method(Method::CONNECT).uri("h:80").header("content-type", "application/grpc");
    let other = refused(&client, tunnel.body(()).expect("a request")).await;
    assert_eq!((other.status, other.reason()), (501, Some("UNSUPPORTED")));
    assert_eq!(client.ask(GET).await.status, 200, "the connection goes on");
    let no_other = Backend2::each(|_| async { panic!("nothing reaches it") }).await;
    let gateway = crate::http2_backends::before(no_other.address);
    let response = refused(&Http2::connect(&gateway).await, wish("websocket", &[])).await;
    assert_eq!((response.status, response.reason()), (501, Some("NOT_SWITCHED")));
}

#[tokio::test]
async fn another_protocol_passes_where_a_route_lists_it_and_gets_no_key() {
    let backend = Backend::each(|_, mut wire| async move {
        let head = wire.request_head().await.expect("a head");
        assert_eq!((header(&head, "upgrade"), header(&head, "sec-websocket-key")), (Some("mine/2"), None));
        wire.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: mine/2\r\n\r\n").await;
        let (mut read, mut write) = wire.stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let gateway = Gateway::before_with(backend.address, &OWN, upgrades(&["mine/2"]));
    let client = Http2::connect(&gateway).await;
    let (response, mut send) = ask(&client, wish("mine/2", &[])).await;
    send.send_data("first".into(), true).expect("takes it");
    let response = in_time("an answer", response).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(body(response.into_body()).await, (b"first".to_vec(), true, String::new()));
}

#[tokio::test]
async fn a_backend_that_does_not_know_the_protocol_is_not_blamed() {
    const ALL: u64 = 20;
    let plain = Backend::always("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let mut pool = of_backends(&[plain.address]);
    pool.circuit_breaker = Some(CircuitBreakerDraft { failure_threshold: 1, ..Default::default() });
    let mut route = to_pool("p");
    route.forward.as_mut().expect("forwards").retry = Some(RetryDraft::default());
    let mut gateway = Gateway::start(&OWN);
    gateway.pool_of("p", &pool);
    gateway.route_with("r", &route, &route, &who(1, Some(ExposureDraft::ShareBps(5_000)), None));
    gateway.swap();
    let client = Http2::connect(&gateway).await;
    for n in 0..ALL {
        // One that the backend does not know, and one that the route does not let through.
        let response = refused(&client, wish(if n % 2 == 0 { "websocket" } else { "other" }, &[])).await;
        assert_eq!((response.status, response.reason()), (501, Some("NOT_SWITCHED")));
    }
    for _ in 0..ALL {
        assert_eq!(client.ask(GET).await.status, 200);
    }
    gateway.counts("gateway_retries_total{outcome=\"sent\"} 0").await;
    // The requests alone, and none of them failed.
    let [baseline, other] = counted(&gateway, ALL).await;
    assert_eq!((baseline.requests + other.requests, baseline.errors + other.errors), (ALL, 0));
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_back_its_own_stream_alone() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let backend = Backend::each(move |n, mut wire| {
        let count = Arc::clone(&count);
        async move {
            let head = wire.request_head().await.expect("a head");
            wire.send(accepted(&head)).await;
            while n == 0 && wire.stream.write_all(&[7; 100_000]).await.is_ok() {
                count.fetch_add(100_000, Ordering::Relaxed);
            }
            let (mut read, mut write) = wire.stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    })
    .await;
    let gateway = before(&backend);
    let stream = TcpStream::connect(gateway.address()).await.expect("connects");
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(20_000).initial_connection_window_size(1_000_000);
    let (send, connection) = in_time("handshake", builder.handshake(stream)).await.expect("HTTP/2");
    let client = Http2 { send, ended: spawn(connection) };
    let mut stuck = Tunnel::open(&client).await;
    gateway.counts("gateway_upgraded_connections 1").await;
    let mut other = Tunnel::open(&client).await;
    for _ in 0..20 {
        other.say("on", false);
        other.hears("on").await;
    }
    let mut had = usize::MAX;
    while had != written.load(Ordering::Relaxed) {
        had = written.load(Ordering::Relaxed);
        assert!(had < 50_000_000, "more than sockets hold");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // When it reads, the rest comes.
    let mut came = 0;
    while came < 3_000_000 {
        let data = stuck.heard().await.expect("more").expect("in order");
        assert!(data.iter().all(|b| *b == 7));
        came += data.len();
    }
}

#[tokio::test]
async fn a_rollout_counts_them_as_it_counts_those_of_http_1_1() {
    const ALL: u64 = 200;
    let down = Backend::always("HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n").await;
    let up = switching().await;
    for (candidate, errors) in [(&up, 0), (&down, 1)] {
        let mut gateway = Gateway::start(&OWN);
        gateway.pool("a", &[up.address]);
        gateway.pool("b", &[candidate.address]);
        let half = who(1, Some(ExposureDraft::ShareBps(5_000)), None);
        gateway.route_with("r", &to_pool("a"), &to_pool("b"), &half);
        gateway.swap();
        let client = Http2::connect(&gateway).await;
        for _ in 0..ALL {
            let (response, _send) = ask(&client, wish("websocket", &[])).await;
            let status = in_time("an answer", response).await.expect("an answer").status();
            assert!([200, 503].contains(&status.as_u16()));
        }
        let [baseline, other] = counted(&gateway, ALL).await;
        assert!(is_about(other.requests, ALL, 5_000), "{other:?}");
        assert_eq!((baseline.errors, other.errors), (0, errors * other.requests));
    }
}
