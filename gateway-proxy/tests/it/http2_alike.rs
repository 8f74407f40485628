//! What a route can do, it does for requests of both versions alike; but for switches to other protocols, which HTTP/2 is
//! not offered.

use hotswap_gateway::rollout::Total;
use hotswap_matcher::{
    BackendDraft, CandidateDraft, CircuitBreakerDraft, ExposureDraft, HeaderDraft, HeaderEditsDraft,
    LoadBalancingDraft, PoolDraft, RedirectDraft, RequestKeyDraft, RetryDraft, RouteDraft,
};

use crate::gateway_process::two_backends;
use crate::http2_support::*;
use crate::rollouts::{counted, is_about, who};
use crate::support::*;
use crate::traffic::logs::lines;

const OWN: [&str; 2] = ["--gateway-engine", "own"];
const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const DOWN: &str = "HTTP/1.1 503 Down\r\ncontent-length: 4\r\n\r\ndown";

/// A client of either version.
pub enum Either {
    Http1(Client),
    Http2(Http2),
}

impl Either {
    /// One of each.
    pub async fn both(gateway: &Gateway) -> [Self; 2] {
        [Self::Http1(gateway.connect().await), Self::Http2(Http2::connect(gateway).await)]
    }

    pub async fn ask(&mut self, request: &str) -> Response {
        match self {
            Self::Http1(client) => {
                client.send(request).await;
                let method = request.split(' ').next().unwrap_or_default();
                client.response_to(method).await.expect("a response")
            }
            Self::Http2(client) => client.ask(request).await,
        }
    }
}

fn before(pools: &[(&str, PoolDraft)], route: &RouteDraft) -> Gateway {
    let mut gateway = Gateway::start(&OWN);
    for (name, pool) in pools {
        gateway.pool_of(name, pool);
    }
    gateway.route("r", route);
    gateway.swap();
    gateway
}

#[tokio::test]
async fn a_request_is_tried_again_with_its_body() {
    let (bad, good) = (Backend::always(DOWN).await, Backend::echo().await);
    let mut route = to_pool("p");
    if let Some(forward) = &mut route.forward {
        forward.retry = Some(RetryDraft { base_backoff_ms: 1, ..RetryDraft::default() });
    }
    let body = "0123456789".repeat(2_000);
    for with in ["content-length: 20000\r\n", ""] {
        let gateway = before(&[("p", of_backends(&[bad.address, good.address]))], &route);
        let client = Http2::connect(&gateway).await;
        for _ in 0..2 {
            let response = client.ask(&format!("PUT /x HTTP/1.1\r\n{with}\r\n{body}")).await;
            assert!(response.status == 200 && response.text().ends_with(&body));
        }
        gateway.counts("gateway_retries_total{outcome=\"saved\"} 2").await;
    }
}

#[tokio::test]
async fn a_backend_sees_the_same_request_but_for_the_hop() {
    let backend = Backend::echo().await;
    let gateway = before(&[("p", of_backends(&[backend.address]))], &to_pool("p"));
    let [mut one, mut two] = Either::both(&gateway).await;
    for request in [
        "GET /a/b?c=d&e HTTP/1.1\r\nhost: h:80\r\naccept: */*\r\nx-a: 1\r\nx-b: \u{e4}\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ncontent-type: text/plain\r\n\r\nabc",
        "OPTIONS /x HTTP/1.1\r\nhost: h\r\nte: trailers\r\n\r\n",
        "DELETE /%20?%00 HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: https\r\n\r\n",
    ] {
        let (one, two) = (one.ask(request).await, two.ask(request).await);
        assert_eq!(one.text().replace("via: 1.1 hotswap", "via: 2.0 hotswap"), two.text());
    }
}

