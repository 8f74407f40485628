//! Rollouts whose requests are calls.

use std::collections::BTreeSet;

use hotswap_gateway::rollout::Total;
use hotswap_matcher::{ExposureDraft, RequestKeyDraft};

use super::*;
use crate::rollouts::{counted, is_about, who};

#[tokio::test]
async fn a_caller_stays_with_its_revision_and_a_share_of_them_meets_the_candidate() {
    const CALLERS: u64 = 200;
    const CALLS: u64 = 3;
    let (a, b) = (Running::start("a").await, Running::start("b").await);
    let mut gateway = Gateway::start(&OWN);
    gateway.pool_of("a", &pool_of(&[a.address]));
    gateway.pool_of("b", &pool_of(&[b.address]));
    let key = RequestKeyDraft::Header("x-user".into());
    let some = who(1, Some(ExposureDraft::ShareBps(3_000)), Some(key));
    gateway.route_with("r", &to_pool("a"), &to_pool("b"), &some);
    gateway.swap();
    let mut client = client(&gateway).await;
    let mut hits = 0;
    for caller in 0..CALLERS {
        let mut met = BTreeSet::new();
        for _ in 0..CALLS {
            let named = |request: &mut Request<String>| {
                let user = format!("u{caller}").parse().expect("a value");
                request.metadata_mut().insert("x-user", user);
            };
            met.insert(unary(&mut client, "/t.T/Name", "", named).await.expect("answers").into_inner());
        }
        assert_eq!(met.len(), 1, "{caller}");
        hits += u64::from(met.contains("b"));
    }
    assert!(is_about(hits, CALLERS, 3_000), "{hits}");
    let want = [CALLERS - hits, hits].map(|callers| Total { requests: callers * CALLS, errors: 0 });
    assert_eq!(counted(&gateway, CALLERS * CALLS).await, want);
}
