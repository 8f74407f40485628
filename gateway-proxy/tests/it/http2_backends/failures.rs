//! Backends that fail.

use bytes::Bytes;
use h2::Reason;
use hotswap_matcher::{CircuitBreakerDraft, RetryDraft};
use http::Response;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::*;
use crate::http2_alike::Either;
use crate::http2_support::*;

#[tokio::test]
async fn who_does_not_speak_http_2_is_told_apart() {
    let backend = Backend::always("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    let gateway = before(backend.address);
    for mut client in Either::both(&gateway).await {
        let response = client.ask(GET).await;
        assert_eq!((response.status, response.reason()), (502, Some("BACKEND_PROTOCOL")));
    }
    let gone = Backend2::echo().await;
    let address = gone.address;
    gone.end().await;
    let gateway = before(address);
    for mut client in Either::both(&gateway).await {
        let response = client.ask(GET).await;
        assert_eq!((response.status, response.reason()), (502, Some("CONNECT_FAILED")));
    }
}

#[tokio::test]
async fn a_response_that_is_cut_is_cut_for_the_client() {
    let seen = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&seen);
    let backend = Backend2::each(move |mut asked| {
        let wait = Arc::clone(&wait);
        async move {
            let mut out = begin(&mut asked.respond);
            out.send_data(Bytes::from("some"), false).expect("open");
            wait.acquire().await.expect("open").forget();
            out.send_reset(Reason::INTERNAL_ERROR);
        }
    })
    .await;
    let gateway = before(backend.address);
    let client = Http2::connect(&gateway).await;
    let (response, _) = client.begin("GET / HTTP/1.1\r\n", true).await;
    let response = in_time("a head", response).await.expect("a head");
    seen.add_permits(1);
    assert!(!body(response.into_body()).await.1);
    let mut one = gateway.connect().await;
    one.send(GET).await;
    while one.buffered().is_empty() {
        assert!(one.more().await);
    }
    seen.add_permits(1);
    let response = one.response().await;
    assert!(response.status == 200 && !response.whole);
}

#[tokio::test]
async fn a_stream_that_is_reset_before_its_head_is_a_failure() {
    let backend =
        Backend2::each(|mut asked| async move { asked.respond.send_reset(Reason::INTERNAL_ERROR) }).await;
    let gateway = before(backend.address);
    for mut client in Either::both(&gateway).await {
        let response = client.ask(GET).await;
        assert_eq!((response.status, response.reason()), (502, Some("BACKEND_CLOSED")));
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_no_get() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("addr");
    let backend = spawn(async move {
        for _ in 0..5 {
            let (stream, _) = listener.accept().await.expect("accepts");
            let mut http2 = h2::server::handshake(stream).await.expect("HTTP/2");
            let (_, mut respond) = http2.accept().await.expect("a request").expect("sound");
            let _ = respond.send_response(Response::new(()), true);
            // The second request finds the connection open, and nobody who answers.
            let second = http2.accept().await;
            drop((second, http2));
        }
    });
    let gateway = before(address);
    for _ in 0..5 {
        assert_eq!(gateway.ask(GET).await.status, 200);
    }
    backend.abort();
}

#[tokio::test]
async fn requests_are_tried_again_elsewhere_with_their_bodies() {
    let (bad, good) = (Backend2::always(503).await, Backend2::echo().await);
    let mut route = to_pool("p");
    if let Some(forward) = &mut route.forward {
        forward.retry = Some(RetryDraft { base_backoff_ms: 1, ..RetryDraft::default() });
    }
    let gateway = with_route(&pool_of(&[bad.address, good.address]), &route);
    let body = "0123456789".repeat(2_000);
    for mut client in Either::both(&gateway).await {
        for _ in 0..2 {
            let request = format!("PUT /x HTTP/1.1\r\nhost: h\r\ncontent-length: 20000\r\n\r\n{body}");
            let response = client.ask(&request).await;
            assert!(response.status == 200 && response.text().ends_with(&format!("{body}|")));
        }
    }
    gateway.counts("gateway_retries_total{outcome=\"saved\"} 4").await;
}

#[tokio::test]
async fn a_breaker_counts_failures() {
    let bad = Backend2::always(500).await;
    let breaker = CircuitBreakerDraft { failure_threshold: 4, ..CircuitBreakerDraft::default() };
    let pool = PoolDraft { circuit_breaker: Some(breaker), ..pool_of(&[bad.address]) };
    let gateway = with_route(&pool, &to_pool("p"));
    let mut clients = Either::both(&gateway).await;
    for _ in 0..2 {
        for client in &mut clients {
            assert_eq!(client.ask(GET).await.status, 500);
        }
    }
    for client in &mut clients {
        let response = client.ask(GET).await;
        assert_eq!((response.status, response.reason()), (503, Some("NO_HEALTHY_BACKEND")));
    }
}

#[tokio::test]
async fn no_answer_of_http_2_makes_a_client_think_that_the_protocol_has_changed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let gateway = before(listener.local_addr().expect("addr"));
    let _backend = spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        let mut raw = Frames::accepted(stream).await;
        while let Some(asked) = raw.next_of(HEADERS).await {
            let switching = fields([(&b":status"[..], &b"101"[..])]);
            raw.send(&frame(HEADERS, END_HEADERS, asked.stream, &switching)).await;
            raw.send(&frame(HEADERS, BOTH, asked.stream, &fields([(&b":status"[..], &b"200"[..])]))).await;
        }
    });
    for wish in ["", "connection: upgrade\r\nupgrade: x\r\n"] {
        let response = gateway.ask(&format!("GET / HTTP/1.1\r\nhost: h\r\n{wish}\r\n")).await;
        assert_eq!(
            (response.status, response.reason()),
            (502, Some("BACKEND_PROTOCOL")),
            "{}",
            response.head
        );
    }
}

#[tokio::test]
async fn the_engine_on_hyper_refuses_such_a_pool() {
    let backend = Backend2::echo().await;
    let mut gateway = Gateway::start(&["--gateway-engine", "hyper"]);
    gateway.pool_of("p", &pool_of(&[backend.address]));
    gateway.route("r", &to_pool("p"));
    gateway.swap();
    let response = gateway.ask(GET).await;
    assert_eq!((response.status, response.reason()), (501, Some("POOL_UNSUPPORTED")));
    assert_eq!(backend.connections(), 0);
}
