//! What goes wrong on the backend's side, and what the client sees of it.

use std::time::Duration;

use hotswap_matcher::{CircuitBreakerDraft, PoolDraft, RetryDraft, TimeoutsDraft};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::http2_alike::Either;
use crate::http2_support::whole;
use crate::support::*;
use crate::ways::{WAYS, Way};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

async fn refused() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    listener.local_addr().expect("addr")
}

fn failed(response: &Response) -> (u16, Option<&str>) {
    (response.status, response.reason())
}

#[tokio::test]
async fn each_way_of_having_no_backend_says_which() {
    let mut gateway = Gateway::start(&[]);
    let mut client = gateway.connect().await;
    client.send(GET).await;
    assert_eq!(failed(&client.response().await), (503, Some("NO_CONFIG")));
    gateway.swap();
    client.send(GET).await;
    assert_eq!(failed(&client.response().await), (404, Some("NO_ROUTE")));
    gateway.route("r", &to_pool("p"));
    gateway.swap();
    client.send(GET).await;
    assert_eq!(failed(&client.response().await), (503, Some("POOL_MISSING")));
    gateway.pool_of("p", &PoolDraft::default());
    gateway.swap();
    client.send(GET).await;
    assert_eq!(failed(&client.response().await), (503, Some("NO_BACKEND")));
    gateway.pool("p", &[refused().await]);
    gateway.swap();
    client.send(GET).await;
    let response = client.response().await;
    assert_eq!(failed(&response), (502, Some("CONNECT_FAILED")));
    assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(response.text(), "the backend can't be reached\n");
    gateway.counts("gateway_requests_failed_total{reason=\"CONNECT_FAILED\"} 1").await;
}

