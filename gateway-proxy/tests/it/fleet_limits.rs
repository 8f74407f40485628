//! Rate limits that a fleet shares, with a Redis of one's own, for clients of both versions and on both engines.

use std::time::Duration;

use hotswap_matcher::{
    BackendDraft, BackendsDraft, ConcurrencyDraft, LoadBalancingDraft, MirrorDraft, RateFallbackDraft,
    RateLimitDraft, RateScopeDraft, TrafficDraft,
};
use hotswap_test_servers::{Redis, required};

use crate::health::standing;
use crate::http2_alike::Either;
use crate::shadows::that_keeps;
use crate::support::*;
use crate::ways::TO_BOTH;

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn shared(requests: u32) -> RateLimitDraft {
    let scope = RateScopeDraft::Fleet;
    RateLimitDraft { requests, period_ms: 3_600_000, scope, ..RateLimitDraft::default() }
}

fn gateway(engine: &str, backend: &Backend, redis: Option<&Redis>, limit: &RateLimitDraft) -> Gateway {
    let url = redis.map(Redis::url);
    let mut args = vec!["--gateway-engine", engine];
    // A machine that is busy must not look like a Redis that is away.
    args.extend(
        url.iter().flat_map(|url| ["--gateway-redis-url", url, "--gateway-redis-timeout-ms", "10000"]),
    );
    let traffic = TrafficDraft { rate_limit: Some(limit.clone()), ..TrafficDraft::default() };
    Gateway::before_with(backend.address, &args, |route| route.traffic = Some(Box::new(traffic)))
}

/// Waits until the gateway has its Redis: then requests are counted there.
async fn connected(gateway: &Gateway) {
    gateway.counts("limits_redis_connected 1").await;
}

