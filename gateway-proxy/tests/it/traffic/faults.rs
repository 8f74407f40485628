//! Requests that fail or wait on purpose.

use std::net::SocketAddr;

use hotswap_matcher::{
    BalancingDraft, CircuitBreakerDraft, ConcurrencyDraft, FaultAbortDraft, FaultDelayDraft, FaultDraft,
    LoadBalancingDraft, RetryDraft, StickyCookieDraft, TimeoutsDraft, TrafficDraft,
};

use super::{GET, gateway};
use crate::health::standing;
use crate::http2_alike::Either;
use crate::rollouts::is_about;
use crate::support::*;
use crate::ways::{FROM_HTTP1, WAYS};

const FROM_A: &str = "HTTP/1.1 200 OK\r\nx-from: a\r\ncontent-length: 0\r\n\r\n";
const FROM_B: &str = "HTTP/1.1 200 OK\r\nx-from: b\r\ncontent-length: 0\r\n\r\n";
const SLOWLY: &str = "GET / HTTP/1.1\r\nhost: h\r\nx-fault: 1\r\n\r\n";

/// The own engine before these backends; requests with x-fault wait so long.
fn waiting(delay_ms: u32, backends: &[SocketAddr], balancing: LoadBalancingDraft) -> Gateway {
    let mut gateway = Gateway::start(&["--gateway-engine", "own"]);
    let delay = Some(FaultDelayDraft { delay_ms, share_bps: 10_000 });
    let fault = Some(FaultDraft { delay, header: "x-fault".into(), ..FaultDraft::default() });
    let concurrency = Some(ConcurrencyDraft { max_requests: 100, retry_after_s: 0 });
    let mut route = to_pool("p");
    route.traffic = Some(Box::new(TrafficDraft { fault, concurrency, ..TrafficDraft::default() }));
    if let Some(forward) = &mut route.forward {
        forward.retry = Some(RetryDraft::default());
    }
    let sticky_cookie = Some(StickyCookieDraft::default());
    let mut pool = of_backends(backends);
    pool.load_balancing = balancing;
    pool.balancing = Some(BalancingDraft { sticky_cookie, ..BalancingDraft::default() });
    gateway.pool_of("p", &pool);
    gateway.route("r", &route);
    gateway.swap();
    gateway
}

#[tokio::test]
async fn a_request_that_waits_on_purpose_may_come_in_pieces_and_its_connection_goes_on() {
    let backend = Backend::echo().await;
    for way in FROM_HTTP1 {
        let delay = Some(FaultDelayDraft { delay_ms: 50, share_bps: 10_000 });
        let fault = Some(FaultDraft { delay, ..FaultDraft::default() });
        let traffic = TrafficDraft { fault, ..TrafficDraft::default() };
        let waits = gateway(way, backend.address, traffic).await;
        let mut client = waits.connect().await;
        for _ in 0..2 {
            client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\na").await;
            client.send("bc").await;
            let response = client.response().await;
            assert_eq!(response.status, 200);
            assert!(response.text().ends_with("abc"), "{way:?} {}", response.text());
        }
    }
}

#[tokio::test]
async fn requests_fail_and_wait_on_purpose_where_a_header_asks_for_it() {
    let backend = Backend::echo().await;
    let fault = |abort, delay| TrafficDraft {
        fault: Some(FaultDraft { abort, delay, header: "x-fault".into() }),
        ..TrafficDraft::default()
    };
    let delay = Some(FaultDelayDraft { delay_ms: 50, share_bps: 10_000 });
    let abort = Some(FaultAbortDraft { status: 418, share_bps: 10_000 });
    for way in WAYS {
        let waits = gateway(way, backend.address, fault(None, delay.clone())).await;
        let began = std::time::Instant::now();
        let post = "POST / HTTP/1.1\r\nhost: h\r\nx-fault: 1\r\ncontent-length: 3\r\n\r\nabc";
        let response = way.ask(&waits, post).await;
        assert!(response.status == 200 && response.text().ends_with("abc"), "{way:?} {}", response.text());
        // It can't have been sooner.
        assert!(began.elapsed().as_millis() >= 50);
        let fails = gateway(way, backend.address, fault(abort.clone(), None)).await;
        assert_eq!(way.ask(&fails, GET).await.status, 200, "nothing asks for it");
        let failed = way.ask(&fails, "GET / HTTP/1.1\r\nhost: h\r\nx-fault: 1\r\n\r\n").await;
        assert_eq!((failed.status, failed.reason()), (418, Some("FAULT_INJECTED")), "{way:?}");
    }
}

