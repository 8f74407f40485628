//! Routes that split their requests between pools, on real sockets.

use std::collections::BTreeMap;
use std::time::Duration;

use hotswap_core::{PoolName, ResourceName as _};
use hotswap_matcher::{
    BalancingDraft, CandidateSpec, ExposureDraft, ForwardDraft, PoolDraft, PoolSpec, RetryDraft, RouteDraft,
    StickyCookieDraft, WeightedPoolDraft,
};

use crate::gateway_process::two_backends;
use crate::rollouts::{ENGINES, GET, OTHER, is_about, who};
use crate::shadows::{shadow, that_keeps};
use crate::support::*;
use crate::ways::TO_HTTP1;

const ALL: u64 = 2_000;
const C: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nc";
const DOWN: &str = "HTTP/1.1 503 Down\r\ncontent-length: 4\r\n\r\ndown";

fn split(pools: &[(&str, u32)]) -> RouteDraft {
    let weighted = |(pool, weight): &(&str, u32)| WeightedPoolDraft {
        pool: format!("pools/{pool}"),
        weight: Some(*weight),
    };
    let split = Some(pools.iter().map(weighted).collect());
    RouteDraft { forward: Some(ForwardDraft { split, ..ForwardDraft::default() }), ..RouteDraft::default() }
}

/// A gateway whose only route splits requests between pools of one backend each.
fn gateway(engine: &str, pools: &[(&str, &Backend)], route: &RouteDraft) -> Gateway {
    let mut gateway = Gateway::start(&["--gateway-engine", engine]);
    for (name, backend) in pools {
        gateway.pool(name, &[backend.address]);
    }
    gateway.route("r", route);
    gateway.swap();
    gateway
}

/// How often each answer came to so many requests on one connection: its text, or the reason of the gateway.
async fn answers(gateway: &Gateway, all: u64) -> BTreeMap<String, u64> {
    let mut client = gateway.connect().await;
    let mut answers = BTreeMap::new();
    for _ in 0..all {
        client.send(GET).await;
        let response = client.response().await;
        let told = response.reason().map_or_else(|| response.text(), str::to_owned);
        *answers.entry(told).or_default() += 1;
    }
    answers
}

fn count(answers: &BTreeMap<String, u64>, of: &str) -> u64 {
    answers.get(of).copied().unwrap_or_default()
}

#[tokio::test]
async fn each_pool_gets_its_share_and_one_without_weight_nothing() {
    let ((a, b), c) = (two_backends().await, Backend::always(C).await);
    let pools = [("a", &a), ("b", &b), ("c", &c)];
    for way in TO_HTTP1 {
        let gateway = gateway(way.engine, &pools, &split(&[("a", 7), ("b", 3), ("c", 0)]));
        let mut client = way.connect(&gateway).await;
        let mut met = BTreeMap::new();
        for _ in 0..ALL {
            *met.entry(client.ask(GET).await.text()).or_insert(0) += 1;
        }
        assert!(is_about(count(&met, "b"), ALL, 3_000) && count(&met, "c") == 0, "{way:?}: {met:?}");
    }
    assert_eq!(c.connections(), 0);
}

#[tokio::test]
async fn weights_change_without_a_failed_request() {
    let (a, b) = two_backends().await;
    for engine in ENGINES {
        let mut gateway = gateway(engine, &[("a", &a), ("b", &b)], &split(&[("a", 1), ("b", 0)]));
        let mut client = gateway.connect().await;
        for round in 0..50 {
            let (weight, other) = (u32::from(round % 2 == 0), u32::from(round % 2 == 1));
            gateway.route("r", &split(&[("a", weight), ("b", other)]));
            gateway.swap();
            client.send(GET).await;
            assert_eq!(client.response().await.text(), if round % 2 == 0 { "a" } else { "b" }, "{engine}");
        }
    }
}

#[tokio::test]
async fn tries_of_a_request_stay_with_the_pool_that_was_drawn() {
    let (good, bad) = (Backend::always(OTHER).await, Backend::always(DOWN).await);
    for engine in ENGINES {
        let mut route = split(&[("good", 1), ("bad", 1)]);
        let retry = RetryDraft { max_retries: 5, base_backoff_ms: 1, ..RetryDraft::default() };
        route.forward.as_mut().expect("forwards").retry =
            Some(RetryDraft { max_backoff_ms: 1, budget_percent: 100, ..retry });
        let gateway = gateway(engine, &[("good", &good), ("bad", &bad)], &route);
        let met = answers(&gateway, 400).await;
        assert!(is_about(count(&met, "b"), 400, 5_000), "{engine}: {met:?}");
        assert_eq!(count(&met, "down") + count(&met, "b"), 400, "{engine}: {met:?}");
        let none = "gateway_retries_total{outcome=\"sent\"} 0";
        assert!(!gateway.metrics().lines().any(|line| line == none), "it was tried again");
        let saved = "gateway_retries_total{outcome=\"saved\"} 0";
        assert!(gateway.metrics().lines().any(|line| line == saved), "and in vain");
    }
}

