//! What clients do: malformed heads, bodies that stop, connections that go away.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

#[tokio::test]
async fn a_malformed_request_gets_its_reason_and_reaches_no_backend() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before(backend.address);
    let long = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "a".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: 1\r\n".repeat(100));
    let target = format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "a".repeat(65_600));
    for (request, status, reason) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, "BAD_REQUEST"),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400, "BAD_REQUEST"),
        ("GET / HTTP/1.1\r\nhost: user@a\r\n\r\n", 400, "BAD_REQUEST"),
        ("GET /a/../b HTTP/1.1\r\nhost: h\r\n\r\n", 400, "BAD_PATH"),
        ("GET /a/%2e%2E/b HTTP/1.1\r\nhost: h\r\n\r\n", 400, "BAD_PATH"),
        ("GET /\r\n\r\n", 400, "BAD_REQUEST"),
        ("G@T / HTTP/1.1\r\nhost: h\r\n\r\n", 400, "BAD_REQUEST"),
        ("GET / HTTP/1.1\r\nhost: h\r\nbad header: 1\r\n\r\n", 400, "BAD_REQUEST"),
        ("GET / HTTP/1.1\r\nhost: h\r\nx : 1\r\n\r\n", 400, "BAD_REQUEST"),
        ("GET / HTTP/1.1\r\nhost: h\r\nx: 1\r\n folded\r\n\r\n", 400, "BAD_REQUEST"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n", 400, "BAD_REQUEST"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: +1\r\n\r\na", 400, "BAD_REQUEST"),
        (
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            400,
            "BAD_REQUEST",
        ),
        ("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n", 400, "BAD_REQUEST"),
        ("POST / HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "BAD_REQUEST"),
        (
            "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "UNSUPPORTED",
        ),
        (&long, 431, "HEAD_TOO_LARGE"),
        (&many, 431, "HEAD_TOO_LARGE"),
        (&target, 431, "HEAD_TOO_LARGE"),
    ] {
        let shown = &request[..request.len().min(80)];
        let response = gateway.ask(request).await;
        assert_eq!((response.status, response.reason()), (status, Some(reason)), "{shown:?}");
        assert!(response.whole && !response.text().is_empty(), "{shown:?}");
        let counted = format!("gateway_requests_failed_total{{reason=\"{reason}\"}} ");
        assert!(
            gateway.metrics().lines().any(|l| l.starts_with(&counted) && !l.ends_with(" 0")),
            "{shown:?}"
        );
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_head_that_begins_behind_another_request_has_no_more_time_than_the_first() {
    let backend = Backend::echo().await;
    let args = ["--gateway-engine", "own", "--client-head-ms", "100"];
    let gateway = Gateway::before_with(backend.address, &args, |_| {});
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\nG").await;
    assert_eq!(client.response().await.status, 200);
    // Long before an idle connection is.
    client.ended().await;
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_TIMEOUT\"} 1").await;
}

#[tokio::test]
async fn a_head_that_comes_slowly_is_given_up() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before_with(backend.address, &["--client-head-ms", "200"], |_| {});
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n").await;
    let dripping = async {
        for _ in 0..1_000 {
            client.send("x: 1\r\n").await;
            let more = tokio::time::timeout(Duration::from_millis(20), client.more()).await;
            if more.is_ok() {
                return;
            }
        }
        panic!("it was not given up");
    };
    in_time("dripping", dripping).await;
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_TIMEOUT\"} 1").await;
    gateway.counts("gateway_active_connections 0").await;
}

#[tokio::test]
async fn a_connection_without_a_next_request_is_closed() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before_with(backend.address, &["--client-idle-ms", "200"], |_| {});
    let mut client = gateway.connect().await;
    client.send(GET).await;
    assert_eq!(client.response().await.status, 200);
    assert!(!client.ended().await, "closed without a reset");
    let mut silent = gateway.connect().await;
    assert!(!silent.ended().await);
}

#[tokio::test]
async fn a_body_larger_than_allowed_is_a_413_in_both_framings() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before_with(backend.address, &["--max-body-bytes", "10"], |_| {});
    let mut client = gateway.connect().await;
    client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n0123456789").await;
    assert_eq!(client.response().await.status, 200);
    let known = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 11\r\n\r\n";
    let unknown =
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n";
    for request in [known, unknown] {
        let response = gateway.ask(request).await;
        assert_eq!((response.status, response.reason()), (413, Some("BODY_TOO_LARGE")), "{request}");
    }
}

#[tokio::test]
async fn a_client_that_sends_on_still_gets_the_answer_it_was_given() {
    let mut gateway = Gateway::start(&[]);
    gateway.swap();
    let mut client = gateway.connect().await;
    client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3000000\r\n\r\n").await;
    for _ in 0..30 {
        client.send(vec![b'x'; 100_000]).await;
    }
    let response = client.response().await;
    assert_eq!((response.status, response.reason()), (404, Some("NO_ROUTE")));
}

