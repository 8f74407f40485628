//! Connections that switch to another protocol, as WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hotswap_gateway::rollout::Total;
use hotswap_matcher::{ExposureDraft, TimeoutsDraft};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::support::{Backend, Gateway, Wire, header, in_time, timeouts, to_pool};
use crate::rollouts::{counted, is_about, who};
use crate::traffic::logs::lines;

const OWN: &[&str] = &["--gateway-engine", "own"];
pub const ASK: &str = "GET /chat HTTP/1.1\r\nhost: h\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: WebSocket\r\n\r\n";

/// What a server of WebSockets answers to this head.
pub fn accepted(head: &str) -> String {
    let key = header(head, "sec-websocket-key").expect("a key");
    let accept = derive_accept_key(key.as_bytes());
    SWITCH.replacen("\r\n\r\n", &format!("\r\nsec-websocket-accept: {accept}\r\n\r\n"), 1)
}

/// A backend that switches, and then sends back what it gets until the other side ends.
pub async fn switching() -> Backend {
    Backend::each(|_, mut wire| async move {
        if let Some(head) = wire.request_head().await {
            wire.send(accepted(&head)).await;
            let (mut read, mut write) = wire.stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.write_all(b"bye").await;
        }
    })
    .await
}

/// A backend whose WebSockets send back what they get.
pub async fn echoing() -> Backend {
    Backend::each(|_, wire| async move {
        echo(tokio_tungstenite::accept_async(wire.stream).await.expect("a websocket")).await;
    })
    .await
}

/// Sends back what comes.
pub async fn echo<S>(mut socket: WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.expect("sent");
        }
    }
}

/// A client that has switched.
async fn switched(gateway: &Gateway) -> Wire {
    let mut client = gateway.connect().await;
    client.send(ASK).await;
    let response = client.response().await;
    assert_eq!((response.status, response.header("upgrade")), (101, Some("websocket")), "{}", response.head);
    client
}

pub async fn exactly(client: &mut Wire, want: &[u8]) {
    let mut came = vec![0; want.len()];
    in_time("bytes", client.stream.read_exact(&mut came)).await.expect("comes");
    assert!(came == want);
}

/// Messages of every size come back by a WebSocket, and it ends in order.
pub async fn talked<S>(socket: &mut WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for size in [0, 1, 125, 126, 16_384, 65_536, 3_000_000] {
        let sent = Message::binary(vec![7; size]);
        in_time("sent", socket.send(sent.clone())).await.expect("sent");
        assert!(in_time("came", socket.next()).await.expect("one").expect("sound") == sent, "{size}");
    }
    socket.close(None).await.expect("closes");
    while in_time("end", socket.next()).await.is_some_and(|m| m.is_ok()) {}
}

#[tokio::test]
async fn a_websocket_passes_in_both_directions_whatever_the_size() {
    let backend = echoing().await;
    let gateway = Gateway::before_with(backend.address, OWN, |_| {});
    let stream = tokio::net::TcpStream::connect(gateway.address()).await.expect("connects");
    let (mut socket, answer) =
        tokio_tungstenite::client_async("ws://h/chat", stream).await.expect("a websocket");
    assert_eq!(answer.status(), 101);
    gateway.counts("gateway_upgraded_connections 1").await;
    talked(&mut socket).await;
    drop(socket);
    gateway.counts("gateway_upgraded_connections 0").await;
    gateway.counts("gateway_active_connections 0").await;
    gateway.counts("gateway_upgrades_total 1").await;
    gateway.counts("gateway_requests_total{class=\"1xx\"} 1").await;
    assert!(gateway.metrics().contains("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 0"));
}

#[tokio::test]
async fn each_side_may_end_by_itself() {
    let backend = switching().await;
    let gateway = Gateway::before_with(backend.address, OWN, |_| {});
    let mut client = switched(&gateway).await;
    client.send("first").await;
    exactly(&mut client, b"first").await;
    client.stream.shutdown().await.expect("closes its side");
    exactly(&mut client, b"bye").await;
    assert!(!client.ended().await, "in order");
    gateway.counts("gateway_upgraded_bytes_total{direction=\"in\"} 5").await;
    gateway.counts("gateway_upgraded_bytes_total{direction=\"out\"} 8").await;
}

#[tokio::test]
async fn the_access_log_counts_the_bytes_of_both_directions() {
    let backend = switching().await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("log");
    let path = file.to_str().expect("text");
    let args = [OWN, &["--access-log", "all", "--access-log-file", path]].concat();
    let gateway = Gateway::before_with(backend.address, &args, |_| {});
    let mut client = gateway.connect().await;
    client.send(format!("{ASK}ahead")).await;
    assert_eq!(client.response().await.status, 101);
    client.send("first").await;
    client.stream.shutdown().await.expect("closes its side");
    assert!(!client.ended().await, "in order");
    let lines = lines(&file, |lines| lines.len() == 1).await;
    assert_eq!((lines[0]["bytes_in"].as_u64(), lines[0]["bytes"].as_u64()), (Some(10), Some(13)));
}

#[tokio::test]
async fn what_is_sent_ahead_of_the_answer_belongs_to_the_new_protocol() {
    let backend = switching().await;
    let gateway = Gateway::before_with(backend.address, OWN, |_| {});
    let mut client = gateway.connect().await;
    client.send(format!("{ASK}GET /hidden HTTP/1.1\r\n\r\n")).await;
    assert_eq!(client.response().await.status, 101);
    let ahead = b"GET /hidden HTTP/1.1\r\n\r\n";
    while client.buffered().len() < ahead.len() && client.more().await {}
    assert_eq!(client.buffered(), ahead, "passed on unread, and no request of its own");
    drop(client);
    gateway.counts("gateway_requests_total{class=\"1xx\"} 1").await;
    gateway.counts("gateway_requests_total{class=\"2xx\"} 0").await;
}

