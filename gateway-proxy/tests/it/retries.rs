//! Tries after the first: which requests have them, where they go, and what they send.

use std::net::SocketAddr;
use std::sync::Arc;

use hotswap_matcher::{RetryDraft, RouteDraft, TimeoutsDraft};
use tokio::sync::Notify;

use crate::support::*;
use crate::ways::{WAYS, Way};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const DOWN: &str = "HTTP/1.1 503 Down\r\ncontent-length: 4\r\n\r\ndown";

fn retried(retry: RetryDraft) -> RouteDraft {
    let mut route = to_pool("p");
    if let Some(forward) = &mut route.forward {
        forward.retry = Some(RetryDraft { base_backoff_ms: 1, ..retry });
    }
    route
}

/// The first request goes to the first backend.
fn gateway(backends: &[SocketAddr], route: &RouteDraft) -> Gateway {
    let mut gateway = Gateway::start(&[]);
    gateway.pool("p", backends);
    gateway.route("r", route);
    gateway.swap();
    gateway
}

/// The same, by a way.
async fn by(way: Way, backends: &[SocketAddr], route: &RouteDraft) -> Gateway {
    let mut gateway = Gateway::start(&["--gateway-engine", way.engine]);
    gateway.pool_of("p", &way.pool(backends).await);
    gateway.route("r", route);
    gateway.swap();
    gateway
}

fn retries(gateway: &Gateway, outcome: &str) -> u64 {
    let metrics = gateway.metrics();
    let line = format!("gateway_retries_total{{outcome=\"{outcome}\"}} ");
    let value = metrics.lines().find_map(|l| l.strip_prefix(&line)).expect("the metric");
    value.parse().expect("a number")
}

async fn refused() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    listener.local_addr().expect("address")
}

#[tokio::test]
async fn a_failed_request_is_tried_elsewhere_and_the_client_sees_the_success_alone() {
    for status in [502, 503, 504] {
        let failure = format!("HTTP/1.1 {status} No\r\ncontent-length: 4\r\n\r\ndown").leak();
        let (a, b) = (Backend::always(failure).await, Backend::always(OK).await);
        let gateway = gateway(&[a.address, b.address], &retried(RetryDraft::default()));
        let response = gateway.ask(GET).await;
        assert_eq!((response.status, response.text().as_str()), (200, "ok"));
        assert_eq!((a.connections(), b.connections()), (1, 1));
        assert_eq!((retries(&gateway, "sent"), retries(&gateway, "saved")), (1, 1));
    }
}

#[tokio::test]
async fn connections_that_fail_and_backends_that_say_nothing_are_tried_elsewhere() {
    let closes = Backend::each(|_, mut wire| async move { drop(wire.request().await) }).await;
    let garbled = Backend::always("SMTP ready\r\n\r\n").await;
    let good = Backend::always(OK).await;
    for bad in [refused().await, closes.address, garbled.address] {
        let gateway = gateway(&[bad, good.address], &retried(RetryDraft::default()));
        assert_eq!(gateway.ask(GET).await.status, 200);
        assert_eq!(retries(&gateway, "sent"), 1);
    }
}

#[tokio::test]
async fn only_idempotent_methods_and_passing_failures_are_tried_again() {
    let good = Backend::always(OK).await;
    let post = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi";
    let patch = "PATCH / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n";
    let error = "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";
    let later = "HTTP/1.1 503 Down\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    for (request, answer, status) in
        [(post, DOWN, 503), (patch, DOWN, 503), (GET, error, 500), (GET, later, 503)]
    {
        let bad = Backend::always(answer).await;
        let gateway = gateway(&[bad.address, good.address], &retried(RetryDraft::default()));
        assert_eq!(gateway.ask(request).await.status, status, "{request}{answer}");
        assert_eq!(retries(&gateway, "sent"), 0, "{request}{answer}");
    }
    let bad = Backend::always(DOWN).await;
    let gateway = gateway(&[bad.address, good.address], &to_pool("p"));
    assert_eq!(gateway.ask(GET).await.status, 503, "a route without retries has none");
}

#[tokio::test]
async fn the_last_failure_is_the_answer() {
    let (a, b) = (Backend::always(DOWN).await, Backend::always(DOWN).await);
    let gateway =
        gateway(&[a.address, b.address], &retried(RetryDraft { max_retries: 3, ..Default::default() }));
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let response = client.response().await;
    assert_eq!((response.status, response.reason(), response.text().as_str()), (503, None, "down"));
    assert_eq!((retries(&gateway, "sent"), retries(&gateway, "saved")), (3, 0));
    // The connection lasts.
    client.send(GET).await;
    assert_eq!(client.response().await.status, 503);
}

#[tokio::test]
async fn a_body_is_sent_again_whole() {
    let (a, b) = (Backend::always(DOWN).await, Backend::echo().await);
    let body = "0123456789".repeat(3_000);
    let length = format!("PUT /x HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let chunks: String = body.as_bytes().chunks(7_000).fold(String::new(), |text, chunk| {
        text + &format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk))
    });
    let chunked =
        format!("PUT /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    for request in [length, chunked] {
        let gateway = gateway(&[a.address, b.address], &retried(RetryDraft::default()));
        let response = gateway.ask(&request).await;
        assert_eq!(response.status, 200);
        let text = response.text();
        let (head, echoed) =
            text.split_once("\n\n").or_else(|| text.split_once("\r\n\r\n\n")).expect("parts");
        assert!(head.starts_with("PUT /x HTTP/1.1\r\n"), "{head}");
        assert_eq!(echoed.len(), body.len());
        assert_eq!(echoed, body);
        assert_eq!(retries(&gateway, "sent"), 1);
    }
}