#[tokio::test]
async fn a_breaker_counts_the_failures_of_both() {
    let bad = Backend::always("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").await;
    let breaker = CircuitBreakerDraft { failure_threshold: 4, ..CircuitBreakerDraft::default() };
    let pool = PoolDraft { circuit_breaker: Some(breaker), ..of_backends(&[bad.address]) };
    let gateway = before(&[("p", pool)], &to_pool("p"));
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
async fn heads_are_edited() {
    let backend = Backend::echo().await;
    let edit = |set: &str, remove: &str| {
        let header = HeaderDraft { name: set.into(), value: "1".into() };
        Some(HeaderEditsDraft { set: vec![header], remove: vec![remove.into()], ..Default::default() })
    };
    let route = RouteDraft {
        request_headers: edit("x-added", "x-gone"),
        response_headers: edit("x-back", "via"),
        ..to_pool("p")
    };
    let redirect = RedirectDraft {
        status: 307,
        scheme: "https".into(),
        host: "new.example".into(),
        replace_prefix: Some("/new".into()),
        ..RedirectDraft::default()
    };
    let moved =
        RouteDraft { forward: None, redirect: Some(redirect), matches: at_prefix("/old"), ..route.clone() };
    let mut gateway = before(&[("p", of_backends(&[backend.address]))], &route);
    gateway.route("moved", &moved);
    gateway.swap();
    for mut client in Either::both(&gateway).await {
        let response = client.ask("GET / HTTP/1.1\r\nhost: h\r\nx-gone: 1\r\n\r\n").await;
        assert_eq!((response.header("x-back"), response.header("via")), (Some("1"), None));
        let text = response.text();
        assert_eq!((header(&text, "x-added"), header(&text, "x-gone")), (Some("1"), None));
        let response = client.ask("GET /old/a?b=c HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
        let to = (response.status, response.header("location"), response.header("x-back"));
        assert_eq!(to, (307, Some("https://new.example/new/a?b=c"), Some("1")), "{}", response.head);
        let response = client.ask("GET /%2e/ HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert_eq!((response.status, response.reason()), (400, Some("BAD_PATH")));
    }
}

#[tokio::test]
async fn both_arms_of_a_rollout_are_drawn_and_counted() {
    const EACH: u64 = 500;
    let share = who(1, Some(ExposureDraft::ShareBps(3_000)), None);
    let key = RequestKeyDraft::Cookie("user".into());
    let sticky = who(1, Some(ExposureDraft::ShareBps(3_000)), Some(key));
    for candidate in [share, sticky] {
        let (gateway, _backends) = canary(&candidate).await;
        let mut hits = 0;
        for mut client in Either::both(&gateway).await {
            for user in 0..EACH {
                let request =
                    format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: a=b\r\ncookie: user={user}\r\n\r\n");
                hits += u64::from(client.ask(&request).await.text() == "b");
            }
        }
        assert!(is_about(hits, 2 * EACH, 3_000), "{hits}");
        let want = [2 * EACH - hits, hits].map(|requests| Total { requests, errors: 0 });
        assert_eq!(counted(&gateway, 2 * EACH).await, want);
    }
}

async fn canary(candidate: &CandidateDraft) -> (Gateway, (Backend, Backend)) {
    let backends = two_backends().await;
    let mut gateway = Gateway::start(&OWN);
    gateway.pool("a", &[backends.0.address]);
    gateway.pool("b", &[backends.1.address]);
    gateway.route_with("r", &to_pool("a"), &to_pool("b"), candidate);
    gateway.swap();
    (gateway, backends)
}

#[tokio::test]
async fn one_user_meets_one_revision_by_either_version() {
    let key = RequestKeyDraft::Cookie("user".into());
    let (gateway, _backends) = canary(&who(1, Some(ExposureDraft::ShareBps(5_000)), Some(key))).await;
    let [mut one, mut two] = Either::both(&gateway).await;
    for user in 0..100 {
        let request = format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: user={user}\r\n\r\n");
        assert_eq!(one.ask(&request).await.text(), two.ask(&request).await.text());
    }
}

#[tokio::test]
async fn copies_for_a_shadow_are_made_of_both() {
    let (gateway, _backends) = canary(&who(1, Some(ExposureDraft::ShadowBps(10_000)), None)).await;
    for mut client in Either::both(&gateway).await {
        let post = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(client.ask(post).await.text(), "a");
    }
    let client = Http2::connect(&gateway).await;
    assert_eq!(client.ask("POST / HTTP/1.1\r\n\r\nabc").await.text(), "a");
    let three = Total { requests: 3, errors: 0 };
    assert_eq!(counted(&gateway, 6).await, [three, three]);
}

#[tokio::test]
async fn requests_of_one_connection_go_round_by_weight() {
    let (a, b) = two_backends().await;
    let weighted = |backend: &Backend, weight| BackendDraft {
        address: backend.address.to_string(),
        weight: Some(weight),
        ..BackendDraft::default()
    };
    let load_balancing = LoadBalancingDraft::WeightedRoundRobin;
    let backends = vec![weighted(&a, 3), weighted(&b, 1)];
    let pool = PoolDraft { backends, load_balancing, ..PoolDraft::default() };
    let gateway = before(&[("p", pool)], &to_pool("p"));
    let client = Http2::connect(&gateway).await;
    let mut to_a = 0;
    for _ in 0..40 {
        to_a += u32::from(client.ask(GET).await.text() == "a");
    }
    assert_eq!(to_a, 30);
}

#[tokio::test]
async fn the_access_log_tells_of_both_alike() {
    let backend = Backend::always(OK).await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("log");
    let path = file.to_str().expect("text");
    let args = [&OWN[..], &["--access-log", "all", "--access-log-file", path]].concat();
    let gateway = Gateway::before_with(backend.address, &args, |_| {});
    for mut client in Either::both(&gateway).await {
        assert_eq!(client.ask("GET /a?b HTTP/1.1\r\nhost: shop\r\n\r\n").await.status, 200);
        assert_eq!(client.ask("GET /../ HTTP/1.1\r\nhost: shop\r\n\r\n").await.status, 400);
    }
    let lines = lines(&file, |lines| lines.len() == 4).await;
    let without_times = |line: &serde_json::Value| {
        let mut line = line.as_object().expect("an object").clone();
        line.retain(|name, _| !["time", "ms", "version"].contains(&&**name));
        line
    };
    assert_eq!(without_times(&lines[0]), without_times(&lines[2]));
    assert_eq!(without_times(&lines[1]), without_times(&lines[3]));
}