/// How often the limits asked.
fn asked(redis: &Redis) -> u64 {
    let told = redis.command(&["INFO", "commandstats"]).expect("answers");
    let calls =
        told.lines().find_map(|l| l.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

#[tokio::test]
async fn gateways_let_as_much_pass_together_as_one_may() {
    let Some(redis) = required(Redis::start()) else { return };
    let backend = Backend::always(OK).await;
    let limit = shared(20);
    let fleet =
        [gateway("own", &backend, Some(&redis), &limit), gateway("hyper", &backend, Some(&redis), &limit)];
    connected(&fleet[0]).await;
    connected(&fleet[1]).await;
    let [one, two] = Either::both(&fleet[0]).await;
    let mut clients = [one, two, Either::Http1(fleet[1].connect().await)];
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..20 {
        for client in &mut clients {
            let response = client.ask(GET).await;
            match response.status {
                200 => passed += 1,
                status => {
                    assert_eq!((status, response.reason()), (429, Some("RATE_LIMITED")));
                    assert!(response.header("retry-after").is_some());
                    refused += 1;
                }
            }
            assert_eq!(response.header("ratelimit-policy"), Some("\"route\";q=20;w=3600"));
            assert!(response.header("ratelimit").is_some_and(|v| v.starts_with("\"route\";r=")));
        }
    }
    assert_eq!((passed, refused), (20, 40));
    // Each gateway asked once more, and then knew.
    assert!(asked(&redis) <= 22, "{}", asked(&redis));
    let line = "gateway_traffic_refused_total{reason=\"RATE_LIMITED\",route=\"routes/r\"} ";
    assert!(fleet.iter().all(|gateway| gateway.metrics().contains(line)));
}

#[tokio::test]
async fn what_the_fleet_refuses_is_not_copied_either() {
    let Some(redis) = required(Redis::start()) else { return };
    let backend = Backend::always(OK).await;
    let limit = RateLimitDraft { header: Some("x-key".into()), ..shared(1) };
    let other = gateway("own", &backend, Some(&redis), &limit);
    connected(&other).await;
    let url = redis.url();
    for engine in ["own", "hyper"] {
        let (mirror, kept) = that_keeps(OK).await;
        let args =
            ["--gateway-engine", engine, "--gateway-redis-url", &url, "--gateway-redis-timeout-ms", "10000"];
        let address = mirror.address.to_string();
        let limit = limit.clone();
        let gateway = Gateway::before_with(backend.address, &args, |route| {
            let backends = vec![BackendDraft { address, ..BackendDraft::default() }];
            let inline = Some(BackendsDraft { backends, ..BackendsDraft::default() });
            let mirror = Some(MirrorDraft { inline, ..MirrorDraft::default() });
            let traffic = TrafficDraft { rate_limit: Some(limit), mirror, ..TrafficDraft::default() };
            route.traffic = Some(Box::new(traffic));
        });
        connected(&gateway).await;
        let get = |key| format!("GET /{key} HTTP/1.1\r\nhost: h\r\nx-key: {engine}-{key}\r\n\r\n");
        let post = |key| {
            format!("POST /{key} HTTP/1.1\r\nhost: h\r\nx-key: {engine}-{key}\r\ncontent-length: 1\r\n\r\na")
        };
        // Only the answer of Redis tells this gateway that the others have used them up.
        for request in [get("no-get"), post("no-post")] {
            assert_eq!(other.ask(&request).await.status, 200);
            assert_eq!(gateway.ask(&request).await.status, 429, "{engine}");
        }
        for request in [get("get"), post("post")] {
            assert_eq!(gateway.ask(&request).await.status, 200, "{engine}");
        }
        gateway.counts("gateway_mirror_requests_total{result=\"sent\",route=\"routes/r\"} 2").await;
        let copied: Vec<_> = kept.lock().expect("free").iter().map(|copy| copy.contains("/no-")).collect();
        assert_eq!(copied, [false, false], "{engine}");
    }
}

#[tokio::test]
async fn keys_are_the_same_at_every_gateway_and_apart_from_each_other() {
    let Some(redis) = required(Redis::start()) else { return };
    let backend = Backend::always(OK).await;
    let limit = RateLimitDraft { header: Some("x-key".into()), ..shared(1) };
    let fleet = [(); 2].map(|()| gateway("own", &backend, Some(&redis), &limit));
    connected(&fleet[0]).await;
    connected(&fleet[1]).await;
    for (at, key, status) in
        [(0, "a", 200), (1, "a", 429), (1, "b", 200), (0, "b", 429), (0, "", 200), (1, "", 429)]
    {
        let request = format!("GET / HTTP/1.1\r\nhost: h\r\nx-key: {key}\r\n\r\n");
        assert_eq!(fleet[at].ask(&request).await.status, status, "{at} {key}");
    }
    let kept = redis.command(&["KEYS", "*"]).expect("answers");
    assert!(
        kept.lines().count() == 3 && kept.lines().all(|k| k.starts_with("hotswap-gateway:limit:routes/r:"))
    );
}

#[tokio::test]
async fn fleets_with_namespaces_of_their_own_share_a_redis_and_no_limits() {
    let Some(redis) = required(Redis::start()) else { return };
    let backend = Backend::always(OK).await;
    let url = redis.url();
    let fleet = |namespace: &str| {
        let args =
            ["--gateway-engine", "own", "--gateway-redis-url", &url, "--gateway-redis-timeout-ms", "10000"];
        let args = [&args[..], &["--gateway-redis-namespace", namespace]].concat();
        let traffic = TrafficDraft { rate_limit: Some(shared(1)), ..TrafficDraft::default() };
        Gateway::before_with(backend.address, &args, |route| route.traffic = Some(Box::new(traffic)))
    };
    let (staging, production, also) = (fleet("staging"), fleet("production"), fleet("production"));
    for gateway in [&staging, &production, &also] {
        connected(gateway).await;
    }
    for (gateway, status) in [(&staging, 200), (&production, 200), (&also, 429), (&staging, 429)] {
        assert_eq!(gateway.ask(GET).await.status, status);
    }
}

#[tokio::test]
async fn who_comes_to_the_end_while_the_gateway_stops_is_counted_by_the_fleet() {
    let Some(redis) = required(Redis::start()) else { return };
    let backend = Backend::always(OK).await;
    let limit = RateLimitDraft { fallback: Some(RateFallbackDraft::Refuse), ..shared(10) };
    let gateway = gateway("own", &backend, Some(&redis), &limit);
    connected(&gateway).await;
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nho").await;
    // The core has it when it has answered somebody who came later.
    assert_eq!(gateway.ask(GET).await.status, 200);
    gateway.plane.stop();
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(gateway.metrics().contains("limits_redis_connected 1"), "cores may ask yet");
    }
    client.send("st: h\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    gateway.counts("limits_redis_connected 0").await;
}

#[tokio::test]
async fn without_redis_each_route_does_what_it_says() {
    let backend = Backend::always(OK).await;
    let Some(mut redis) = required(Redis::start()) else { return };
    for (fallback, statuses, reason) in [
        (None, [200, 200, 429], Some("RATE_LIMITED")),
        (Some(RateFallbackDraft::Local), [200, 200, 429], Some("RATE_LIMITED")),
        (Some(RateFallbackDraft::Pass), [200, 200, 200], None),
        (Some(RateFallbackDraft::Refuse), [503, 503, 503], Some("LIMIT_UNAVAILABLE")),
    ] {
        for engine in ["own", "hyper"] {
            let limit = RateLimitDraft { fallback, ..shared(2) };
            let alone = gateway(engine, &backend, None, &limit);
            for status in statuses {
                let response = alone.ask(GET).await;
                assert_eq!(response.status, status, "{engine} {fallback:?}");
                let failed = status != 200;
                assert_eq!(response.reason(), reason.filter(|_| failed));
            }
        }
    }
    // What Redis said last counts on.
    let limit = shared(3);
    let gateway = gateway("own", &backend, Some(&redis), &limit);
    connected(&gateway).await;
    assert_eq!(gateway.ask(GET).await.status, 200);
    redis.kill().expect("dies");
    for status in [200, 200, 429] {
        assert_eq!(gateway.ask(GET).await.status, status);
    }
}

#[tokio::test]
async fn a_redis_that_hangs_holds_nobody_up_for_long() {
    let Some(redis) = required(Redis::start()) else { return };
    let backend = Backend::always(OK).await;
    let limit = RateLimitDraft { fallback: Some(RateFallbackDraft::Pass), ..shared(1_000) };
    let traffic = TrafficDraft { rate_limit: Some(limit), ..TrafficDraft::default() };
    let args = ["--gateway-engine", "own", "--gateway-redis-url", &redis.url()];
    let gateway =
        Gateway::before_with(backend.address, &args, |route| route.traffic = Some(Box::new(traffic)));
    connected(&gateway).await;
    let frozen = redis.freeze().expect("runs");
    for mut client in Either::both(&gateway).await {
        for _ in 0..50 {
            assert_eq!(client.ask(GET).await.status, 200);
        }
    }
    drop(frozen);
    // It is asked again once it is there.
    let before = asked(&redis);
    in_time("questions", async {
        while asked(&redis) == before {
            assert_eq!(gateway.ask(GET).await.status, 200);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_while_redis_is_asked_and_a_body_that_comes_meanwhile_are_no_trouble() {
    let Some(redis) = required(Redis::start()) else { return };
    let backend = Backend::echo().await;
    let body = "0123456789".repeat(30_000);
    for way in TO_BOTH {
        let mut gateway = gateway("own", &backend, Some(&redis), &shared(1_000));
        gateway.pool_of("p", &way.pool(&[backend.address]).await);
        gateway.swap();
        connected(&gateway).await;
        for _ in 0..20 {
            let mut client = gateway.connect().await;
            client.send(GET).await;
            drop(client);
        }
        for mut client in Either::both(&gateway).await {
            let post = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let response = client.ask(&post).await;
            assert!(response.status == 200 && response.text().ends_with(&body), "{way:?}");
        }
    }
}

#[tokio::test]
async fn a_request_that_the_fleet_is_asked_about_is_at_no_backend_meanwhile() {
    let Some(redis) = required(Redis::start()) else { return };
    let [a, b] = [Backend::always(OK).await, Backend::always(OK).await];
    let url = redis.url();
    // Longer than the test.
    let patient = ["--gateway-redis-url", &url, "--gateway-redis-timeout-ms", "600000"];
    let mut gateway = Gateway::start(&[&["--gateway-engine", "own"], &patient[..]].concat());
    let mut pool = of_backends(&[a.address, b.address]);
    pool.load_balancing = LoadBalancingDraft::LeastConnections;
    let mut route = to_pool("p");
    let concurrency = Some(ConcurrencyDraft { max_requests: 100, retry_after_s: 0 });
    let rate_limit = Some(shared(1_000));
    route.traffic = Some(Box::new(TrafficDraft { rate_limit, concurrency, ..TrafficDraft::default() }));
    gateway.pool_of("p", &pool);
    gateway.route("r", &route);
    gateway.swap();
    connected(&gateway).await;
    for mut client in Either::both(&gateway).await {
        assert_eq!(client.ask(GET).await.status, 200);
    }
    let frozen = redis.freeze().expect("runs");
    let clients = [Either::both(&gateway).await, Either::both(&gateway).await];
    let asking =
        clients.into_iter().flatten().map(|mut client| spawn(async move { client.ask(GET).await.status }));
    let asking: Vec<_> = asking.collect();
    gateway.counts("gateway_traffic_in_flight{route=\"routes/r\"} 4").await;
    let active: Vec<_> = standing(&gateway).iter().map(|backend| backend.active).collect();
    assert_eq!(active, [0, 0], "none of them has anything to do");
    drop(frozen);
    for asked in asking {
        assert_eq!(asked.await.expect("ends"), 200);
    }
    // They went where they were sent when it had answered, and nothing of them is left there.
    gateway.counts("gateway_traffic_in_flight{route=\"routes/r\"} 0").await;
    let active: Vec<_> = standing(&gateway).iter().map(|backend| backend.active).collect();
    assert_eq!(active, [0, 0]);
}