#[tokio::test]
async fn an_answer_other_than_a_switch_is_an_ordinary_one() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before_with(backend.address, OWN, |_| {});
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        client.send(ASK).await;
        let response = client.response().await;
        assert_eq!(response.status, 200);
        let seen = response.text();
        assert_eq!(header(&seen, "upgrade"), Some("websocket"), "{seen}");
        assert_eq!(header(&seen, "connection"), Some("upgrade"), "{seen}");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn what_may_not_switch_reaches_the_backend_without_its_wish() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before_with(backend.address, OWN, |_| {});
    let head = |method: &str, rest: &str| format!("{method} / HTTP/1.1\r\nhost: h\r\n{rest}");
    let h2c = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n";
    for request in [
        head("GET", h2c),
        head("GET", "connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n"),
        head("GET", "connection: upgrade\r\nupgrade: websocket, h2c\r\n\r\n"),
        head("GET", "connection: upgrade\r\nupgrade: websocket\r\nupgrade: h2c\r\n\r\n"),
        head("GET", "connection: upgrade\r\nupgrade: TLS/1.0\r\n\r\n"),
        head("GET", "upgrade: websocket\r\n\r\n"),
        head("POST", "connection: upgrade\r\nupgrade: websocket\r\n\r\n"),
        head("GET", "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 4\r\n\r\nbody"),
        "GET / HTTP/1.0\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".to_owned(),
    ] {
        let response = gateway.ask(&request).await;
        assert_eq!(response.status, 200, "{request}");
        let seen = response.text();
        for name in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(header(&seen, name), None, "{request} became {seen}");
        }
    }
}

#[tokio::test]
async fn a_route_says_which_protocols_it_lets_through() {
    let change = |names: &'static [&str]| {
        move |draft: &mut hotswap_matcher::RouteDraft| {
            draft.forward.as_mut().expect("forwards").upgrades =
                names.iter().map(|n| n.to_string()).collect();
        }
    };
    let backend = Backend::echo().await;
    let own = ASK.replace("upgrade: websocket", "upgrade: my-protocol/2");
    for (names, request, passed) in [
        (&["none"][..], ASK, None),
        (&["my-protocol/2"][..], ASK, None),
        (&["my-protocol/2"][..], own.as_str(), Some("my-protocol/2")),
        (&[][..], own.as_str(), None),
    ] {
        let gateway = Gateway::before_with(backend.address, OWN, change(names));
        let seen = gateway.ask(request).await.text();
        assert_eq!(header(&seen, "upgrade"), passed, "{names:?}: {seen}");
    }
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_a_502() {
    let other = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n";
    let bare = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    let get = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    for (request, answer) in [(get, SWITCH), (ASK, other), (ASK, bare), (get, bare)] {
        let backend = Backend::always(answer).await;
        let gateway = Gateway::before_with(backend.address, OWN, |_| {});
        let response = gateway.ask(request).await;
        assert_eq!((response.status, response.reason()), (502, Some("BACKEND_PROTOCOL")), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_stands_still_ends_and_the_total_limit_does_not_count() {
    let limits = TimeoutsDraft { idle_ms: 400, total_ms: 200, ..TimeoutsDraft::default() };
    let backend = switching().await;
    let gateway = Gateway::before_with(backend.address, OWN, |draft| timeouts(draft, limits));
    let mut client = switched(&gateway).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send("ping").await;
        exactly(&mut client, b"ping").await;
    }
    assert!(!client.ended().await, "in order");
    gateway.counts("gateway_requests_failed_total{reason=\"UPGRADE_IDLE\"} 1").await;
}

#[tokio::test]
async fn a_gateway_that_stops_lets_it_go_on_until_the_deadline() {
    let backend = switching().await;
    let args = ["--gateway-engine", "own", "--drain-deadline-ms", "3000"];
    let gateway = Gateway::before_with(backend.address, &args, |_| {});
    let mut client = switched(&gateway).await;
    gateway.plane.stop();
    client.send("still").await;
    exactly(&mut client, b"still").await;
    assert!(!client.ended().await, "in order");
    gateway.counts("gateway_requests_failed_total{reason=\"GATEWAY_STOPPING\"} 1").await;
}

#[tokio::test]
async fn a_side_that_is_gone_takes_the_other_with_it() {
    let backend = switching().await;
    let gateway = Gateway::before_with(backend.address, OWN, |_| {});
    let client = switched(&gateway).await;
    client.stream.set_zero_linger().expect("set");
    drop(client);
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
    gateway.counts("gateway_upgraded_connections 0").await;
}

#[tokio::test]
async fn a_rollout_counts_connections_that_switch_and_those_that_could_not() {
    const ALL: u64 = 200;
    let down = Backend::always("HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n").await;
    let up = switching().await;
    for (candidate, errors) in [(&up, 0), (&down, 1)] {
        let mut gateway = Gateway::start(OWN);
        gateway.pool("a", &[up.address]);
        gateway.pool("b", &[candidate.address]);
        let half = who(1, Some(ExposureDraft::ShareBps(5_000)), None);
        gateway.route_with("r", &to_pool("a"), &to_pool("b"), &half);
        gateway.swap();
        for _ in 0..ALL {
            let mut client = gateway.connect().await;
            client.send(ASK).await;
            assert!([101, 503].contains(&client.response().await.status));
        }
        // How a client leaves what it has switched to is no failure of anybody's.
        let [baseline, other] = counted(&gateway, ALL).await;
        assert!(is_about(other.requests, ALL, 5_000), "{other:?}");
        assert_eq!(baseline.errors, 0);
        assert_eq!(other, Total { errors: errors * other.requests, ..other });
    }
}
