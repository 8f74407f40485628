//! What a gateway tells of a request that is described to it: it must be what it does with one that comes.

use std::net::SocketAddr;

use hotswap_api::gateway::v1::candidate::{Exposure, Spec as Beside};
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::gateway::v1::watch_config_request::Message as FromProxy;
use hotswap_api::gateway::v1::watch_config_response::Message as ToProxy;
use hotswap_api::gateway::v1::{Candidate, Explain, Explained, Resource};
use hotswap_api::rollout::v1::{Cohort, cohort};
use hotswap_api::route::v1 as wire;
use hotswap_api::route::v1::backend_outlook::Obstacle;

use crate::control::*;
use crate::gateway_process::two_backends;
use crate::rollouts_watch::{ROLLOUT, by_user, pool_with};
use crate::support::*;
use crate::watch::Watching;

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

fn describe(path: &str) -> wire::ExplainRequestRequest {
    wire::ExplainRequestRequest { host: "h".into(), path: path.into(), ..Default::default() }
}

/// Asks; reports of backends and of arms may come before the answer.
async fn asked(stream: &mut Stream, request: wire::ExplainRequestRequest) -> Explained {
    let nonce = stream.say(ToProxy::Explain(Explain { request: Some(request) })).await;
    loop {
        match stream.hear().await {
            FromProxy::Explained(explained) => {
                assert_eq!(explained.nonce, nonce);
                return explained;
            }
            FromProxy::Backends(_) | FromProxy::Arms(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn explain(stream: &mut Stream, request: wire::ExplainRequestRequest) -> wire::ExplainRequestResponse {
    let explained = asked(stream, request).await;
    explained.explanation.unwrap_or_else(|| panic!("{}", explained.problem))
}

/// Asks once nothing is in flight: what ends an exchange may come after its response.
async fn idle(stream: &mut Stream) -> wire::ExplainRequestResponse {
    loop {
        let told = explain(stream, describe("/")).await;
        if told.backends.iter().all(|b| b.active == 0) {
            return told;
        }
    }
}

fn pool_of(version: i64, addresses: &[SocketAddr], change: impl FnOnce(&mut wire::Pool)) -> Resource {
    let mut resource = pool(version, addresses[0]);
    if let Some(Spec::Pool(pool)) = &mut resource.spec {
        let backend = |a: &SocketAddr| wire::Backend { address: a.to_string(), ..Default::default() };
        pool.backends = addresses.iter().map(backend).collect();
        change(pool);
    }
    resource
}

/// A gateway before a pool, and the stream that it is configured by.
async fn serving(pool: Resource, args: &[&str]) -> (ControlPlane, Watching, Stream) {
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let watching = Watching::start(control.address, args);
    let (mut stream, hello) = control.stream().await;
    assert!(hello.features.iter().any(|f| f == "explain"), "{hello:?}");
    let nonce = stream.say(whole(1, vec![pool, to_the_pool(1)])).await;
    stream.acknowledged(&nonce).await;
    (control, watching, stream)
}

#[tokio::test]
async fn what_is_told_is_what_comes_next_and_asking_moves_no_turn() {
    let (a, b) = two_backends().await;
    let all = [a.address, b.address];
    for strategy in [
        wire::LoadBalancing::RoundRobin,
        wire::LoadBalancing::WeightedRoundRobin,
        wire::LoadBalancing::LeastConnections,
        wire::LoadBalancing::PowerOfTwo,
    ] {
        let pool = pool_of(1, &all, |pool| pool.load_balancing = strategy.into());
        let (_control, watching, mut stream) = serving(pool, &[]).await;
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..6 {
            let told = idle(&mut stream).await;
            assert_eq!(told.load_balancing(), strategy);
            assert_eq!(explain(&mut stream, describe("/")).await.backend_address, told.backend_address);
            let text = watching.gateway.ask(GET).await.text();
            let at = if text == "a" { a.address } else { b.address };
            assert_eq!(told.backend_address, at.to_string(), "{strategy:?}");
            seen.insert(told.backend_address);
        }
        if strategy != wire::LoadBalancing::PowerOfTwo {
            assert_eq!(seen.len(), 2, "{strategy:?}: each has its turn");
        }
    }
}

#[tokio::test]
async fn a_client_address_tells_where_a_hash_leads() {
    let (a, b) = two_backends().await;
    let by_address = |pool: &mut wire::Pool| pool.load_balancing = wire::LoadBalancing::IpHash.into();
    let (_control, watching, mut stream) =
        serving(pool_of(1, &[a.address, b.address], by_address), &[]).await;
    let without = explain(&mut stream, describe("/")).await;
    assert_eq!((without.backend_address.as_str(), without.backends.len()), ("", 2));
    assert!(without.backends.iter().all(|b| b.takes_requests && b.chosen_by_cores == 0));
    let from = wire::ExplainRequestRequest { client_address: "127.0.0.1".into(), ..describe("/") };
    let told = explain(&mut stream, from).await.backend_address;
    let text = watching.gateway.ask(GET).await.text();
    assert_eq!(told, if text == "a" { a.address } else { b.address }.to_string());
}

#[tokio::test]
async fn each_core_tells_its_own_turn() {
    let (a, b) = two_backends().await;
    let pool = pool_of(1, &[a.address, b.address], |_| {});
    let (_control, _watching, mut stream) = serving(pool, &["--gateway-workers", "2"]).await;
    let told = explain(&mut stream, describe("/")).await;
    // Cores begin at different places.
    let chosen: Vec<_> = told.backends.iter().map(|b| b.chosen_by_cores).collect();
    assert_eq!((told.cores, chosen, told.backend_address.as_str()), (2, vec![1, 1], ""));
}

#[tokio::test]
async fn each_obstacle_is_named() {
    let (up, other) = two_backends().await;
    let nobody: Vec<SocketAddr> = {
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds"));
        }
        all.iter().map(|l| l.local_addr().expect("address")).collect()
    };
    let all = [up.address, other.address, nobody[0], nobody[1], nobody[2]];
    let pool = pool_of(1, &all, |pool| {
        let states = [wire::BackendState::Drained, wire::BackendState::ForcedOpen];
        for (backend, state) in pool.backends.iter_mut().skip(1).zip(states) {
            backend.state = state.into();
        }
        pool.backends[3].weight = Some(0);
        pool.circuit_breaker = Some(wire::CircuitBreaker { failure_threshold: 1, ..Default::default() });
    });
    let (_control, watching, mut stream) = serving(pool, &[]).await;
    // The one that nobody answers at fails once, and its breaker opens.
    while watching.gateway.ask(GET).await.status != 502 {}
    let told = explain(&mut stream, describe("/")).await;
    let obstacles: Vec<Vec<_>> = told.backends.iter().map(|b| b.obstacles().collect()).collect();
    assert_eq!(
        obstacles,
        [
            vec![],
            vec![Obstacle::Drained],
            vec![Obstacle::ForcedOpen],
            vec![Obstacle::WeightZero],
            vec![Obstacle::BreakerOpen]
        ]
    );
    assert_eq!(told.backend_address, up.address.to_string());
    let takes: Vec<_> = told.backends.iter().map(|b| b.takes_requests).collect();
    assert_eq!(takes, [true, false, false, false, false]);
}

#[tokio::test]
async fn a_backend_that_checks_found_dead_is_told_of_and_the_pool_answers_by_itself() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds").local_addr();
    let pool = pool_of(1, &[nobody.expect("address")], |pool| {
        let check =
            wire::HealthCheck { interval_ms: 100, unhealthy_threshold: 1, ..wire::HealthCheck::default() };
        pool.health_check = Some(check);
    });
    let (_control, watching, mut stream) = serving(pool, &[]).await;
    let told = in_time("the check", async {
        loop {
            let told = explain(&mut stream, describe("/")).await;
            if !told.gateway_reason.is_empty() {
                return told;
            }
        }
    });
    let told = told.await;
    let obstacles: Vec<_> = told.backends[0].obstacles().collect();
    assert_eq!((told.gateway_reason.as_str(), obstacles), ("NO_HEALTHY_BACKEND", vec![Obstacle::Unhealthy]));
    assert_eq!(watching.gateway.ask(GET).await.reason(), Some("NO_HEALTHY_BACKEND"));
}

#[tokio::test]
async fn revision_digest_and_reason_are_those_of_what_is_served() {
    let (a, _b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let _watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let none = explain(&mut stream, describe("/")).await;
    assert_eq!((none.gateway_reason.as_str(), none.revision), ("NO_CONFIG", 0));

    let nonce = stream.say(whole(3, vec![to_the_pool(3)])).await;
    stream.acknowledged(&nonce).await;
    let missing = explain(&mut stream, describe("/")).await;
    assert_eq!((missing.gateway_reason.as_str(), missing.route.as_str()), ("POOL_MISSING", "routes/r"));
    let nonce = stream.say(step(3, 4, vec![pool(4, a.address)], &[("routes/r", 3), ("pools/p", 4)])).await;
    stream.acknowledged(&nonce).await;
    let told = explain(&mut stream, describe("/")).await;
    assert_eq!((told.revision, told.pool.as_str(), told.gateway_reason.as_str()), (4, "pools/p", ""));
    assert_eq!(told.digest, digest(&[("routes/r", 3), ("pools/p", 4)]));
    assert_eq!(explain(&mut stream, describe("/a/../b")).await.gateway_reason, "BAD_PATH");
    let bad = asked(&mut stream, describe("no path")).await;
    assert!(bad.explanation.is_none() && bad.problem.contains("path"), "{bad:?}");
}

fn with_cookie(cookie: &str) -> wire::ExplainRequestRequest {
    let headers = vec![wire::Header { name: "cookie".into(), value: cookie.into() }];
    wire::ExplainRequestRequest { headers, ..describe("/") }
}

#[tokio::test]
async fn the_revision_of_a_pool_that_a_user_would_meet_is_told() {
    let (a, b) = two_backends().await;
    let pool = by_user(pool_with(1, a.address, b.address, Exposure::ShareBps(4_000)));
    let (_control, watching, mut stream) = serving(pool, &[]).await;
    let mut met = std::collections::BTreeSet::new();
    for n in 0..30 {
        let cookie = format!("user=u{n}");
        let told = explain(&mut stream, with_cookie(&cookie)).await;
        let request = format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: {cookie}\r\n\r\n");
        let (arm, address) = match watching.gateway.ask(&request).await.text().as_str() {
            "a" => ("baseline", a.address),
            _ => ("candidate", b.address),
        };
        assert_eq!(told.rollouts.len(), 1);
        let outlook = &told.rollouts[0];
        assert_eq!((outlook.arm.as_str(), &told.backend_address), (arm, &address.to_string()));
        assert_eq!((outlook.rollout.as_str(), outlook.resource.as_str()), (ROLLOUT, "pools/p"));
        assert_eq!(outlook.message, "40 % of users meet the candidate, told apart by the cookie user");
        met.insert(arm);
    }
    assert_eq!(met.len(), 2);
    let unknown = explain(&mut stream, describe("/")).await;
    assert_eq!((unknown.rollouts[0].arm.as_str(), unknown.backend_address), ("", a.address.to_string()));
}

#[tokio::test]
async fn the_revision_of_a_route_that_a_cohort_would_meet_is_told() {
    let backend = Backend::echo().await;
    let Some(Spec::Route(other)) = to_the_pool(2).spec else { panic!("a route") };
    let redirect =
        wire::Redirect { path: Some(wire::redirect::Path::FullPath("/new".into())), ..Default::default() };
    let other = wire::Route { action: Some(wire::route::Action::Redirect(redirect)), ..other };
    let key = cohort::Key::Header("x-tier".into());
    let cohort = Cohort { key: Some(key), values: vec!["gold".into()] };
    let candidate = Candidate {
        rollout: ROLLOUT.into(),
        epoch: 1,
        spec: Some(Beside::Route(other)),
        exposure: Some(Exposure::Cohort(cohort)),
        ..Candidate::default()
    };
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let _watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let route = Resource { candidate: Some(candidate), ..to_the_pool(1) };
    let nonce = stream.say(whole(1, vec![pool(1, backend.address), route])).await;
    stream.acknowledged(&nonce).await;
    let headers = vec![wire::Header { name: "x-tier".into(), value: "gold".into() }];
    let gold = wire::ExplainRequestRequest { headers, ..describe("/") };
    let told = explain(&mut stream, gold).await;
    assert_eq!((told.route.as_str(), told.pool.as_str()), ("routes/r", ""), "it is redirected");
    assert_eq!(
        (told.rollouts[0].arm.as_str(), told.rollouts[0].resource.as_str()),
        ("candidate", "routes/r")
    );
    let told = explain(&mut stream, describe("/")).await;
    assert_eq!((told.pool.as_str(), told.rollouts[0].arm.as_str()), ("pools/p", "baseline"));
}

/// A route that splits requests between the pool and one that is not there.
fn split_route(weights: [u32; 2]) -> Resource {
    let weighted =
        |(pool, weight): (&str, u32)| wire::WeightedPool { pool: pool.into(), weight: Some(weight) };
    let split = ["pools/p", "pools/none"].into_iter().zip(weights).map(weighted).collect();
    let action = Some(wire::route::Action::Forward(wire::Forward { split, ..Default::default() }));
    Resource { spec: Some(Spec::Route(wire::Route { action, ..Default::default() })), ..to_the_pool(1) }
}

#[tokio::test]
async fn a_split_is_told_with_its_shares_and_why_a_pool_fails_its_own() {
    let (a, _) = two_backends().await;
    let sticky = |pool: &mut wire::Pool| {
        let sticky_cookie = Some(wire::StickyCookie::default());
        pool.balancing = Some(wire::Balancing { sticky_cookie, ..Default::default() });
    };
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let pool = pool_of(1, &[a.address], sticky);
    let nonce = stream.say(whole(1, vec![pool, split_route([3, 1])])).await;
    stream.acknowledged(&nonce).await;
    let told = explain(&mut stream, describe("/")).await;
    assert_eq!((told.route.as_str(), told.pool.as_str(), told.backends.len()), ("routes/r", "", 0));
    let shares = |told: &wire::ExplainRequestResponse| {
        let split = told.split.iter();
        split.map(|s| (s.pool.clone(), s.share_percent, s.gateway_reason.clone())).collect::<Vec<_>>()
    };
    let of = |pool: &str, share, reason: &str| (pool.to_owned(), share, reason.to_owned());
    assert_eq!(shares(&told), [of("pools/p", 75.0, ""), of("pools/none", 25.0, "POOL_MISSING")]);

    // A cookie decides, and so does a weight that is all there is.
    let cookie = loop {
        let response = watching.gateway.ask(GET).await;
        if let Some(line) = response.header("set-cookie") {
            break line.split(';').next().expect("a pair").to_owned();
        }
    };
    let headers = vec![wire::Header { name: "cookie".into(), value: cookie }];
    let back = explain(&mut stream, wire::ExplainRequestRequest { headers, ..describe("/") }).await;
    assert_eq!((back.pool.as_str(), back.backend_address), ("pools/p", a.address.to_string()));
    let only = Resource { version: 2, ..split_route([0, 1]) };
    let nonce = stream.say(step(1, 2, vec![only], &[("pools/p", 1), ("routes/r", 2)])).await;
    stream.acknowledged(&nonce).await;
    let told = explain(&mut stream, describe("/")).await;
    assert_eq!(shares(&told), [of("pools/p", 0.0, ""), of("pools/none", 100.0, "POOL_MISSING")]);
    assert_eq!(told.gateway_reason, "POOL_MISSING");
}
