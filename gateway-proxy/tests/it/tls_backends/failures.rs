//! Backends whose TLS does not come about, and what is done about them: tries elsewhere, breakers, checks.

use hotswap_matcher::{
    CircuitBreakerDraft, HealthCheckDraft, HealthCheckKindDraft, OutlierEjectionDraft, RetryDraft,
};

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn what_is_no_tls_or_ends_in_the_handshake_is_a_failure_of_its_own() {
    let folder = folder_with(&Authority::new());
    let plain = Backend::each(|_, mut wire| async move {
        wire.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        let _ = wire.ended().await;
    })
    .await;
    let closes = Backend::each(|_, mut wire| async move {
        wire.more().await;
    })
    .await;
    for (backend, why) in [(plain.address, "no TLS"), (closes.address, "in the handshake")] {
        let gateway = gateway(folder.path(), &[backend], by("corp", ""), |_| {});
        refused(&gateway, why).await;
        gateway.counts("gateway_upstream_connects_total{result=\"failed\"} 1").await;
        gateway.counts("gateway_requests_failed_total{reason=\"BACKEND_TLS\"} 1").await;
    }
}

#[tokio::test]
async fn the_limit_for_connecting_covers_the_handshake() {
    let folder = folder_with(&Authority::new());
    let hangs = Backend::each(|_, mut wire| async move {
        let _ = wire.ended().await;
    })
    .await;
    let limit = |pool: &mut PoolDraft| pool.connect_timeout_ms = 200;
    let gateway = gateway(folder.path(), &[hangs.address], by("corp", ""), limit);
    let response = gateway.ask(GET).await;
    assert_eq!((response.status, response.reason()), (504, Some("CONNECT_TIMEOUT")));
}

#[tokio::test]
async fn a_request_is_tried_elsewhere_after_a_handshake_that_failed() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = folder_with(&authority);
    let good = Secured::telling(server(&authority.issue("shop", &["shop.internal"]))).await;
    let bad = Secured::telling(server(&stranger.issue("shop", &["shop.internal"]))).await;
    // One that turns the gateway away after the handshake.
    let files = authority.issue("asks", &["shop.internal"]);
    let asks = Secured::telling(server_that_asks(&files, &authority, rustls::ALL_VERSIONS)).await;
    for failing in [&bad, &asks] {
        let backends = [failing.address, good.address];
        let mut gateway = gateway(folder.path(), &backends, by("corp", "shop.internal"), |_| {});
        let mut route = to_pool("p");
        let retry = RetryDraft { base_backoff_ms: 1, ..RetryDraft::default() };
        route.forward.as_mut().expect("forwards").retry = Some(retry);
        gateway.route("r", &route);
        gateway.swap();
        for _ in 0..4 {
            assert_eq!(gateway.ask(GET).await.text(), "shop.internal 0 http/1.1");
        }
        assert!(!gateway.metrics().contains("gateway_retries_total{outcome=\"saved\"} 0"));
        assert!(trouble(&gateway).is_some());
    }
    assert_eq!(bad.full(), 0);
}

#[tokio::test]
async fn a_handshake_that_fails_opens_the_breaker_and_ejects() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = folder_with(&authority);
    let good = Secured::telling(server(&authority.issue("shop", &["shop.internal"]))).await;
    let bad = Secured::telling(server(&stranger.issue("shop", &["shop.internal"]))).await;
    let breaker = |pool: &mut PoolDraft| {
        pool.circuit_breaker = Some(CircuitBreakerDraft { failure_threshold: 1, ..Default::default() });
    };
    let ejection = |pool: &mut PoolDraft| {
        pool.outlier_ejection = Some(OutlierEjectionDraft { consecutive_failures: 1, ..Default::default() });
    };
    for (change, condition) in [(&breaker as &dyn Fn(&mut PoolDraft), "open"), (&ejection, "ejected")] {
        let backends = [bad.address, good.address];
        let gateway = gateway(folder.path(), &backends, by("corp", "shop.internal"), change);
        refused(&gateway, "nobody whom the pool trusts vouches").await;
        for _ in 0..4 {
            assert_eq!(gateway.ask(GET).await.status, 200);
        }
        gateway.counts(&format!("gateway_backends{{condition=\"{condition}\"}} 1")).await;
    }
}

#[tokio::test]
async fn checks_of_both_kinds_go_the_same_way() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let backend = Secured::telling(server(&authority.issue("shop", &["shop.internal"]))).await;
    let plain = Backend::always(OK).await;
    for kind in [HealthCheckKindDraft::Http, HealthCheckKindDraft::Tcp] {
        let checked = |pool: &mut PoolDraft| {
            let check =
                HealthCheckDraft { interval_ms: 100, unhealthy_threshold: 1, kind, ..Default::default() };
            pool.health_check = Some(check);
        };
        let line = |at: SocketAddr, healthy: u8| {
            format!("gateway_backend_healthy{{backend=\"{at}\",pool=\"pools/p\"}} {healthy}")
        };
        let before = backend.full() + backend.resumed();
        let wrong_name = gateway(folder.path(), &[backend.address], by("corp", "cart.internal"), checked);
        wrong_name.counts(&line(backend.address, 0)).await;
        assert!(trouble(&wrong_name).expect("wrong").contains("not for cart.internal"));
        let no_tls = gateway(folder.path(), &[plain.address], by("corp", ""), checked);
        no_tls.counts(&line(plain.address, 0)).await;
        assert_eq!(backend.full() + backend.resumed(), before);
        let good = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), checked);
        in_time("checks", async {
            while backend.full() + backend.resumed() < before + 2 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        good.counts(&line(backend.address, 1)).await;
    }
}

#[tokio::test]
async fn the_engine_on_hyper_refuses_such_a_pool() {
    let authority = Authority::new();
    let backend = Secured::telling(server(&authority.issue("shop", &["shop.internal"]))).await;
    let mut gateway = Gateway::start(&["--gateway-engine", "hyper"]);
    let any = BackendTlsDraft { skip_verification: true, ..BackendTlsDraft::default() };
    gateway.pool_of("p", &PoolDraft { tls: Some(any), ..of_backends(&[backend.address]) });
    gateway.route("r", &to_pool("p"));
    gateway.swap();
    let response = gateway.ask(GET).await;
    assert_eq!((response.status, response.reason()), (501, Some("POOL_UNSUPPORTED")));
    assert_eq!(backend.full(), 0);
}
