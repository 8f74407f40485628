//! Looks at a candidate that nobody gets yet.

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::watch_config_request::Message as Say;
use hotswap_rollout::{Act, ActResult, Check, SmokeTest};

use super::edge::{Edge, Manner, hello};
use super::{Driven, weight, with_draft};

async fn found(edge: &Edge, driven: &Driven, number: i64, fault: &str) {
    let (rollout, message) = (driven.rollout.id.to_string(), fault.to_owned());
    let result = wire::CheckResult { rollout, number, passed: fault.is_empty(), message };
    edge.say(Say::Check(result)).await;
}

/// Asks until it is not to be asked again.
async fn settled(driven: &Driven, act: &Act, ticket: u64) -> ActResult {
    loop {
        match driven.asked(act, ticket).await {
            ActResult::Retry { .. } | ActResult::Lagging { .. } => {}
            result => return result,
        }
    }
}

/// What is waited for, once every proxy has the check.
async fn waits(driven: &Driven, act: &Act, ticket: u64) -> String {
    loop {
        match driven.asked(act, ticket).await {
            ActResult::Lagging { .. } => {}
            ActResult::Retry { detail, .. } => return detail,
            result => panic!("{result:?}"),
        }
    }
}

#[tokio::test]
async fn a_check_is_done_when_every_connected_proxy_has_looked() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let smoke = Act::Check(Check::Smoke(vec![SmokeTest::get("/health")]));
    driven.done(Act::Stage).await;
    let detail = waits(&driven, &smoke, 5).await;
    assert!(detail.contains("no proxy is connected"), "{detail}");

    let (a, b) = (Edge::new(&server, "a").await, Edge::new(&server, "b").await);
    let check = a.candidate("routes/r").and_then(|c| c.check).expect("a check");
    assert_eq!((check.number, check.smoke_tests[0].path.as_str()), (5, "/health"));
    found(&a, &driven, 5, "").await;
    found(&b, &driven, 4, "of another check").await;
    let detail = waits(&driven, &smoke, 5).await;
    assert!(detail.contains("proxies/b") && !detail.contains("proxies/a"), "{detail}");
    found(&b, &driven, 5, "").await;
    assert_eq!(settled(&driven, &smoke, 5).await, ActResult::Done);
    // The next one is a look of its own.
    let detail = waits(&driven, &smoke, 9).await;
    assert!(detail.contains("proxies/a") && detail.contains("proxies/b"), "{detail}");
    driven.done(Act::Expose(weight(100))).await;
    assert!(a.candidate("routes/r").expect("a candidate").check.is_none());
}

#[tokio::test]
async fn a_check_that_fails_at_one_proxy_is_refused_with_what_it_says() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let (a, b) = (Edge::new(&server, "a").await, Edge::new(&server, "b").await);
    let away = Edge::connect(&server, hello("away"), Manner::Takes).await;
    driven.done(Act::Stage).await;
    let health = Act::Check(Check::Health);
    let detail = waits(&driven, &health, 2).await;
    assert!(detail.contains("must still look"), "{detail}");
    found(&away, &driven, 2, "it is gone by then").await;
    drop(away);
    found(&a, &driven, 2, "").await;
    found(&b, &driven, 2, "GET /health was answered with 500").await;
    let ActResult::Refused(why) = settled(&driven, &health, 2).await else { panic!("refused") };
    // What one found that is not connected any more counts for nothing.
    assert_eq!(why, "proxies/b: GET /health was answered with 500");
}
