//! Candidates whose backends want TLS: their smoke tests, and what an operator has decided.

use hotswap_api::gateway::v1::candidate::{Exposure, Spec as Beside};
use hotswap_api::gateway::v1::watch_config_request::Message as FromProxy;
use hotswap_api::gateway::v1::{CandidateCheck, CheckResult, Resource};
use hotswap_api::rollout::v1::SmokeTest;
use hotswap_api::route::v1 as wire;
use hotswap_core::{PoolName, ResourceName as _};
use hotswap_gateway::backend_state::Hold;
use hotswap_matcher::{BackendState, CandidateSpec, ExposureDraft, PoolSpec};

use super::*;
use crate::control::*;
use crate::rollouts::who;
use crate::rollouts_watch::pool_with;
use crate::watch::Watching;

/// A candidate with TLS that nobody gets, with a smoke test.
fn checked(version: i64, [live, candidate]: [SocketAddr; 2], name: &str) -> Resource {
    let mut resource = pool_with(version, live, candidate, Exposure::ShareBps(0));
    let beside = resource.candidate.as_mut().expect("a candidate");
    beside.exposure = None;
    let smoke_tests = vec![SmokeTest { path: "/health".into(), ..SmokeTest::default() }];
    beside.check = Some(CandidateCheck { number: version, smoke_tests });
    if let Some(Beside::Pool(pool)) = &mut beside.spec {
        let (server_name, ca) = (name.into(), "corp".into());
        pool.tls = Some(wire::BackendTls { server_name, ca, ..Default::default() });
    }
    resource
}

async fn result(stream: &mut Stream) -> CheckResult {
    loop {
        if let FromProxy::Check(result) = stream.hear().await {
            return result;
        }
    }
}

#[tokio::test]
async fn smoke_tests_meet_a_candidate_over_tls() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let candidate = Secured::telling(server(&authority.issue("shop", &["shop.internal"]))).await;
    let live = Backend::echo().await;
    let backends = [live.address, candidate.address];
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let folder = folder_of(folder.path());
    let args = ["--gateway-engine", "own", "--backend-tls-dir", folder.as_str()];
    let _watching = Watching::start(control.address, &args);
    let (mut stream, _) = control.stream().await;
    let nonce = stream.say(whole(1, vec![checked(1, backends, "shop.internal"), to_the_pool(1)])).await;
    stream.acknowledged(&nonce).await;
    assert!(result(&mut stream).await.passed);
    assert_eq!((live.connections(), candidate.full()), (0, 1));

    let other = vec![checked(2, backends, "cart.internal")];
    stream.say(step(1, 2, other, &[("pools/p", 2), ("routes/r", 1)])).await;
    let failed = result(&mut stream).await;
    assert_eq!(
        (failed.passed, failed.message.as_str()),
        (false, "GET /health: status 502, not one below 400")
    );
}

#[tokio::test]
async fn what_an_operator_has_decided_holds_for_a_candidate_that_is_reached_otherwise() {
    let backend = Backend::echo().await;
    let mut live = of_backends(&[backend.address]);
    live.backends[0].state = BackendState::Drained;
    let with_tls = PoolDraft { tls: Some(by("", "")), ..of_backends(&[backend.address]) };
    let spec = |draft: &PoolDraft| PoolSpec::parse(draft).expect("valid");
    let who = CandidateSpec::parse(&who(1, Some(ExposureDraft::ShareBps(1)), None)).expect("valid");
    let mut gateway = Gateway::start(&["--gateway-engine", "own"]);
    let name = PoolName::from_id("p").expect("id");
    gateway.catalog.put_pool_with(&name, &spec(&live), Some((&spec(&with_tls), who)));
    gateway.swap();
    let states = gateway.plane.config().states().borrow().clone();
    let pools = states.pools(|_| true);
    let holds: Vec<_> =
        pools.iter().map(|(name, pool)| (name.as_str(), pool.members()[0].view(0).hold)).collect();
    assert_eq!(holds, [("pools/p", Hold::Drained), ("pools/p (candidate)", Hold::Drained)]);
}
