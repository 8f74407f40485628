//! Checks of candidates that nobody gets yet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use hotswap_api::gateway::v1::candidate::{Exposure, Spec as Beside};
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::gateway::v1::watch_config_request::Message as FromProxy;
use hotswap_api::gateway::v1::{CandidateCheck, CheckResult, Resource};
use hotswap_api::rollout::v1::SmokeTest;
use hotswap_api::route::v1 as route;

use crate::control::*;
use crate::gateway_process::two_backends;
use crate::rollouts_watch::{ROLLOUT, pool_with};
use crate::support::*;
use crate::watch::Watching;
use crate::ways::by_http2;

const ENGINES: [&str; 2] = ["hyper", "own"];
const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// A candidate of the pool that nobody gets, with a check.
fn checked(version: i64, backends: [SocketAddr; 2], number: i64, smoke_tests: Vec<SmokeTest>) -> Resource {
    let mut resource = pool_with(version, backends[0], backends[1], Exposure::ShareBps(0));
    let candidate = resource.candidate.as_mut().expect("a candidate");
    candidate.exposure = None;
    candidate.check = Some(CandidateCheck { number, smoke_tests });
    resource
}

fn get(path: &str) -> SmokeTest {
    SmokeTest { path: path.into(), ..SmokeTest::default() }
}

