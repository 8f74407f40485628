//! HTTP/2 to backends with TLS.

use std::sync::atomic::AtomicU8;

use hotswap_matcher::{BackendProtocol, HealthCheckDraft, HealthCheckKindDraft};

use super::*;

/// Answers with the scheme of the request, and what it was asked for by.
pub(super) async fn speak(stream: TlsStream<TcpStream>) {
    let name = stream.get_ref().1.server_name().unwrap_or("-").to_owned();
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let text = format!("{} {name}", request.uri().scheme_str().unwrap_or("-"));
        let mut head = http::Response::new(());
        head.headers_mut().insert(http::header::CONTENT_LENGTH, text.len().into());
        if let Ok(mut send) = respond.send_response(head, false) {
            let _ = send.send_data(text.into(), true);
        }
    }
}

fn http2(pool: &mut PoolDraft) {
    pool.protocol = BackendProtocol::Http2;
}

pub(super) fn with_alpn(files: &Files, protocols: &[&[u8]]) -> ServerConfig {
    let mut config = server(files);
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    config
}

#[tokio::test]
async fn a_backend_that_agrees_to_it_is_asked_by_https() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let files = authority.issue("shop", &["shop.internal"]);
    let backend = Secured::each(with_alpn(&files, &[b"http/1.1", b"h2"]), speak).await;
    let gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), http2);
    for _ in 0..3 {
        assert_eq!(gateway.ask(GET).await.text(), "https shop.internal");
    }
    assert_eq!(backend.full(), 1, "on one connection");
    gateway.counts("gateway_upstream_tls_handshakes_total{result=\"full\"} 1").await;

    // The authority is written anew: the same one, and yet another file.
    let mut again = std::fs::read(authority.ca()).expect("read");
    again.push(b'\n');
    std::fs::write(folder.path().join("corp.pem"), again).expect("written");
    assert!(files_of(&gateway).reload().expect("sound"));
    assert_eq!(gateway.ask(GET).await.text(), "https shop.internal");
    assert_eq!((backend.full(), backend.resumed()), (2, 0), "what was open gets no more streams");
}

#[tokio::test]
async fn a_backend_that_does_not_agree_to_it_is_not_reached() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let files = authority.issue("shop", &["shop.internal"]);
    for (protocols, why) in
        [(&[&b"http/1.1"[..]][..], "NoApplicationProtocol"), (&[][..], "did not agree to speak HTTP/2")]
    {
        let backend = Secured::telling(with_alpn(&files, protocols)).await;
        let gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), http2);
        refused(&gateway, why).await;
    }
}

#[tokio::test]
async fn a_backend_that_wants_a_certificate_says_so_after_the_handshake_and_is_understood() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let files = authority.issue("shop", &["shop.internal"]);
    let mut asks = server_that_asks(&files, &authority, &[&rustls::version::TLS13]);
    asks.alpn_protocols = vec![b"h2".to_vec()];
    let backend = Secured::each(asks, speak).await;
    let gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), http2);
    refused(&gateway, "it wants a certificate of the gateway").await;
    gateway.counts("gateway_upstream_tls_handshakes_total{result=\"failed\"} 1").await;
}

#[tokio::test]
async fn checks_speak_it_too() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let files = authority.issue("shop", &["shop.internal"]);
    let backend = Secured::each(with_alpn(&files, &[b"h2"]), speak).await;
    let checked = |pool: &mut PoolDraft| {
        http2(pool);
        pool.health_check =
            Some(HealthCheckDraft { interval_ms: 100, unhealthy_threshold: 1, ..Default::default() });
    };
    let gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), checked);
    in_time("checks", async {
        while backend.full() + backend.resumed() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let line = format!("gateway_backend_healthy{{backend=\"{}\",pool=\"pools/p\"}} 1", backend.address);
    gateway.counts(&line).await;
}

#[tokio::test]
async fn a_check_by_grpc_goes_with_tls_and_what_it_tells_counts() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let files = authority.issue("shop", &["shop.internal"]);
    // The status of gRPC, and that of health.
    let told = Arc::new([AtomicU8::new(0), AtomicU8::new(1)]);
    let state = Arc::clone(&told);
    let serve = move |stream: TlsStream<TcpStream>| {
        let state = Arc::clone(&state);
        async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let is_check = request.uri().path() == "/grpc.health.v1.Health/Check"
                    && request.uri().scheme_str() == Some("https");
                let Ok(mut send) = respond.send_response(http::Response::new(()), false) else { continue };
                let [code, health] = [0, 1].map(|i: usize| state[i].load(Ordering::SeqCst));
                if is_check && code == 0 {
                    let _ = send.send_data(vec![0, 0, 0, 0, 2, 8, health].into(), false);
                }
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", code.to_string().parse().expect("a value"));
                let _ = send.send_trailers(trailers);
            }
        }
    };
    let backend = Secured::each(with_alpn(&files, &[b"h2"]), serve).await;
    let checked = |pool: &mut PoolDraft| {
        http2(pool);
        pool.health_check = Some(HealthCheckDraft {
            kind: HealthCheckKindDraft::Grpc,
            interval_ms: 100,
            healthy_threshold: 1,
            unhealthy_threshold: 1,
            ..HealthCheckDraft::default()
        });
    };
    let gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), checked);
    let is = async |healthy: u8| {
        let of = format!("backend=\"{}\",pool=\"pools/p\"", backend.address);
        gateway.counts(&format!("gateway_backend_healthy{{{of}}} {healthy}")).await;
    };
    is(1).await;
    // Not serving; a service that it does not know, by either way to say so; no such method; nothing at all.
    for (code, health) in [(0, 2), (0, 3), (5, 0), (12, 0), (0, 0)] {
        for (place, n) in told.iter().zip([code, health]) {
            place.store(n, Ordering::SeqCst);
        }
        is(0).await;
        for (place, n) in told.iter().zip([0, 1]) {
            place.store(n, Ordering::SeqCst);
        }
        is(1).await;
    }
}
