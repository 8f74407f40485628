//! A Prometheus that is away, that may not be asked, or that is asked too little.

use std::sync::Arc;

use hotswap_rollout::judge::{JudgeDraft, Verdict};
use hotswap_rollout::{CountSource, Exposure, Millis, PlanDraft, PrometheusQueries};
use hotswap_rollout_host::{Create, Error, PrometheusCounts, PrometheusServers, ServerOptions};
use hotswap_test_servers::Prometheus;
use hotswap_testkit::{Wire, required};

use crate::harness::{Extras, Home, Place, canary, create, ctx, share};

/// A home whose operator allows these servers.
async fn home_that_asks(place: &Place, allow: &[String]) -> Home {
    let options = ServerOptions { allow: allow.to_vec(), ..ServerOptions::default() };
    let prometheus = Arc::new(PrometheusCounts::new(PrometheusServers::new(options)));
    let extras = Extras { prometheus: Some(prometheus), ..Extras::default() };
    let home = Home::with(place.path(), place.open().await, extras).await;
    home.table.add("tables/t").await;
    home
}

fn queries(address: &str) -> PrometheusQueries {
    PrometheusQueries {
        address: format!("http://{address}"),
        total: "vector(9000)".into(),
        errors: "vector(90)".into(),
        slow: None,
        p95: None,
    }
}

/// A canary that is judged by its errors, as these queries tell them.
fn judged_by(queries: PrometheusQueries) -> Create {
    let judge = JudgeDraft { slow: None, ..JudgeDraft::default() };
    let plan = PlanDraft { judge: Some(judge), ..canary() };
    Create { source: CountSource::Prometheus(queries), ..create(plan) }
}

#[tokio::test]
async fn one_that_is_away_is_neither_a_breach_nor_health_and_it_goes_on_when_it_is_back() {
    let Some(prometheus) = required(Prometheus::start(&[])) else { return };
    let wire = Wire::to(prometheus.address());
    wire.cut();
    let address = wire.address().to_string();
    let place = Place::new();
    let home = home_that_asks(&place, std::slice::from_ref(&address)).await;
    let view = home.rollouts.create(&ctx("ann"), judged_by(queries(&address))).await.expect("created");
    home.settle().await;
    for span in [Millis(2_000), Millis::minutes(1), Millis::minutes(5)] {
        home.pass(span);
        home.settle().await;
        assert_eq!((home.word(&view).await, home.out().await), ("running", share(1_000)));
        let (verdict, words) = home.get(&view).await.verdict.expect("judged");
        assert_eq!(verdict, Verdict::Broken, "{words}");
        assert!(words.contains("not taken for a breach"), "{words}");
    }
    wire.restore();
    for _ in 0..2 {
        home.pass(Millis::minutes(2));
        home.settle().await;
    }
    assert_eq!((home.word(&view).await, home.out().await), ("promoted", Exposure::Full));
}

#[tokio::test]
async fn one_that_stays_away_has_a_person_asked() {
    let place = Place::new();
    // Nobody listens there.
    let home = home_that_asks(&place, &["127.0.0.1:9".into()]).await;
    let view = home.rollouts.create(&ctx("ann"), judged_by(queries("127.0.0.1:9"))).await.expect("created");
    home.settle().await;
    for span in [Millis(2_000), Millis::minutes(1), Millis::minutes(31)] {
        home.pass(span);
        home.settle().await;
    }
    assert_eq!((home.word(&view).await, home.out().await), ("paused", share(1_000)));
    let tale = home.tale(&view).await;
    assert!(tale.iter().any(|t| t.contains("can't be read")), "{tale:?}");
}

#[tokio::test]
async fn one_that_may_not_be_asked_is_refused_when_it_is_named() {
    let place = Place::new();
    let home = home_that_asks(&place, &["127.0.0.1:9".into()]).await;
    let refused = |input: Create| {
        let rollouts = home.rollouts.clone();
        async move {
            let refused = rollouts.create(&ctx("ann"), input).await.expect_err("refused");
            let Error::Invalid(faults) = refused else { panic!("{refused}") };
            faults.iter().map(|v| (v.field.clone(), v.message.clone())).collect::<Vec<_>>()
        }
    };
    for address in ["127.0.0.1:10", "169.254.169.254", "u:p@127.0.0.1:9"] {
        let faults = refused(judged_by(queries(address))).await;
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].0, "source.prometheus.address");
        assert!(!faults[0].1.contains(address), "{faults:?}");
    }
    let faults = refused(judged_by(queries("127.0.0.1:10"))).await;
    assert!(faults[0].1.contains("--prometheus-allow"), "{faults:?}");
    // Slowness can't be judged by what does not count it.
    let untimed = Create { plan: canary(), ..judged_by(queries("127.0.0.1:9")) };
    let without_p95 = Create {
        source: CountSource::Prometheus(PrometheusQueries {
            slow: Some("vector(0)".into()),
            ..queries("127.0.0.1:9")
        }),
        ..untimed.clone()
    };
    for input in [untimed, without_p95] {
        let faults = refused(input).await;
        assert_eq!(faults[0].0, "judge.slow");
    }
    // Where no server is asked at all, none may be named.
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let refused = home.rollouts.create(&ctx("ann"), judged_by(queries("127.0.0.1:9"))).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
}
