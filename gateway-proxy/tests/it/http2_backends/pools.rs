//! What goes with a pool: checks, rollouts, cookies.

use hotswap_gateway::rollout::Total;
use hotswap_matcher::{
    BalancingDraft, CandidateDraft, ExposureDraft, HealthCheckDraft, LoadBalancingDraft, StickyCookieDraft,
};
use http::Response;

use super::*;
use crate::http2_alike::Either;
use crate::rollouts::{counted, is_about, who};

/// Answers with a word.
async fn saying(word: &'static str) -> Backend2 {
    Backend2::each(move |mut asked| async move {
        let _ = begin(&mut asked.respond).send_data(word.into(), true);
    })
    .await
}

#[tokio::test]
async fn health_checks_speak_http_2() {
    let well = Arc::new(AtomicUsize::new(1));
    let state = Arc::clone(&well);
    let backend = Backend2::each(move |mut asked| {
        let fine = state.load(Ordering::SeqCst) == 1 || asked.request.uri().path() != "/healthz";
        async move {
            let status = if fine { 200 } else { 500 };
            let response = Response::builder().status(status).body(()).expect("a response");
            let _ = asked.respond.send_response(response, true);
        }
    })
    .await;
    let check = HealthCheckDraft {
        path: "/healthz".into(),
        interval_ms: 100,
        healthy_threshold: 1,
        unhealthy_threshold: 1,
        ..HealthCheckDraft::default()
    };
    let gateway =
        with_route(&PoolDraft { health_check: Some(check), ..pool_of(&[backend.address]) }, &to_pool("p"));
    let until = async |status| {
        in_time("its state", async {
            while gateway.ask(GET).await.status != status {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    until(200).await;
    well.store(0, Ordering::SeqCst);
    until(503).await;
    well.store(1, Ordering::SeqCst);
    until(200).await;
}

#[tokio::test]
async fn both_arms_of_a_rollout_are_drawn_and_counted() {
    const EACH: u64 = 300;
    let (gateway, _backends) = canary(&who(1, Some(ExposureDraft::ShareBps(3_000)), None)).await;
    let mut hits = 0;
    for mut client in Either::both(&gateway).await {
        for _ in 0..EACH {
            hits += u64::from(client.ask(GET).await.text() == "b");
        }
    }
    assert!(is_about(hits, 2 * EACH, 3_000), "{hits}");
    let want = [2 * EACH - hits, hits].map(|requests| Total { requests, errors: 0 });
    assert_eq!(counted(&gateway, 2 * EACH).await, want);
}

#[tokio::test]
async fn a_pool_comes_to_http_2_and_back_by_a_rollout() {
    const EACH: u64 = 300;
    let (old, new) =
        (Backend::always("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na").await, saying("b").await);
    let (one, two) = (of_backends(&[old.address]), pool_of(&[new.address]));
    for (baseline, other, candidate) in [(&one, &two, "b"), (&two, &one, "a")] {
        let mut gateway = Gateway::start(&OWN);
        gateway.route("r", &to_pool("p"));
        gateway.pool_of_with("p", baseline, other, &who(1, Some(ExposureDraft::ShareBps(3_000)), None));
        gateway.swap();
        let mut clients = Either::both(&gateway).await;
        let mut hits = 0;
        for client in &mut clients {
            for _ in 0..EACH {
                let response = client.ask(GET).await;
                assert_eq!(response.status, 200);
                hits += u64::from(response.text() == candidate);
            }
        }
        assert!(is_about(hits, 2 * EACH, 3_000), "{hits}");
        let want = [2 * EACH - hits, hits].map(|requests| Total { requests, errors: 0 });
        assert_eq!(counted(&gateway, 2 * EACH).await, want);
        // Promoted: the pool speaks what its candidate spoke.
        gateway.pool_of("p", other);
        gateway.swap();
        for client in &mut clients {
            for _ in 0..5 {
                assert_eq!(client.ask(GET).await.text(), candidate);
            }
        }
    }
}

async fn canary(candidate: &CandidateDraft) -> (Gateway, (Backend2, Backend2)) {
    let backends = (saying("a").await, saying("b").await);
    let mut gateway = Gateway::start(&OWN);
    gateway.pool_of("a", &pool_of(&[backends.0.address]));
    gateway.pool_of("b", &pool_of(&[backends.1.address]));
    gateway.route_with("r", &to_pool("a"), &to_pool("b"), candidate);
    gateway.swap();
    (gateway, backends)
}

#[tokio::test]
async fn copies_for_a_shadow_go_over_http_2() {
    let (gateway, backends) = canary(&who(1, Some(ExposureDraft::ShadowBps(10_000)), None)).await;
    for mut client in Either::both(&gateway).await {
        let post = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(client.ask(post).await.text(), "a");
    }
    let two = Total { requests: 2, errors: 0 };
    assert_eq!(counted(&gateway, 4).await, [two, two]);
    assert_eq!(backends.1.connections(), 2, "a copy has a connection of its own");
}

#[tokio::test]
async fn a_cookie_keeps_a_client_with_its_backend() {
    let (a, b) = (saying("a").await, saying("b").await);
    let balancing =
        BalancingDraft { sticky_cookie: Some(StickyCookieDraft::default()), ..BalancingDraft::default() };
    let pool = PoolDraft {
        balancing: Some(balancing),
        load_balancing: LoadBalancingDraft::RoundRobin,
        ..pool_of(&[a.address, b.address])
    };
    let gateway = with_route(&pool, &to_pool("p"));
    for mut client in Either::both(&gateway).await {
        let first = client.ask(GET).await;
        let cookie =
            first.header("set-cookie").and_then(|c| c.split(';').next()).expect("a cookie").to_owned();
        for _ in 0..4 {
            let again = client.ask(&format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: {cookie}\r\n\r\n")).await;
            assert_eq!(again.text(), first.text());
        }
    }
}

#[tokio::test]
async fn one_address_serves_pools_of_both_versions() {
    let backend = Backend2::echo().await;
    let mut gateway = Gateway::start(&OWN);
    gateway.pool_of("p", &pool_of(&[backend.address]));
    gateway.pool_of("q", &of_backends(&[backend.address]));
    for (id, pool) in [("r1", "p"), ("r2", "q")] {
        let matches = at_prefix(&format!("/{pool}"));
        gateway.route(id, &RouteDraft { matches, ..to_pool(pool) });
    }
    gateway.swap();
    assert_eq!(gateway.ask("GET /p HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 200);
    // A server of HTTP/2 does not answer that.
    assert_eq!(gateway.ask("GET /q HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 502);
    assert_eq!(gateway.ask("GET /p HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 200);
}
