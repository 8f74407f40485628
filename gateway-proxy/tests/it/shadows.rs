//! Copies of requests for a candidate whose answers nobody gets.

use std::sync::Arc;
use std::time::Duration;

use hotswap_gateway::rollout::Total;
use hotswap_matcher::{Arm, CandidateDraft, ExposureDraft, HeaderDraft, HeaderEditsDraft, RouteDraft};

use crate::rollouts::{ENGINES, GET, OTHER, counted, is_about, who};
use crate::support::*;

/// What a backend got, as text.
pub type Kept = Arc<std::sync::Mutex<Vec<String>>>;

const BAD: &str = "HTTP/1.1 500 E\r\ntransfer-encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n";

/// A backend that keeps what it gets, and answers so.
pub async fn that_keeps(answer: &'static str) -> (Backend, Kept) {
    let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
    let keeps = Arc::clone(&kept);
    let backend = Backend::each(move |_, mut wire| {
        let kept = Arc::clone(&keeps);
        async move {
            while let Some(request) = wire.request().await {
                let body = String::from_utf8_lossy(&request.body).into_owned();
                kept.lock().expect("free").push(format!("{}{body}", request.head));
                wire.send(answer).await;
            }
        }
    })
    .await;
    (backend, kept)
}

pub fn shadow(bps: u32) -> CandidateDraft {
    who(1, Some(ExposureDraft::ShadowBps(bps)), None)
}

#[tokio::test]
async fn copies_go_to_the_candidate_and_their_answers_to_nobody() {
    for engine in ENGINES {
        let live = Backend::echo().await;
        let (candidate, kept) = that_keeps(BAD).await;
        let mut gateway = Gateway::start(&["--gateway-engine", engine]);
        gateway.pool("a", &[live.address]);
        gateway.pool("b", &[candidate.address]);
        let edits = HeaderEditsDraft {
            set: vec![HeaderDraft { name: "x-by".into(), value: "candidate".into() }],
            ..HeaderEditsDraft::default()
        };
        let other = RouteDraft { request_headers: Some(edits), ..to_pool("b") };
        gateway.route_with("r", &to_pool("a"), &other, &shadow(10_000));
        gateway.swap();
        let mut client = gateway.connect().await;
        for request in [
            "GET /a?b=c HTTP/1.1\r\nhost: h\r\nx-mine: 1\r\n\r\n",
            "POST /p HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc",
            "POST /q HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        ] {
            client.send(request).await;
            let response = client.response().await;
            assert!(response.status == 200 && !response.text().contains("x-hotswap-shadow"), "{response:?}");
        }
        let [baseline, copies] = counted(&gateway, 6).await;
        assert_eq!((baseline, copies), (Total { requests: 3, errors: 0 }, Total { requests: 3, errors: 3 }));
        let mut kept = kept.lock().expect("free").clone();
        kept.sort();
        let [get, plain, chunked] = kept.as_slice() else { panic!("{engine}: {kept:?}") };
        for (copy, line) in [(get, "GET /a?b=c"), (plain, "POST /p"), (chunked, "POST /q")] {
            assert!(copy.starts_with(&format!("{line} HTTP/1.1\r\n")), "{engine}: {copy}");
            for (name, value) in [("x-hotswap-shadow", "1"), ("x-by", "candidate"), ("host", "h")] {
                assert_eq!(header(copy, name), Some(value), "{engine}: {copy}");
            }
        }
        assert_eq!(header(get, "x-mine"), Some("1"));
        assert!(plain.ends_with("\r\n\r\nabc") && chunked.ends_with("\r\n\r\nabcde"), "{plain}{chunked}");
        gateway.counts("gateway_shadow_requests_total{result=\"sent\"} 3").await;
    }
}

#[tokio::test]
async fn no_client_waits_for_a_copy_and_too_many_or_too_large_ones_are_dropped() {
    for engine in ENGINES {
        let live = Backend::always(OTHER).await;
        let silent = Backend::each(|_, mut wire| async move {
            let _ = wire.request().await;
            let _ = wire.ended().await;
        })
        .await;
        let mut gateway = Gateway::start(&["--gateway-engine", engine]);
        gateway.route("r", &to_pool("p"));
        gateway.pool_with("p", live.address, silent.address, &shadow(10_000));
        gateway.swap();
        let mut client = gateway.connect().await;
        let large =
            format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 65537\r\n\r\n{}", "x".repeat(65_537));
        client.send(&large).await;
        assert_eq!(client.response().await.status, 200);
        gateway.counts("gateway_shadow_requests_total{result=\"dropped\"} 1").await;
        for _ in 0..120 {
            client.send(GET).await;
            assert_eq!(client.response().await.status, 200, "while every copy hangs");
        }
        for line in ["{result=\"sent\"} 100", "{result=\"dropped\"} 21"] {
            gateway.counts(&format!("gateway_shadow_requests_total{line}")).await;
        }
        assert_eq!(counted(&gateway, 121).await[1].requests, 0, "none has ended");
    }
}

#[tokio::test]
async fn a_share_of_the_requests_is_copied() {
    for engine in ENGINES {
        let (live, candidate) = (Backend::always(OTHER).await, Backend::always(OTHER).await);
        let mut gateway = Gateway::start(&["--gateway-engine", engine]);
        gateway.route("r", &to_pool("p"));
        gateway.pool_with("p", live.address, candidate.address, &shadow(3_000));
        gateway.swap();
        let mut client = gateway.connect().await;
        for _ in 0..1_000 {
            client.send(GET).await;
            assert_eq!(client.response().await.status, 200);
        }
        let sent = in_time("copies", async {
            loop {
                let config = gateway.plane.config().now();
                let copies = config.rollouts().next().expect("one").tallies().now(Arm::Candidate).requests;
                let metrics = gateway.metrics();
                let line = |result: &str| {
                    let start = format!("gateway_shadow_requests_total{{result=\"{result}\"}} ");
                    let count = metrics.lines().find_map(|l| l.strip_prefix(start.as_str()));
                    count.and_then(|n| n.parse::<u64>().ok()).expect("a count")
                };
                if line("sent") == copies {
                    break copies + line("dropped");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(is_about(sent, 1_000, 3_000), "{engine}: {sent}");
    }
}
