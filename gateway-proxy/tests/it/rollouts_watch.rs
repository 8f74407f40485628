//! Rollouts over the watch: what comes, what is told, what is refused, and what is left after a restart.

use std::collections::HashMap;
use std::net::SocketAddr;

use hotswap_api::gateway::v1::candidate::{Exposure, Spec as Beside};
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::gateway::v1::watch_config_request::Message as FromProxy;
use hotswap_api::gateway::v1::{Candidate, Resource, RolloutCounts};
use hotswap_api::rollout::v1 as rollout;
use hotswap_api::route::v1 as route;
use hotswap_core::{LATENCY_SLOTS, latency_slot};

use crate::control::*;
use crate::gateway_process::*;
use crate::support::*;
use crate::watch::Watching;

const ENGINES: [&str; 2] = ["hyper", "own"];
pub const ROLLOUT: &str = "rollouts/0198c2a4-7b1e-7000-8000-000000000001";

/// The pool with a candidate of another backend.
pub fn pool_with(version: i64, baseline: SocketAddr, candidate: SocketAddr, exposure: Exposure) -> Resource {
    let Some(Spec::Pool(other)) = pool(version, candidate).spec else { panic!("a pool") };
    let candidate = Candidate {
        rollout: ROLLOUT.into(),
        epoch: version,
        spec: Some(Beside::Pool(other)),
        exposure: Some(exposure),
        ..Candidate::default()
    };
    Resource { candidate: Some(candidate), ..pool(version, baseline) }
}

pub fn by_user(mut resource: Resource) -> Resource {
    let key = rollout::sticky_key::Kind::Cookie("user".into());
    let candidate = resource.candidate.as_mut().expect("a candidate");
    candidate.sticky_key = Some(rollout::StickyKey { kind: Some(key) });
    resource
}

fn user(n: usize) -> String {
    format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: user=u{n}\r\nconnection: close\r\n\r\n")
}