async fn result(stream: &mut Stream) -> CheckResult {
    loop {
        match stream.hear().await {
            FromProxy::Check(result) => return result,
            FromProxy::Backends(_) | FromProxy::Arms(_) | FromProxy::Ack(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn after(version: i64) -> [(&'static str, i64); 2] {
    [("pools/p", version), ("routes/r", 1)]
}

/// Answers with the status that is set.
async fn with_status(status: &Arc<AtomicU16>) -> Backend {
    let status = Arc::clone(status);
    Backend::each(move |_, mut wire| {
        let status = Arc::clone(&status);
        async move {
            while wire.request().await.is_some() {
                let status = status.load(Ordering::SeqCst);
                wire.send(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn smoke_tests_meet_the_candidate_alone_and_say_what_came() {
    for (engine, to_http2) in [("hyper", false), ("own", false), ("own", true)] {
        let status = Arc::new(AtomicU16::new(200));
        let (live, candidate) = (Backend::echo().await, with_status(&status).await);
        let there = if to_http2 { by_http2(candidate.address).await } else { candidate.address };
        let backends = [live.address, there];
        let checked = |version: i64, tests: Vec<SmokeTest>| {
            let mut resource = checked(version, backends, version, tests);
            if let Some(Beside::Pool(pool)) = resource.candidate.as_mut().and_then(|c| c.spec.as_mut())
                && to_http2
            {
                pool.set_protocol(route::BackendProtocol::Http2);
            }
            resource
        };
        let mut control = ControlPlane::start("127.0.0.1:0").await;
        let watching = Watching::start(control.address, &["--gateway-engine", engine]);
        let (mut stream, _) = control.stream().await;
        let tests = || vec![get("/health?deep=1"), SmokeTest { method: "POST".into(), ..get("/order") }];
        let nonce = stream.say(whole(1, vec![checked(1, tests()), to_the_pool(1)])).await;
        stream.acknowledged(&nonce).await;
        let want = CheckResult { rollout: ROLLOUT.into(), number: 1, passed: true, message: String::new() };
        assert_eq!(result(&mut stream).await, want, "{engine}, by HTTP/2: {to_http2}");
        // One connection for both, or one behind each stream.
        let want = if to_http2 { 2 } else { 1 };
        assert_eq!((live.connections(), candidate.connections()), (0, want), "they went to the candidate");

        status.store(503, Ordering::SeqCst);
        let mut tests = tests();
        tests.insert(0, SmokeTest { expect_status: 503, ..get("/maintenance") });
        stream.say(step(1, 2, vec![checked(2, tests)], &after(2))).await;
        let failed = result(&mut stream).await;
        assert_eq!((failed.number, failed.passed), (2, false));
        assert_eq!(failed.message, "GET /health?deep=1: status 503, not one below 400");

        // Nobody else got it, and nothing was counted.
        assert!(watching.gateway.ask(GET).await.text().starts_with("GET / HTTP/1.1"));
        let config = watching.gateway.plane.config().now();
        let rollout = config.rollouts().next().expect("a rollout");
        assert_eq!(rollout.tallies().now(hotswap_matcher::Arm::Candidate).requests, 0);
    }
}

#[tokio::test]
async fn a_test_that_does_not_lead_to_the_candidate_or_gets_no_answer_has_failed() {
    for engine in ENGINES {
        let silent = Backend::each(|_, mut wire| async move {
            let _ = wire.request().await;
            let _ = wire.ended().await;
        })
        .await;
        let live = Backend::echo().await;
        let backends = [live.address, silent.address];
        let mut control = ControlPlane::start("127.0.0.1:0").await;
        let _watching = Watching::start(control.address, &["--gateway-engine", engine]);
        let (mut stream, _) = control.stream().await;
        // Another route leads elsewhere.
        let mut elsewhere = to_the_pool(1);
        elsewhere.name = "routes/other".into();
        if let Some(Spec::Route(route)) = &mut elsewhere.spec {
            let inline = route::InlineBackends {
                backends: vec![route::Backend { address: live.address.to_string(), ..Default::default() }],
                ..Default::default()
            };
            let target = Some(route::forward::Target::Inline(inline));
            route.action =
                Some(route::route::Action::Forward(route::Forward { target, ..Default::default() }));
            let kind = Some(route::path_match::Kind::Prefix("/other".into()));
            let path = Some(route::PathMatch { kind });
            route.matches = vec![route::RouteMatch { path, ..Default::default() }];
        }
        let first = checked(1, backends, 1, vec![get("/other/health")]);
        let nonce = stream.say(whole(1, vec![first, to_the_pool(1), elsewhere])).await;
        stream.acknowledged(&nonce).await;
        let message = result(&mut stream).await.message;
        assert_eq!(message, "GET /other/health: it does not lead to the candidate", "{engine}");
        let slow = SmokeTest { timeout_ms: 200, ..get("/") };
        let all = [("pools/p", 2), ("routes/r", 1), ("routes/other", 1)];
        stream.say(step(1, 2, vec![checked(2, backends, 2, vec![slow])], &all)).await;
        assert_eq!(result(&mut stream).await.message, "GET /: no answer within 200 ms");
    }
}

#[tokio::test]
async fn a_client_cannot_have_a_candidate_that_nobody_gets() {
    for engine in ENGINES {
        let (a, b) = two_backends().await;
        let mut control = ControlPlane::start("127.0.0.1:0").await;
        let watching = Watching::start(control.address, &["--gateway-engine", engine]);
        let (mut stream, _) = control.stream().await;
        let resource = checked(1, [a.address, b.address], 1, vec![get("/")]);
        stream.say(whole(1, vec![resource, to_the_pool(1)])).await;
        assert!(matches!(stream.hear().await, FromProxy::Ack(_)));
        assert!(result(&mut stream).await.passed);
        // Whatever it says of itself.
        let as_the_test = "GET / HTTP/1.1\r\nhost: h\r\nuser-agent: hotswap-gateway smoke test\r\n\
                           x-hotswap-arm: candidate\r\nx-forwarded-for: 127.0.0.1\r\n\r\n";
        for request in [GET, as_the_test] {
            assert_eq!(watching.gateway.ask(request).await.text(), "a", "{engine}");
        }
    }
}

#[tokio::test]
async fn without_smoke_tests_its_backends_must_be_found_healthy() {
    let status = Arc::new(AtomicU16::new(500));
    let (live, candidate) = (Backend::echo().await, with_status(&status).await);
    let backends = [live.address, candidate.address];
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let _watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let nonce = stream.say(whole(1, vec![checked(1, backends, 1, vec![]), to_the_pool(1)])).await;
    stream.acknowledged(&nonce).await;
    assert!(result(&mut stream).await.passed, "nothing is known against it");
    let with_health = |version| {
        let mut resource = checked(version, backends, version, vec![]);
        let candidate = resource.candidate.as_mut().expect("a candidate");
        if let Some(Beside::Pool(pool)) = &mut candidate.spec {
            let check = route::HealthCheck {
                path: "/health".into(),
                interval_ms: 100,
                timeout_ms: 100,
                ..route::HealthCheck::default()
            };
            pool.health_check = Some(check);
        }
        resource
    };
    stream.say(step(1, 2, vec![with_health(2)], &after(2))).await;
    let failed = result(&mut stream).await;
    assert_eq!((failed.number, failed.passed), (2, false));
    assert_eq!(failed.message, format!("{} is unhealthy", candidate.address));
    status.store(204, Ordering::SeqCst);
    stream.say(step(2, 3, vec![with_health(3)], &after(3))).await;
    assert!(result(&mut stream).await.passed);
}

#[tokio::test]
async fn a_result_is_told_to_each_stream_and_a_check_is_done_once() {
    let status = Arc::new(AtomicU16::new(200));
    let (live, candidate) = (Backend::echo().await, with_status(&status).await);
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let _watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let resource = checked(1, [live.address, candidate.address], 1, vec![get("/")]);
    let nonce = stream.say(whole(1, vec![resource, to_the_pool(1)])).await;
    stream.acknowledged(&nonce).await;
    let first = result(&mut stream).await;
    let mut control = ControlPlane::start(&control.kill().to_string()).await;
    status.store(500, Ordering::SeqCst);
    drop(stream);
    let (mut stream, _) = control.stream().await;
    stream.say(bookmark(1, &after(1))).await;
    assert_eq!(result(&mut stream).await, first);
}

#[tokio::test]
async fn a_pool_of_a_split_is_tested_whatever_its_weight() {
    for engine in ENGINES {
        let status = Arc::new(AtomicU16::new(200));
        let (live, candidate) = (Backend::echo().await, with_status(&status).await);
        let mut control = ControlPlane::start("127.0.0.1:0").await;
        let watching = Watching::start(control.address, &["--gateway-engine", engine]);
        let (mut stream, _) = control.stream().await;
        let weighted = |pool: &str, weight| route::WeightedPool { pool: pool.into(), weight: Some(weight) };
        let split = vec![weighted("pools/none", 1), weighted("pools/p", 0)];
        let action = Some(route::route::Action::Forward(route::Forward { split, ..Default::default() }));
        // Only this host leads there: the test asks for it by itself.
        let hosts = vec!["shop.example".to_owned()];
        let spec = Some(Spec::Route(route::Route { action, hosts, ..Default::default() }));
        let splits = Resource { spec, ..to_the_pool(1) };
        let resource = checked(1, [live.address, candidate.address], 1, vec![get("/")]);
        let nonce = stream.say(whole(1, vec![resource, splits])).await;
        stream.acknowledged(&nonce).await;
        let found = result(&mut stream).await;
        assert!(found.passed, "{engine}: {found:?}");
        let ask = "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";
        assert_eq!(watching.gateway.ask(ask).await.reason(), Some("POOL_MISSING"), "no weight, no requests");
    }
}

/// A route that forwards to both pools alike.
fn between(pools: [&str; 2]) -> route::Route {
    let weighted = |pool: &str| route::WeightedPool { pool: pool.into(), weight: None };
    let split = pools.map(weighted).into();
    let action = Some(route::route::Action::Forward(route::Forward { split, ..Default::default() }));
    route::Route { action, ..Default::default() }
}

#[tokio::test]
async fn each_pool_of_a_candidates_split_must_take_requests() {
    let live = Backend::echo().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let _watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let other = Resource { name: "pools/q".into(), ..pool(1, live.address) };
    let candidate = |version, pools, number| {
        let mut candidate =
            checked(version, [live.address; 2], number, vec![]).candidate.expect("a candidate");
        candidate.spec = Some(Beside::Route(between(pools)));
        Resource { version, candidate: Some(candidate), ..to_the_pool(1) }
    };
    let all = vec![pool(1, live.address), other, candidate(1, ["pools/p", "pools/q"], 1)];
    let nonce = stream.say(whole(1, all)).await;
    stream.acknowledged(&nonce).await;
    assert!(result(&mut stream).await.passed);
    let next = candidate(2, ["pools/p", "pools/none"], 2);
    stream.say(step(1, 2, vec![next], &[("pools/p", 1), ("pools/q", 1), ("routes/r", 2)])).await;
    let failed = result(&mut stream).await;
    assert_eq!((failed.number, failed.message.as_str()), (2, "its pool does not exist"));
}
