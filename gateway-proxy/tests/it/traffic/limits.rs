//! Limits: requests at a time, bytes of a request, requests in a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hotswap_matcher::{
    ConcurrencyDraft, FaultDelayDraft, FaultDraft, RateLimitDraft, RequestLimitsDraft, TrafficDraft,
};
use tokio::sync::{Notify, mpsc};

use super::{GET, from, gateway};
use crate::http2_alike::Either;
use crate::http2_backends::{Backend2, begin, pool_of, with_route};
use crate::http2_support::{Http2, body, whole};
use crate::support::*;
use crate::ways::{FROM_HTTP1, TO_BOTH, WAYS};

#[tokio::test]
async fn one_request_too_many_is_shed_at_once_and_places_are_given_back() {
    for way in FROM_HTTP1 {
        let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let held = (Arc::clone(&arrived), Arc::clone(&go));
        let backend = Backend::each(move |_, mut wire| {
            let (arrived, go) = held.clone();
            async move {
                while wire.request().await.is_some() {
                    arrived.notify_one();
                    go.notified().await;
                    wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        })
        .await;
        let concurrency = Some(ConcurrencyDraft { max_requests: 2, retry_after_s: 7 });
        let traffic = TrafficDraft { concurrency, ..TrafficDraft::default() };
        let mut gateway = gateway(way, backend.address, traffic).await;
        let mut clients = vec![gateway.connect().await, gateway.connect().await];
        for client in &mut clients {
            client.send(GET).await;
            in_time("arrival", arrived.notified()).await;
        }
        gateway.counts("gateway_traffic_in_flight{route=\"routes/r\"} 2").await;
        // A swap in the middle forgets nobody.
        let mut route = to_pool("p");
        let concurrency = Some(ConcurrencyDraft { max_requests: 2, retry_after_s: 9 });
        route.traffic = Some(Box::new(TrafficDraft { concurrency, ..TrafficDraft::default() }));
        gateway.route("r", &route);
        gateway.swap();
        let shed = gateway.ask(GET).await;
        assert_eq!((shed.status, shed.reason()), (503, Some("CONCURRENCY_LIMIT")), "{way:?}");
        assert_eq!(shed.header("retry-after"), Some("9"));
        // One goes away in the middle, the other is answered: both places are free again.
        drop(clients.pop());
        go.notify_one();
        go.notify_one();
        assert_eq!(clients[0].response().await.status, 200);
        gateway.counts("gateway_traffic_in_flight{route=\"routes/r\"} 0").await;
        clients[0].send(GET).await;
        in_time("arrival", arrived.notified()).await;
        go.notify_one();
        assert_eq!(clients[0].response().await.status, 200);
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_for_its_route_is_refused_and_no_backend_gets_it_whole() {
    for way in WAYS {
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        let backend = Backend::each(move |_, mut wire| {
            let count = Arc::clone(&count);
            async move {
                while wire.request().await.is_some() {
                    count.fetch_add(1, Ordering::SeqCst);
                    wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        })
        .await;
        let mut passed = 0;
        let limits = Some(RequestLimitsDraft { max_body_bytes: 10, max_head_bytes: 256, max_headers: 6 });
        let traffic = TrafficDraft { limits, ..TrafficDraft::default() };
        let gateway = gateway(way, backend.address, traffic).await;
        let post = |body: &str| {
            format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        };
        let chunked = |body: &str| {
            let len = body.len();
            format!(
                "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n{len:x}\r\n{body}\r\n0\r\n\r\n"
            )
        };
        for (request, status, reason) in [
            (post("0123456789"), 200, None),
            (chunked("0123456789"), 200, None),
            (post("0123456789a"), 413, Some("BODY_TOO_LARGE")),
            (chunked("0123456789a"), 413, Some("BODY_TOO_LARGE")),
            (format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "a".repeat(300)), 431, Some("HEAD_TOO_LARGE")),
            (
                format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "a".repeat(250)),
                431,
                Some("HEAD_TOO_LARGE"),
            ),
            (format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "a".repeat(240)), 200, None),
            (
                format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: 1\r\n".repeat(6)),
                431,
                Some("HEAD_TOO_LARGE"),
            ),
        ] {
            let response = way.ask(&gateway, &request).await;
            let found = (response.status, response.reason());
            assert_eq!(found, (status, reason), "{way:?} {request}");
            passed += usize::from(status == 200);
            assert_eq!(reached.load(Ordering::SeqCst), passed, "{way:?} {request}");
        }
    }
}

#[tokio::test]
async fn a_body_that_grows_too_large_costs_its_own_stream_to_the_backend_alone() {
    let (came, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, mut bodies) = mpsc::unbounded_channel();
    let held = (Arc::clone(&came), Arc::clone(&go));
    let backend = Backend2::each(move |mut asked| {
        let ((came, go), told) = (held.clone(), told.clone());
        async move {
            came.notify_one();
            if asked.request.uri().path() == "/held" {
                go.notified().await;
                return begin(&mut asked.respond).send_data("ok".into(), true).expect("open");
            }
            told.send(body(asked.request.into_body()).await.1).expect("the test waits");
        }
    })
    .await;
    let mut route = to_pool("p");
    let limits = Some(RequestLimitsDraft { max_body_bytes: 10, ..RequestLimitsDraft::default() });
    route.traffic = Some(Box::new(TrafficDraft { limits, ..TrafficDraft::default() }));
    let gateway = with_route(&pool_of(&[backend.address]), &route);
    for client in Either::both(&gateway).await {
        let address = gateway.address();
        let patient = spawn(async move {
            let mut client = Client::connect(address).await;
            client.send("GET /held HTTP/1.1\r\nhost: h\r\n\r\n").await;
            client.response().await.text()
        });
        in_time("the patient one", came.notified()).await;
        let refused = match client {
            Either::Http1(mut client) => {
                let head = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
                client.send(format!("{head}5\r\n01234\r\n")).await;
                in_time("the other", came.notified()).await;
                client.send("6\r\n56789a\r\n").await;
                client.response().await
            }
            Either::Http2(client) => {
                let (response, mut stream) = client.begin("POST / HTTP/1.1\r\n", false).await;
                stream.send_data("01234".into(), false).expect("open");
                in_time("the other", came.notified()).await;
                stream.send_data("56789a".into(), false).expect("open");
                whole(response).await
            }
        };
        assert_eq!((refused.status, refused.reason()), (413, Some("BODY_TOO_LARGE")));
        assert_eq!(in_time("its body", bodies.recv()).await, Some(false), "it is cut");
        go.notify_one();
        assert_eq!(in_time("the patient one", patient).await.expect("no panic"), "ok");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_rate_limit_holds_for_all_cores_and_over_swaps_and_says_when_to_come_again() {
    let backend = Backend::always("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for way in FROM_HTTP1 {
        let limit = RateLimitDraft { requests: 20, period_ms: 3_600_000, ..RateLimitDraft::default() };
        let traffic = TrafficDraft { rate_limit: Some(limit.clone()), ..TrafficDraft::default() };
        let mut gateway = gateway(way, backend.address, traffic.clone()).await;
        let (stop, passed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = Vec::new();
        for _ in 0..8 {
            let (stop, passed, address) = (Arc::clone(&stop), Arc::clone(&passed), gateway.address());
            clients.push(spawn(async move {
                let mut client = Client::connect(address).await;
                while !stop.load(Ordering::SeqCst) {
                    client.send(GET).await;
                    match client.response().await.status {
                        200 => _ = passed.fetch_add(1, Ordering::SeqCst),
                        status => assert_eq!(status, 429),
                    }
                }
            }));
        }
        for round in 0..100 {
            let mut route = to_pool("p");
            route.display_name = format!("round {round}");
            route.traffic = Some(Box::new(traffic.clone()));
            gateway.route("r", &route);
            gateway.swap();
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            client.await.expect("no other answer");
        }
        assert_eq!(passed.load(Ordering::SeqCst), 20, "{way:?}");
        let refused = gateway.ask(GET).await;
        assert_eq!((refused.status, refused.reason()), (429, Some("RATE_LIMITED")));
        assert_eq!(refused.header("ratelimit-policy"), Some("\"route\";q=20;w=3600"));
        assert!(refused.header("ratelimit").is_some_and(|v| v.starts_with("\"route\";r=0;t=")));
        let wait: u32 = refused.header("retry-after").and_then(|v| v.parse().ok()).expect("a number");
        assert!((1..=180).contains(&wait), "{wait}");
        // The bucket is empty still, but fills by the new rules from now on.
        let limit = RateLimitDraft { requests: 1_000_000, period_ms: 1, quiet: true, ..limit };
        let mut route = to_pool("p");
        route.traffic = Some(Box::new(TrafficDraft { rate_limit: Some(limit), ..TrafficDraft::default() }));
        gateway.route("r", &route);
        gateway.swap();
        let mut answer = gateway.ask(GET).await;
        while answer.status == 429 {
            answer = gateway.ask(GET).await;
        }
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
    }
}

#[tokio::test]
async fn each_key_of_a_rate_limit_has_its_own() {
    let backend = Backend::echo().await;
    let one = RateLimitDraft { requests: 1, period_ms: 3_600_000, ..RateLimitDraft::default() };
    for way in WAYS {
        let rate_limit = Some(RateLimitDraft { client_address: Some(true), ..one.clone() });
        let traffic = TrafficDraft { rate_limit, ..TrafficDraft::default() };
        let by_client = gateway(way, backend.address, traffic).await;
        for (address, status) in [
            ("192.0.2.1", 200),
            ("192.0.2.1", 429),
            ("::ffff:192.0.2.1", 429),
            ("192.0.2.2", 200),
            ("2001:db8::1", 200),
            ("2001:db8::2:3:4:5", 429),
            ("2001:db8:0:1::1", 200),
        ] {
            assert_eq!(way.ask(&by_client, &from(address)).await.status, status, "{way:?} {address}");
        }
        let rate_limit = Some(RateLimitDraft { header: Some("x-key".into()), ..one.clone() });
        let traffic = TrafficDraft { rate_limit, ..TrafficDraft::default() };
        let by_header = gateway(way, backend.address, traffic).await;
        for (headers, status) in
            [("x-key: a\r\n", 200), ("X-Key: a\r\n", 429), ("x-key: b\r\n", 200), ("", 200), ("", 429)]
        {
            let request = format!("GET / HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
            assert_eq!(way.ask(&by_header, &request).await.status, status, "{way:?} {headers}");
        }
    }
}

/// What holds a place, waits or comes in pieces, by streams of one connection.
#[tokio::test]
async fn streams_of_one_connection_hold_places_wait_and_share_limits() {
    let backend = Backend::echo().await;
    let fault = Some(FaultDraft {
        delay: Some(FaultDelayDraft { delay_ms: 60_000, share_bps: 10_000 }),
        header: "x-wait".into(),
        ..FaultDraft::default()
    });
    let concurrency = Some(ConcurrencyDraft { max_requests: 2, retry_after_s: 0 });
    let rate_limit = Some(RateLimitDraft { requests: 4, period_ms: 3_600_000, ..RateLimitDraft::default() });
    let traffic = TrafficDraft { fault, concurrency, rate_limit, ..TrafficDraft::default() };
    for way in TO_BOTH {
        let gateway = gateway(way, backend.address, traffic.clone()).await;
        let client = Http2::connect(&gateway).await;
        let waits = "GET / HTTP/1.1\r\nhost: h\r\nx-wait: 1";
        let (one, _) = client.begin(waits, true).await;
        let (two, mut body) = client.begin(&waits.replace("GET", "POST"), false).await;
        gateway.counts("gateway_traffic_in_flight{route=\"routes/r\"} 2").await;
        let shed = client.ask(GET).await;
        assert_eq!((shed.status, shed.reason()), (503, Some("CONCURRENCY_LIMIT")));
        // A stream that is reset gives its place back; the connection goes on.
        body.send_reset(h2::Reason::CANCEL);
        drop((one, two));
        gateway.counts("gateway_traffic_in_flight{route=\"routes/r\"} 0").await;
        let last = client.ask(GET).await;
        assert_eq!(
            (last.status, last.header("ratelimit").map(|v| v.starts_with("\"route\";r=0"))),
            (200, Some(true))
        );
        assert_eq!(client.ask(GET).await.reason(), Some("RATE_LIMITED"));
    }
}