async fn report(stream: &mut Stream) -> RolloutCounts {
    match stream.hear().await {
        FromProxy::Arms(report) => {
            assert_eq!(report.rollouts.len(), 1, "{report:?}");
            report.rollouts.into_iter().next().expect("one")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_control_plane_hears_what_was_counted_since_the_exposure_came() {
    for engine in ENGINES {
        let (a, b) = two_backends().await;
        let mut control = ControlPlane::start("127.0.0.1:0").await;
        let watching = Watching::start(control.address, &["--gateway-engine", engine]);
        let (mut stream, hello) = control.stream().await;
        assert!(hello.features.iter().any(|f| f == "rollouts"), "{hello:?}");
        let under = |version, bps| by_user(pool_with(version, a.address, b.address, Exposure::ShareBps(bps)));
        let nonce = stream.say(whole(1, vec![under(1, 4_000), to_the_pool(1)])).await;
        stream.acknowledged(&nonce).await;
        let mut answers = HashMap::<_, u64>::new();
        for n in 0..200 {
            *answers.entry(watching.gateway.ask(&user(n % 50)).await.text()).or_default() += 1;
        }
        // There may be one report or more, but each is of all that there was.
        let of = |arm: &Option<hotswap_api::gateway::v1::ArmTally>| arm.clone().unwrap_or_default();
        let all = |arm: &Option<_>| of(arm).all.expect("set").requests;
        let mut last = report(&mut stream).await;
        while all(&last.candidate) + all(&last.baseline) < 200 {
            last = report(&mut stream).await;
        }
        assert_eq!((last.rollout.as_str(), last.epoch), (ROLLOUT, 1));
        for (arm, answer) in [(&last.candidate, "b"), (&last.baseline, "a")] {
            let (all, buckets) = (of(arm).all.expect("set"), of(arm).buckets);
            assert_eq!((all.requests, all.errors), (answers[answer], 0), "{engine}: as the client counted");
            assert_eq!(all.counts.iter().sum::<u64>(), all.requests);
            assert!(all.slots.is_sorted() && all.slots.iter().all(|s| (*s as usize) < LATENCY_SLOTS));
            assert!(all.slots.iter().all(|s| *s as usize <= latency_slot(30_000_000)), "{all:?}");
            assert_eq!(buckets.iter().map(|b| b.requests).sum::<u64>(), all.requests);
            assert_eq!(buckets.len(), 64);
            assert!(buckets.iter().filter(|b| b.requests > 0).count() > 8, "50 users lie in many");
        }
        // Another exposure begins anew; nothing is said of it until there is something.
        let nonce = stream.say(step(1, 2, vec![under(2, 10_000)], &[("pools/p", 2), ("routes/r", 1)])).await;
        stream.acknowledged(&nonce).await;
        assert_eq!(watching.gateway.ask(&user(1)).await.text(), "b");
        let next = report(&mut stream).await;
        assert_eq!((next.epoch, all(&next.candidate), all(&next.baseline)), (2, 1, 0));
    }
}

#[tokio::test]
async fn a_candidate_that_cannot_be_served_is_refused_and_what_there_was_stays() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let watching = Watching::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let nonce = stream.say(both(1, 1, a.address)).await;
    stream.acknowledged(&nonce).await;
    let mut bad = pool_with(2, b.address, b.address, Exposure::ShareBps(10_001));
    let Some(Beside::Pool(other)) = &mut bad.candidate.as_mut().expect("a candidate").spec else {
        panic!("a pool")
    };
    other.backends[0].address = "nowhere".into();
    let nonce = stream.say(step(1, 2, vec![bad], &[("pools/p", 2), ("routes/r", 1)])).await;
    let refusal = stream.refusal().await;
    let faults: Vec<_> =
        refusal.errors.iter().map(|e| (e.name.as_str(), e.version, e.field.as_str())).collect();
    let want = ["candidate.share_bps", "candidate.pool.backends[0].address"];
    assert_eq!((refusal.whole, faults), (false, want.map(|field| ("pools/p", 2, field)).to_vec()));
    stream.acknowledged(&nonce).await;
    for _ in 0..10 {
        assert_eq!(watching.gateway.ask(&user(1)).await.text(), "a", "as it was accepted last");
    }
    // One of another kind is none.
    let mut bad = pool_with(3, b.address, b.address, Exposure::ShareBps(1));
    bad.candidate.as_mut().expect("a candidate").spec = Some(Beside::Route(route::Route::default()));
    let nonce = stream.say(step(2, 3, vec![bad], &[("pools/p", 3), ("routes/r", 1)])).await;
    assert_eq!(stream.refusal().await.errors[0].field, "candidate.route");
    stream.acknowledged(&nonce).await;
}

#[tokio::test]
async fn a_gateway_that_starts_from_disk_serves_every_user_as_before() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let process = Process::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let (listen, admin) = process.ready().await;
    let resource = by_user(pool_with(1, a.address, b.address, Exposure::ShareBps(5_000)));
    let nonce = stream.say(whole(1, vec![resource, to_the_pool(1)])).await;
    stream.acknowledged(&nonce).await;
    counts(admin, "gateway_state_revision 1").await;
    let answers = async |listen| {
        let mut all = String::new();
        for n in 0..60 {
            let mut client = Client::connect(listen).await;
            client.send(user(n)).await;
            all += &client.response().await.text();
        }
        all
    };
    let before = answers(listen).await;
    assert!(before.contains('a') && before.contains('b'), "{before}");
    let candidate = before.matches('b').count();
    counts(
        admin,
        &format!(
            "gateway_rollout_requests_total{{arm=\"candidate\",resource=\"pools/p\",result=\"ok\"}} {candidate}"
        ),
    )
    .await;
    let (status, rollouts) = page(admin, "/rollouts?format=json").await;
    let rollouts: serde_json::Value = serde_json::from_str(&rollouts).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(rollouts[0]["rollout"], ROLLOUT);
    assert_eq!(
        (&rollouts[0]["exposure"], &rollouts[0]["sticky_key"]),
        (&"50.00 % of requests".into(), &"cookie user".into())
    );
    assert_eq!(rollouts[0]["candidate"]["requests"], candidate);
    let told = format!("\"rollout\":\"{ROLLOUT}\",\"arm\":\"candidate\"");
    in_time("the access log", async {
        let log = || std::fs::read_to_string(process.file("access.log")).unwrap_or_default();
        while log().lines().filter(|line| line.contains(&told)).count() != candidate {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let (dir, control) = (process.kill(), control.kill());
    let process = Process::again(&dir, control, &["--gateway-engine", "own"]);
    let (listen, _) = process.ready().await;
    assert_eq!(answers(listen).await, before, "by the other engine, too");
}
