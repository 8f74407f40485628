//! What passes over TLS to backends: bodies, streams of HTTP/2, other protocols, copies; and what is kept apart.

use hotswap_core::{PoolName, ResourceName as _};
use hotswap_gateway::rollout::Total;
use hotswap_matcher::{CandidateSpec, ExposureDraft, PoolSpec};

use super::*;
use crate::http2_support::Http2;
use crate::rollouts::{counted, who};

/// Sends back what it gets, without looking at it.
async fn reflect(stream: TlsStream<TcpStream>) {
    let (mut read, mut write) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

/// A head, and what came behind it.
async fn head(stream: &mut TlsStream<TcpStream>) -> (String, Vec<u8>) {
    let mut came = Vec::new();
    loop {
        if let Some(end) = came.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = came.split_off(end + 4);
            return (String::from_utf8(came).expect("text"), rest);
        }
        assert!(matches!(stream.read_buf(&mut came).await, Ok(1..)), "a head");
    }
}

fn shop(authority: &Authority) -> ServerConfig {
    server(&authority.issue("shop", &["shop.internal"]))
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    // The response is the request's body, in chunks as it came.
    let backend = Secured::each(shop(&authority), |mut stream| async move {
        let (asked, rest) = head(&mut stream).await;
        assert_eq!(header(&asked, "transfer-encoding"), Some("chunked"));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let _ = stream.write_all(&rest).await;
        reflect(stream).await;
    })
    .await;
    let gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), |_| {});
    let body = "0123456789abcdef".repeat(200_000);
    let mut client = gateway.connect().await;
    let request = format!(
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let (mut read, mut write) = client.stream.split();
    let (sent, came) = tokio::join!(in_time("sent", write.write_all(request.as_bytes())), async {
        let mut came = Vec::new();
        while !came.ends_with(b"\r\n0\r\n\r\n") {
            assert!(in_time("more", read.read_buf(&mut came)).await.expect("reads") > 0);
        }
        came.len()
    });
    sent.expect("sent");
    assert!(came > body.len());
}

#[tokio::test]
async fn a_download_of_known_length_is_whole_and_one_that_is_cut_is_not() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let backend = Secured::each(shop(&authority), |mut stream| async move {
        let (asked, _) = head(&mut stream).await;
        let body = vec![b'x'; 3_000_000];
        let length = if asked.starts_with("GET /cut") { "" } else { "content-length: 3000000\r\n" };
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{length}\r\n").as_bytes()).await;
        let _ = stream.write_all(&body).await;
        let _ = stream.flush().await;
        if length.is_empty() {
            // The end of the connection without TLS's own word for it.
            let (tcp, _) = stream.into_inner();
            drop(tcp);
        }
    })
    .await;
    let gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), |_| {});
    let response = gateway.ask(GET).await;
    assert!(response.whole && response.body.len() == 3_000_000);
    let cut = gateway.ask("GET /cut HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(!cut.whole, "nobody said that this is all");
    gateway.counts("gateway_requests_failed_total{reason=\"BACKEND_CUT\"} 1").await;
}

#[tokio::test]
async fn streams_of_http_2_go_there_too() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let backend = Secured::telling(shop(&authority)).await;
    let gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), |_| {});
    let client = Http2::connect(&gateway).await;
    for _ in 0..3 {
        assert_eq!(client.ask(GET).await.text(), "shop.internal 0 http/1.1");
    }
    assert_eq!(backend.full(), 1);
}

#[tokio::test]
async fn a_websocket_passes() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let backend = Secured::each(shop(&authority), |mut stream| async move {
        let (asked, _) = head(&mut stream).await;
        assert_eq!(header(&asked, "upgrade"), Some("websocket"));
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly";
        stream.write_all(switch.as_bytes()).await.expect("sent");
        reflect(stream).await;
    })
    .await;
    let gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), |_| {});
    let mut client = gateway.connect().await;
    client
        .send(
            "GET /chat HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
        )
        .await;
    assert_eq!(client.response_to("GET").await.expect("switches").status, 101);
    let sent = vec![7_u8; 100_000];
    let mut came = client.buffered().to_vec();
    let (mut read, mut write) = client.stream.split();
    let ended = async {
        write.write_all(&sent).await?;
        write.shutdown().await
    };
    let (ended, _) = tokio::join!(in_time("sent", ended), async {
        while in_time("more", read.read_buf(&mut came)).await.expect("reads") > 0 {}
    });
    ended.expect("ends");
    assert!(came.starts_with(b"early") && came[5..] == sent, "both ends are passed on");
    gateway.counts("gateway_upgraded_connections 0").await;
}

#[tokio::test]
async fn a_plain_and_a_tls_pool_of_one_address_share_nothing() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let acceptor = TlsAcceptor::from(Arc::new(shop(&authority)));
    // Speaks with and without TLS, as the other side begins.
    let backend = Backend::each(move |_, mut wire| {
        let acceptor = acceptor.clone();
        async move {
            let mut first = [0];
            if wire.stream.peek(&mut first).await.is_ok_and(|n| n == 1) && first[0] == 0x16 {
                if let Ok(stream) = acceptor.accept(wire.stream).await {
                    tell(stream).await;
                }
                return;
            }
            while wire.request().await.is_some() {
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain").await;
            }
        }
    })
    .await;
    let mut gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), |_| {});
    gateway.pool("plain", &[backend.address]);
    let matches = at_prefix("/plain");
    gateway.route("plain", &hotswap_matcher::RouteDraft { matches, ..to_pool("plain") });
    gateway.swap();
    for _ in 0..4 {
        assert_eq!(gateway.ask(GET).await.text(), "shop.internal 0 http/1.1");
        assert_eq!(gateway.ask("GET /plain HTTP/1.1\r\nhost: h\r\n\r\n").await.text(), "plain");
    }
    assert_eq!(backend.connections(), 2);

    // The pool goes over to TLS: what is open without it is not used for it.
    gateway.pool_of(
        "plain",
        &PoolDraft { tls: Some(by("corp", "shop.internal")), ..of_backends(&[backend.address]) },
    );
    gateway.swap();
    let now = gateway.ask("GET /plain HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(now.text(), "shop.internal 0 http/1.1");
}

#[tokio::test]
async fn copies_for_a_candidate_go_there_with_tls() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let (live, candidate) = (Backend::echo().await, Secured::telling(shop(&authority)).await);
    let args = ["--gateway-engine", "own", "--backend-tls-dir", &folder_of(folder.path())];
    let mut gateway = Gateway::start(&args);
    let spec = |draft: &PoolDraft| PoolSpec::parse(draft).expect("valid");
    let tls = PoolDraft { tls: Some(by("corp", "shop.internal")), ..of_backends(&[candidate.address]) };
    let shadow = CandidateSpec::parse(&who(1, Some(ExposureDraft::ShadowBps(10_000)), None)).expect("valid");
    let name = PoolName::from_id("p").expect("id");
    gateway.catalog.put_pool_with(&name, &spec(&of_backends(&[live.address])), Some((&spec(&tls), shadow)));
    gateway.route("r", &to_pool("p"));
    gateway.swap();
    assert!(gateway.ask(GET).await.text().starts_with("GET / HTTP/1.1"));
    let [baseline, copies] = counted(&gateway, 2).await;
    assert_eq!((baseline, copies), (Total { requests: 1, errors: 0 }, Total { requests: 1, errors: 0 }));
    assert_eq!(candidate.full(), 1);
}
