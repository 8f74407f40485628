//! WebSockets from clients of HTTP/2 to backends with TLS.

use std::time::Duration;

use h2::Reason;
use hotswap_matcher::TimeoutsDraft;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::http2::tunnels::Tunnel;
use crate::http2::tunnels::ends::{ends_soon, takes_no_more};
use crate::http2_support::Http2;
use crate::upgrades::{accepted, echo, talked};

/// A backend that switches, and then does this; and how long both sides may stand still before it, in ms (0: the default).
async fn switching<F, Fut>(
    folder: &tempfile::TempDir,
    authority: &Authority,
    idle_ms: u32,
    then: F,
) -> (Secured, Gateway)
where
    F: Fn(TlsStream<TcpStream>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let config = server(&authority.issue("chat", &["chat.internal"]));
    let backend = Secured::each(config, move |mut stream| {
        let then = then.clone();
        async move {
            let mut came = Vec::new();
            while !came.ends_with(b"\r\n\r\n") {
                assert!(matches!(stream.read_buf(&mut came).await, Ok(1..)));
            }
            let answer = accepted(&String::from_utf8_lossy(&came));
            stream.write_all(answer.as_bytes()).await.expect("sent");
            stream.flush().await.expect("sent");
            then(stream).await;
        }
    })
    .await;
    let mut gateway = gateway(folder.path(), &[backend.address], by("corp", "chat.internal"), |_| {});
    let mut route = to_pool("p");
    timeouts(&mut route, TimeoutsDraft { idle_ms, ..TimeoutsDraft::default() });
    gateway.route("r", &route);
    gateway.swap();
    (backend, gateway)
}

#[tokio::test]
async fn a_websocket_passes_in_both_directions_whatever_the_size() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let (_backend, gateway) = switching(&folder, &authority, 0, |stream| async {
        echo(WebSocketStream::from_raw_socket(stream, Role::Server, None).await).await;
    })
    .await;
    let client = Http2::connect(&gateway).await;
    let tunnel = Tunnel::open(&client).await;
    let mut socket = WebSocketStream::from_raw_socket(tunnel.stream(), Role::Client, None).await;
    talked(&mut socket).await;
    drop(socket);
    gateway.counts("gateway_upgraded_connections 0").await;
}

/// Says something all the time, and reads nothing.
async fn talk(mut stream: TlsStream<TcpStream>) {
    while stream.write_all(b"on").await.is_ok() && stream.flush().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A tunnel into which more goes than its backend takes.
async fn full(client: &Http2) -> Tunnel {
    let mut tunnel = Tunnel::open(client).await;
    tunnel.send.send_data(vec![7; 30_000_000].into(), false).expect("takes it");
    tunnel
}

#[tokio::test]
async fn what_a_backend_does_not_take_for_long_ends_its_stream_whatever_it_sends() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let (_backend, gateway) = switching(&folder, &authority, 300, talk).await;
    let client = Http2::connect(&gateway).await;
    ends_soon(full(&client).await).await;
    gateway.counts("gateway_requests_failed_total{reason=\"UPGRADE_IDLE\"} 1").await;
}

#[tokio::test]
async fn a_client_that_is_gone_is_known_while_its_backend_takes_nothing() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let (_backend, gateway) = switching(&folder, &authority, 0, |stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let client = Http2::connect(&gateway).await;
    let mut tunnel = full(&client).await;
    takes_no_more(&gateway).await;
    tunnel.send.send_reset(Reason::CANCEL);
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
    gateway.counts("gateway_upgraded_connections 0").await;
}