#[tokio::test]
async fn a_wait_on_purpose_is_none_of_the_time_that_a_backend_has() {
    let backend = Backend::always("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut gateway = Gateway::start(&["--gateway-engine", "own"]);
    let mut route = to_pool("p");
    timeouts(&mut route, TimeoutsDraft { total_ms: 250, ..TimeoutsDraft::default() });
    if let Some(forward) = &mut route.forward {
        forward.retry = Some(RetryDraft { per_try_ms: 100, ..RetryDraft::default() });
    }
    let delay = Some(FaultDelayDraft { delay_ms: 400, share_bps: 10_000 });
    let fault = Some(FaultDraft { delay, ..FaultDraft::default() });
    route.traffic = Some(Box::new(TrafficDraft { fault, ..TrafficDraft::default() }));
    let mut pool = of_backends(&[backend.address]);
    pool.circuit_breaker = Some(CircuitBreakerDraft { failure_threshold: 1, ..Default::default() });
    gateway.pool_of("p", &pool);
    gateway.route("r", &route);
    gateway.swap();
    for _ in 0..2 {
        assert_eq!(gateway.ask(GET).await.status, 200);
    }
    gateway.counts("gateway_retries_total{outcome=\"sent\"} 0").await;
}

#[tokio::test]
async fn a_client_that_leaves_while_its_request_waits_on_purpose_gives_its_place_back() {
    let backend = Backend::echo().await;
    for way in FROM_HTTP1 {
        let fault = Some(FaultDraft {
            delay: Some(FaultDelayDraft { delay_ms: 60_000, share_bps: 10_000 }),
            ..FaultDraft::default()
        });
        let concurrency = Some(ConcurrencyDraft { max_requests: 1, retry_after_s: 0 });
        let traffic = TrafficDraft { fault, concurrency, ..TrafficDraft::default() };
        let gateway = gateway(way, backend.address, traffic).await;
        let mut client = gateway.connect().await;
        client.send(GET).await;
        gateway.counts("gateway_traffic_in_flight{route=\"routes/r\"} 1").await;
        assert_eq!(gateway.ask(GET).await.status, 503);
        drop(client);
        gateway.counts("gateway_traffic_in_flight{route=\"routes/r\"} 0").await;
    }
}

#[tokio::test]
async fn a_request_that_waits_on_purpose_is_at_no_backend_meanwhile() {
    let (a, b) = (Backend::always(FROM_A).await, Backend::always(FROM_B).await);
    let both = [a.address, b.address];
    let gateway = waiting(60_000, &both, LoadBalancingDraft::LeastConnections);
    for mut client in Either::both(&gateway).await.into_iter().chain(Either::both(&gateway).await) {
        spawn(async move { client.ask(SLOWLY).await });
    }
    gateway.counts("gateway_traffic_in_flight{route=\"routes/r\"} 4").await;
    let active: Vec<_> = standing(&gateway).iter().map(|backend| backend.active).collect();
    assert_eq!(active, [0, 0], "none of them has anything to do");
}

#[tokio::test]
async fn who_has_waited_on_purpose_takes_one_turn_as_others_do() {
    let (a, b) = (Backend::always(FROM_A).await, Backend::always(FROM_B).await);
    let gateway = waiting(1, &[a.address, b.address], LoadBalancingDraft::RoundRobin);
    for mut client in Either::both(&gateway).await {
        let mut from = [0, 0];
        for _ in 0..10 {
            let response = client.ask(SLOWLY).await;
            assert!(response.header("set-cookie").is_some(), "{}", response.head);
            from[usize::from(response.header("x-from") == Some("b"))] += 1;
        }
        assert_eq!(from, [5, 5]);
    }
}

#[tokio::test]
async fn who_has_waited_on_purpose_is_tried_elsewhere_where_nobody_answers() {
    let gone = Backend::always(FROM_A).await;
    let (nobody, b) = (gone.address, Backend::always(FROM_B).await);
    gone.end().await;
    let gateway = waiting(1, &[nobody, b.address], LoadBalancingDraft::RoundRobin);
    for mut client in Either::both(&gateway).await {
        for _ in 0..4 {
            let response = client.ask(SLOWLY).await;
            assert_eq!((response.status, response.header("x-from")), (200, Some("b")));
        }
    }
    let gateway = waiting(1, &[nobody], LoadBalancingDraft::RoundRobin);
    assert_eq!(gateway.ask(SLOWLY).await.reason(), Some("CONNECT_FAILED"));
    let gateway = waiting(60_000, &[], LoadBalancingDraft::RoundRobin);
    assert_eq!(gateway.ask(SLOWLY).await.reason(), Some("NO_BACKEND"), "it waits for nobody");
}

#[tokio::test]
async fn the_share_of_requests_fails_that_the_route_says_and_the_others_pass() {
    const ALL: u64 = 1_000;
    let backend = Backend::always(FROM_A).await;
    for way in WAYS {
        let abort = Some(FaultAbortDraft { status: 503, share_bps: 3_000 });
        let fault = Some(FaultDraft { abort, ..FaultDraft::default() });
        let gateway = gateway(way, backend.address, TrafficDraft { fault, ..TrafficDraft::default() }).await;
        let mut client = way.connect(&gateway).await;
        let mut failed = 0;
        for _ in 0..ALL {
            let response = client.ask(GET).await;
            let reason = (response.status != 200).then_some("FAULT_INJECTED");
            assert_eq!(response.reason(), reason, "{way:?}");
            failed += u64::from(reason.is_some());
        }
        assert!(is_about(failed, ALL, 3_000), "{way:?}: {failed}");
        let line = r#"gateway_requests_failed_total{reason="FAULT_INJECTED"}"#;
        gateway.counts(&format!("{line} {failed}")).await;
    }
}