#[tokio::test]
async fn a_pool_without_backends_keeps_its_share_and_fails_it() {
    let (a, _) = two_backends().await;
    for engine in ENGINES {
        let mut gateway = gateway(engine, &[("a", &a)], &split(&[("a", 3), ("b", 1)]));
        let met = answers(&gateway, ALL).await;
        assert!(is_about(count(&met, "POOL_MISSING"), ALL, 2_500), "{engine}: {met:?}");
        gateway.pool("b", &[]);
        gateway.swap();
        let met = answers(&gateway, ALL).await;
        assert!(is_about(count(&met, "NO_BACKEND"), ALL, 2_500), "{engine}: {met:?}");
        assert_eq!(count(&met, "a") + count(&met, "NO_BACKEND"), ALL);
    }
}

fn sticky(backend: &Backend) -> PoolDraft {
    let sticky_cookie = Some(StickyCookieDraft::default());
    PoolDraft {
        balancing: Some(BalancingDraft { sticky_cookie, ..BalancingDraft::default() }),
        ..of_backends(&[backend.address])
    }
}

/// The first cookie that comes with this answer.
async fn cookie_of(gateway: &Gateway, answer: &str) -> String {
    loop {
        let response = gateway.ask(GET).await;
        if response.text() == answer {
            let line = response.header("set-cookie").expect("a cookie");
            return line.split(';').next().expect("a pair").to_owned();
        }
    }
}

#[tokio::test]
async fn a_sticky_cookie_leads_back_to_its_pool_while_that_has_a_weight() {
    let (a, b) = two_backends().await;
    for engine in ENGINES {
        let mut gateway = gateway(engine, &[], &split(&[("a", 1), ("b", 1)]));
        gateway.pool_of("a", &sticky(&a));
        gateway.pool_of("b", &sticky(&b));
        gateway.swap();
        for name in ["a", "b"] {
            let cookie = cookie_of(&gateway, name).await;
            let request = format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: x=1; {cookie}\r\n\r\n");
            for _ in 0..30 {
                let response = gateway.ask(&request).await;
                assert_eq!(
                    (response.text().as_str(), response.header("set-cookie")),
                    (name, None),
                    "{engine}"
                );
            }
        }
        let cookie = cookie_of(&gateway, "b").await;
        gateway.route("r", &split(&[("a", 1), ("b", 0)]));
        gateway.swap();
        let request = format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: {cookie}\r\n\r\n");
        assert_eq!(gateway.ask(&request).await.text(), "a", "{engine}: no weight, no requests");
    }
}

#[tokio::test]
async fn a_cookie_of_a_candidates_backend_is_one_of_its_pool() {
    let ((a, b), c) = (two_backends().await, Backend::always(C).await);
    let mut gateway = gateway("own", &[("a", &a)], &split(&[("a", 1), ("b", 1)]));
    let spec = |backend| PoolSpec::parse(&sticky(backend)).expect("valid");
    let all = CandidateSpec::parse(&who(1, Some(ExposureDraft::ShareBps(10_000)), None)).expect("valid");
    gateway.catalog.put_pool_with(&PoolName::from_id("b").expect("id"), &spec(&b), Some((&spec(&c), all)));
    gateway.swap();
    let cookie = cookie_of(&gateway, "c").await;
    let request = format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: {cookie}\r\n\r\n");
    for _ in 0..30 {
        assert_eq!(gateway.ask(&request).await.text(), "c");
    }
}

#[tokio::test]
async fn both_revisions_of_a_route_split_as_each_says() {
    let ((a, b), c) = (two_backends().await, Backend::always(C).await);
    for engine in ENGINES {
        let mut gateway = gateway(engine, &[("a", &a), ("b", &b), ("c", &c)], &to_pool("a"));
        let half = who(1, Some(ExposureDraft::ShareBps(5_000)), None);
        gateway.route_with("r", &split(&[("a", 1), ("b", 1)]), &split(&[("c", 1), ("b", 0)]), &half);
        gateway.swap();
        let met = answers(&gateway, ALL).await;
        assert!(is_about(count(&met, "c"), ALL, 5_000), "{engine}: {met:?}");
        assert!(is_about(count(&met, "b"), ALL, 2_500), "{engine}: {met:?}");
    }
}

#[tokio::test]
async fn what_goes_to_a_pool_with_a_shadow_is_copied_to_it_and_nothing_else() {
    let ((a, b), (other, kept)) = (two_backends().await, that_keeps(OTHER).await);
    for engine in ENGINES {
        kept.lock().expect("free").clear();
        let mut gateway = gateway(engine, &[("a", &a)], &split(&[("a", 1), ("b", 1)]));
        gateway.pool_with("b", b.address, other.address, &shadow(10_000));
        gateway.swap();
        let met = answers(&gateway, 60).await;
        let copies = count(&met, "b");
        gateway.counts(&format!("gateway_shadow_requests_total{{result=\"sent\"}} {copies}")).await;
        gateway.counts("gateway_shadow_requests_total{result=\"dropped\"} 0").await;
        // They are counted when they go out.
        let arrive = async {
            while (kept.lock().expect("free").len() as u64) < copies {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        in_time("copies", arrive).await;
        assert_eq!(kept.lock().expect("free").len() as u64, copies, "{engine}: {met:?}");
    }
}