/// Says, on the semaphore, when the gateway has cut its connection.
async fn watched(cut: &Arc<Semaphore>, response: &'static str) -> Backend {
    let cut = Arc::clone(cut);
    Backend::each(move |_, mut wire| {
        let cut = Arc::clone(&cut);
        async move {
            let _ = wire.request_head().await;
            wire.send(response).await;
            let _ = wire.ended().await;
            cut.add_permits(1);
        }
    })
    .await
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_exchange_with_the_backend() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin";
    let post = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\nbegin";
    for (request, response) in [(GET, ""), (GET, half), (post, ""), (post, half)] {
        let cut = Arc::new(Semaphore::new(0));
        let backend = watched(&cut, response).await;
        let gateway = Gateway::before(backend.address);
        let mut client = gateway.connect().await;
        client.send(request).await;
        if response.is_empty() {
            in_time("reach the backend", async {
                while backend.connections() == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
        } else {
            assert!(client.more().await);
        }
        drop(client);
        in_time("the cut", cut.acquire()).await.expect("open").forget();
        gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_GONE\"} 1").await;
        gateway.counts("gateway_active_connections 0").await;
        // What was cut is not used again.
        let _again = gateway.connect().await.send(GET).await;
        gateway.counts("gateway_upstream_reuses_total 0").await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_backend_back() {
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let backend = Backend::each(move |_, mut wire| {
        let count = Arc::clone(&count);
        async move {
            let _ = wire.request().await;
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
            let piece = vec![0; 100_000];
            while tokio::io::AsyncWriteExt::write_all(&mut wire.stream, &piece).await.is_ok() {
                count.fetch_add(piece.len(), std::sync::atomic::Ordering::SeqCst);
            }
        }
    })
    .await;
    let limits = hotswap_matcher::TimeoutsDraft { idle_ms: 500, ..Default::default() };
    let own = ["--gateway-engine", "own"];
    let gateway = Gateway::before_with(backend.address, &own, |draft| timeouts(draft, limits));
    let mut client = gateway.connect().await;
    client.send(GET).await;
    // Neither side moves any more: what is on its way fits into the sockets' buffers.
    gateway.counts("gateway_requests_failed_total{reason=\"CLIENT_STALLED\"} 1").await;
    let all = sent.load(std::sync::atomic::Ordering::SeqCst);
    assert!(all < 50_000_000, "{all} bytes were taken from the backend for a client that reads none");
}

#[tokio::test]
async fn two_framings_in_one_request_are_refused() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before(backend.address);
    for request in [
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    ] {
        let response = gateway.ask(request).await;
        assert_eq!((response.status, response.reason()), (400, Some("BAD_REQUEST")), "{request}");
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn nonsense_behind_a_request_is_refused_after_the_answer() {
    let backend = Backend::echo().await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client.send(format!("{GET}GET / HTTP/1.1\r\nbad header\r\n\r\n{GET}")).await;
    assert_eq!(client.response().await.status, 200);
    let refused = client.response().await;
    assert_eq!((refused.status, refused.reason()), (400, Some("BAD_REQUEST")));
    assert!(!client.ended().await);
    assert_eq!(backend.connections(), 1);
}

/// Numbers that only look random.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

#[tokio::test]
async fn requests_with_flipped_bytes_get_an_answer_or_an_end_and_leave_no_trace() {
    // It panics where what reaches it is no HTTP.
    let backend = Backend::echo().await;
    let gateway = Gateway::before(backend.address);
    let sound = "POST /a/b?c=d HTTP/1.1\r\nhost: shop:80\r\nconnection: x\r\ncontent-type: text/plain\r\n\
                 transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for round in 0..400 {
        let mut bytes = sound.as_bytes().to_vec();
        for _ in 0..=next(&mut state) % 3 {
            let at = next(&mut state) % bytes.len();
            match next(&mut state) % 3 {
                0 => bytes[at] = next(&mut state) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\r\n :,\0;\x80"[next(&mut state) % 8]),
            }
        }
        let mut client = gateway.connect().await;
        client.send(&bytes).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await;
        if let Some(response) = client.response_to("POST").await {
            let shown = String::from_utf8_lossy(&bytes);
            assert!([200, 400, 404, 408, 413, 431, 501, 502].contains(&response.status), "{round}: {shown}");
        }
    }
    gateway.counts("gateway_active_connections 0").await;
    assert_eq!(gateway.ask(GET).await.status, 200);
    let metrics = gateway.metrics();
    for reason in ["BACKEND_PROTOCOL", "BACKEND_CLOSED", "BACKEND_CUT"] {
        let none = format!("gateway_requests_failed_total{{reason=\"{reason}\"}} 0\n");
        assert!(metrics.contains(&none), "{metrics}");
    }
}