#[tokio::test]
async fn a_body_that_is_still_coming_goes_on_to_the_next_backend() {
    let asked = Arc::new(Notify::new());
    let told = Arc::clone(&asked);
    let early = Backend::each(move |_, mut wire| {
        let told = Arc::clone(&told);
        async move {
            let _ = wire.request_head().await;
            wire.send(DOWN).await;
            told.notify_one();
            while wire.more().await {}
        }
    })
    .await;
    let echo = Backend::echo().await;
    let gateway = gateway(&[early.address, echo.address], &retried(RetryDraft::default()));
    let mut client = gateway.connect().await;
    client.send("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n01234").await;
    in_time("the first try", asked.notified()).await;
    in_time("the second try", async {
        while echo.connections() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    client.send("56789").await;
    let response = client.response().await;
    assert_eq!(response.status, 200);
    assert!(response.text().ends_with("\n0123456789"), "{}", response.text());
}

#[tokio::test]
async fn a_body_that_is_too_large_to_keep_has_one_try() {
    let (a, b) = (Backend::always(DOWN).await, Backend::echo().await);
    let retry = RetryDraft { max_body_bytes: 10, ..RetryDraft::default() };
    let gateway = gateway(&[a.address, b.address], &retried(retry));
    let put =
        |body: &str| format!("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    assert_eq!(gateway.ask(&put("0123456789")).await.status, 200);
    // In turn: the echo, and then the other again.
    assert_eq!(gateway.ask(GET).await.status, 200);
    assert_eq!(gateway.ask(&put("0123456789a")).await.status, 503);
    assert_eq!(b.connections(), 1);
}

#[tokio::test]
async fn nothing_is_tried_again_once_the_client_has_a_part_of_the_response() {
    let cut = Backend::each(|_, mut wire| async move {
        let _ = wire.request().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    })
    .await;
    let good = Backend::always(OK).await;
    let gateway = gateway(&[cut.address, good.address], &retried(RetryDraft::default()));
    let response = gateway.ask(GET).await;
    assert_eq!((response.status, response.whole), (200, false));
    assert_eq!((good.connections(), retries(&gateway, "sent")), (0, 0));
}

#[tokio::test]
async fn a_try_has_a_limit_of_its_own_and_all_of_them_have_one_together() {
    let silent = Backend::each(|_, mut wire| async move { while wire.more().await {} }).await;
    let good = Backend::always(OK).await;
    let retry = RetryDraft { per_try_ms: 50, max_retries: 10, ..RetryDraft::default() };
    let mut limited = retried(retry.clone());
    timeouts(&mut limited, TimeoutsDraft { total_ms: 300, ..TimeoutsDraft::default() });
    for way in WAYS {
        let quick = by(way, &[silent.address, good.address], &retried(retry.clone())).await;
        assert_eq!(way.ask(&quick, GET).await.status, 200, "{way:?}");

        let slow = by(way, &[silent.address], &limited).await;
        let response = way.ask(&slow, GET).await;
        assert_eq!((response.status, response.reason()), (504, Some("TOTAL_TIMEOUT")), "{way:?}");
        assert!((1..10).contains(&retries(&slow, "sent")), "{way:?} {}", retries(&slow, "sent"));
    }
}

#[tokio::test]
async fn retries_stay_within_their_budget() {
    let bad = Backend::always(DOWN).await;
    let retry = RetryDraft { max_retries: 10, max_backoff_ms: 1, ..RetryDraft::default() };
    for way in WAYS {
        let gateway = by(way, &[bad.address], &retried(retry.clone())).await;
        let mut client = way.connect(&gateway).await;
        for _ in 0..100 {
            assert_eq!(client.ask(GET).await.status, 503);
        }
        let sent = retries(&gateway, "sent");
        // A fifth of the requests, and one in a second.
        assert!((10..=30 + 10).contains(&sent), "{way:?} {sent}");
        assert!(retries(&gateway, "over_budget") > 0);
    }
}

#[tokio::test]
async fn a_retry_keeps_away_from_a_backend_whose_breaker_is_open() {
    use hotswap_matcher::{BackendDraft, CircuitBreakerDraft, PoolDraft};
    let (bad, good) = (Backend::always(DOWN).await, Backend::always(OK).await);
    let backend = |a: SocketAddr| BackendDraft { address: a.to_string(), ..BackendDraft::default() };
    let draft = PoolDraft {
        backends: vec![backend(bad.address), backend(good.address)],
        circuit_breaker: Some(CircuitBreakerDraft { failure_threshold: 2, ..Default::default() }),
        ..PoolDraft::default()
    };
    let mut gateway = gateway(&[], &retried(RetryDraft::default()));
    gateway.pool_of("p", &draft);
    gateway.swap();
    let mut client = gateway.connect().await;
    for _ in 0..10 {
        client.send(GET).await;
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(retries(&gateway, "sent"), 2, "after two failures nothing goes there");
}