#[tokio::test]
async fn a_backend_that_closes_before_its_response_is_a_502() {
    let backend = Backend::each(|_, mut wire| async move {
        let _ = wire.request().await;
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        client.send(GET).await;
        assert_eq!(failed(&client.response().await), (502, Some("BACKEND_CLOSED")));
    }
    assert_eq!(backend.connections(), 2, "a fresh connection is not tried again");
}

#[tokio::test]
async fn nonsense_is_a_502_and_the_connection_is_not_used_again() {
    for nonsense in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 099 Odd\r\n\r\n",
    ] {
        let backend = Backend::always(nonsense).await;
        let gateway = Gateway::before(backend.address);
        let mut client = gateway.connect().await;
        for n in 1..=2 {
            client.send(GET).await;
            assert_eq!(failed(&client.response().await), (502, Some("BACKEND_PROTOCOL")), "{nonsense}");
            assert_eq!(backend.connections(), n, "{nonsense}");
        }
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_a_502() {
    let backend = Backend::each(|_, mut wire| async move {
        let _ = wire.request().await;
        wire.send("HTTP/1.1 200 OK\r\n").await;
        for _ in 0..3_000 {
            if wire.stream.write_all(b"x-filler: 0123456789012345678901234567890\r\n").await.is_err() {
                return;
            }
        }
        let _ = wire.ended().await;
    })
    .await;
    let gateway = Gateway::before(backend.address);
    assert_eq!(failed(&gateway.ask(GET).await), (502, Some("BACKEND_PROTOCOL")));
}

#[tokio::test]
async fn a_backend_that_hangs_ends_in_the_limit_that_ran_out() {
    let backend = Backend::each(|_, mut wire| async move {
        let _ = wire.request_head().await;
        let _ = wire.ended().await;
    })
    .await;
    let limits = |first_byte_ms, total_ms, idle_ms| TimeoutsDraft { first_byte_ms, total_ms, idle_ms };
    for (limits, request, reason) in
        [(limits(100, 0, 0), GET, "FIRST_BYTE_TIMEOUT"), (limits(0, 100, 0), GET, "TOTAL_TIMEOUT")]
    {
        for way in WAYS {
            let gateway = way.before(backend.address, &[], |draft| timeouts(draft, limits.clone())).await;
            assert_eq!(failed(&way.ask(&gateway, request).await), (504, Some(reason)), "{way:?}");
            gateway.counts(&format!("gateway_requests_failed_total{{reason=\"{reason}\"}} 1")).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_send_or_read_in_time_is_told_and_no_backend_is_blamed() {
    let backend = Backend::each(|_, mut wire| async move {
        while let Some(head) = wire.request_head().await {
            if head.starts_with("GET /large") {
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
                while wire.stream.write_all(&[0; 100_000]).await.is_ok() {}
                return;
            }
            if head.starts_with("GET") {
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let half = "PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nhalf";
    let large = "GET /large HTTP/1.1\r\nhost: h\r\n\r\n";
    let limits = |total_ms, idle_ms| TimeoutsDraft { first_byte_ms: 0, total_ms, idle_ms };
    for (limits, request, reason) in [
        (limits(200, 0), half, "CLIENT_TIMEOUT"),
        (limits(0, 200), half, "CLIENT_TIMEOUT"),
        // By then a machine that is busy must have filled what the client does not read.
        (limits(1_500, 0), large, "CLIENT_STALLED"),
        (limits(0, 500), large, "CLIENT_STALLED"),
    ] {
        for way in WAYS.into_iter().filter(|way| way.engine == "own") {
            let gateway = impatient(way, backend.address, &limits).await;
            let _client = stuck(way, &gateway, request, reason).await;
            gateway.counts(&format!("gateway_requests_failed_total{{reason=\"{reason}\"}} 1")).await;
            gateway.counts("gateway_retries_total{outcome=\"sent\"} 0").await;
            assert_eq!(gateway.ask(GET).await.status, 200, "its breaker is closed, after {reason}: {way:?}");
        }
    }
}

/// A gateway with limits of time before a backend whose first failure opens its breaker.
async fn impatient(way: Way, backend: std::net::SocketAddr, limits: &TimeoutsDraft) -> Gateway {
    let mut gateway = Gateway::start(&["--gateway-engine", way.engine]);
    let mut pool = way.pool(&[backend]).await;
    pool.circuit_breaker = Some(CircuitBreakerDraft { failure_threshold: 1, ..Default::default() });
    let mut route = to_pool("p");
    timeouts(&mut route, limits.clone());
    if let Some(forward) = &mut route.forward {
        // A try may take less time than that; the client's pauses are none of it.
        forward.retry = Some(RetryDraft { per_try_ms: 50, ..RetryDraft::default() });
    }
    gateway.pool_of("p", &pool);
    gateway.route("r", &route);
    gateway.swap();
    gateway
}

/// A client that sends no more than this, and reads nothing but what it is told of that.
async fn stuck(way: Way, gateway: &Gateway, request: &str, reason: &str) -> Box<dyn std::any::Any> {
    let is_told = reason == "CLIENT_TIMEOUT";
    match way.connect(gateway).await {
        Either::Http1(mut client) => {
            client.send(request).await;
            if is_told {
                assert_eq!(failed(&client.response().await), (408, Some(reason)));
            }
            Box::new(client)
        }
        Either::Http2(client) => {
            let (head, part) = request.split_once("\r\n\r\n").expect("a head");
            let (response, mut stream) = client.begin(head, part.is_empty()).await;
            if is_told {
                stream.send_data(part.to_owned().into(), false).expect("sent");
                assert_eq!(failed(&whole(response).await), (408, Some(reason)), "{way:?}");
                return Box::new((client, stream));
            }
            Box::new((client, in_time("a head", response).await.expect("a head")))
        }
    }
}

#[tokio::test]
async fn the_time_to_the_first_byte_begins_when_the_request_is_out() {
    let backend = Backend::echo().await;
    let limits = TimeoutsDraft { first_byte_ms: 1_500, total_ms: 0, idle_ms: 20_000 };
    let gateway = Gateway::before_with(backend.address, &[], |draft| timeouts(draft, limits));
    let mut client = gateway.connect().await;
    client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n").await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(180)).await;
        client.send("x").await;
    }
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn a_connection_that_does_not_open_in_time_is_a_504() {
    // A full queue of a listener that nobody accepts from: the kernel lets the next connect wait.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("address");
    socket.bind(&any.into()).expect("binds");
    socket.listen(0).expect("listens");
    let address = socket.local_addr().expect("addr").as_socket().expect("ip");
    let mut filling = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await
    {
        filling.push(stream);
    }
    let mut gateway = Gateway::start(&[]);
    let backends = vec![hotswap_matcher::BackendDraft {
        address: address.to_string(),
        weight: None,
        ..Default::default()
    }];
    gateway.pool_of("p", &PoolDraft { backends, connect_timeout_ms: 100, ..PoolDraft::default() });
    gateway.route("r", &to_pool("p"));
    gateway.swap();
    assert_eq!(failed(&gateway.ask(GET).await), (504, Some("CONNECT_TIMEOUT")));
}

#[tokio::test]
async fn a_body_that_the_backend_cuts_is_cut_for_the_client_in_every_framing() {
    let backend = Backend::each(|_, mut wire| async move {
        let head = wire.request_head().await.unwrap_or_default();
        if head.starts_with("GET /chunked") {
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n").await;
        } else {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin").await;
        }
    })
    .await;
    let gateway = Gateway::before(backend.address);
    for path in ["/chunked", "/length"] {
        for version in ["1.1", "1.0"] {
            let response = gateway.ask(&format!("GET {path} HTTP/{version}\r\nhost: h\r\n\r\n")).await;
            assert_eq!(response.status, 200);
            assert!(!response.whole, "{path} {version}: {response:?}");
        }
    }
    gateway.counts("gateway_requests_failed_total{reason=\"BACKEND_CUT\"} 4").await;
}

#[tokio::test]
async fn a_response_that_stands_still_is_cut() {
    let backend = Backend::each(|_, mut wire| async move {
        let _ = wire.request().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin").await;
        let _ = wire.ended().await;
    })
    .await;
    for (limits, reason) in [
        (TimeoutsDraft { idle_ms: 100, ..TimeoutsDraft::default() }, "IDLE_TIMEOUT"),
        (TimeoutsDraft { total_ms: 100, ..TimeoutsDraft::default() }, "TOTAL_TIMEOUT"),
    ] {
        for way in WAYS {
            let gateway = way.before(backend.address, &[], |draft| timeouts(draft, limits.clone())).await;
            let response = way.ask(&gateway, GET).await;
            assert!(response.status == 200 && !response.whole, "{way:?} {response:?}");
            gateway.counts(&format!("gateway_requests_failed_total{{reason=\"{reason}\"}} 1")).await;
        }
    }
}

#[tokio::test]
async fn a_slow_response_that_moves_is_not_cut() {
    let backend = Backend::each(|_, mut wire| async move {
        let _ = wire.request().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n").await;
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            wire.send("x").await;
        }
        let _ = wire.ended().await;
    })
    .await;
    let limits = TimeoutsDraft { idle_ms: 1_700, ..TimeoutsDraft::default() };
    let gateway = Gateway::before_with(backend.address, &[], |draft| timeouts(draft, limits));
    let response = gateway.ask(GET).await;
    assert!(response.whole && response.text() == "xxxxxxxx", "{response:?}");
}

#[tokio::test]
async fn a_kept_connection_that_the_backend_closed_costs_no_request() {
    // The backend closes each connection when the second request on it has come.
    let backend = Backend::each(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = wire.more().await;
        }
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    for _ in 0..20 {
        client.send(GET).await;
        assert_eq!(client.response().await.text(), "ok");
    }
    // Each second one met a closed connection, and went out once more.
    assert_eq!(backend.connections(), 20);
    gateway.counts("gateway_upstream_retries_total 19").await;
}

#[tokio::test]
async fn a_request_that_may_have_taken_effect_is_not_sent_again() {
    let backend = Backend::each(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = wire.request().await;
        }
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    let posts =
        ["POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi", "POST / HTTP/1.1\r\nhost: h\r\n\r\n"];
    for post in posts {
        client.send(GET).await;
        assert_eq!(client.response().await.text(), "ok");
        client.send(post).await;
        assert_eq!(failed(&client.response().await), (502, Some("BACKEND_CLOSED")));
    }
    assert_eq!(backend.connections(), 2);
}
