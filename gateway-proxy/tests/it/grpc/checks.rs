//! Health checks by gRPC.

use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use hotswap_matcher::{HealthCheckDraft, HealthCheckKindDraft, PoolSpec};

use super::*;
use crate::http2_backends::{Backend2, begin, end};
use crate::http2_support::body;

#[tokio::test]
async fn serving_is_healthy_and_nothing_else_is() {
    // The status that it tells, and what it was asked.
    let told = Arc::new(Mutex::new((1u8, Vec::new(), String::new())));
    let state = Arc::clone(&told);
    let backend = Backend2::each(move |mut asked| {
        let state = Arc::clone(&state);
        async move {
            let path = asked.request.uri().path().to_owned();
            let is_check = path == "/grpc.health.v1.Health/Check";
            let (message, ..) = body(asked.request.into_body()).await;
            let mut out = begin(&mut asked.respond);
            if is_check {
                let status = {
                    let mut told = state.lock().expect("sound");
                    (told.1, told.2) = (message, path);
                    told.0
                };
                out.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]), false).expect("open");
            }
            end(&mut out, &[("grpc-status", "0")]);
        }
    })
    .await;
    let check = HealthCheckDraft {
        kind: HealthCheckKindDraft::Grpc,
        service: "shop.Cart".into(),
        interval_ms: 100,
        healthy_threshold: 1,
        unhealthy_threshold: 1,
        ..HealthCheckDraft::default()
    };
    let pool = PoolDraft { health_check: Some(check), ..pool_of(&[backend.address]) };
    let gateway = with_route(&pool, &to_pool("p"));
    let until = async |status| {
        in_time("its state", async {
            while gateway.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.status != status {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    until(200).await;
    told.lock().expect("sound").0 = 2;
    until(503).await;
    told.lock().expect("sound").0 = 1;
    until(200).await;
    assert_eq!(told.lock().expect("sound").1, b"\0\0\0\0\x0b\x0a\x09shop.Cart");
}

#[test]
fn such_a_check_needs_http_2() {
    let check = HealthCheckDraft { kind: HealthCheckKindDraft::Grpc, ..HealthCheckDraft::default() };
    let pool = PoolDraft { health_check: Some(check), ..PoolDraft::default() };
    let faults = PoolSpec::parse(&pool).expect_err("HTTP/1.1").to_string();
    assert!(faults.contains("health_check.kind"), "{faults}");
}
