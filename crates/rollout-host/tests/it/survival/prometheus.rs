//! A Prometheus that is away, that may not be asked, or that is asked too little.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hotswap_rollout::judge::{JudgeDraft, Reading, Verdict};
use hotswap_rollout::{CountSource, Exposure, Millis, PlanDraft, PrometheusQueries};
use hotswap_rollout_host::{Create, Error, Page, PrometheusCounts, PrometheusServers, ServerOptions};
use hotswap_test_servers::Prometheus;
use hotswap_testkit::{Wire, required};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

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

/// A shop whose metrics count more each time that they are read: of 50 requests of the candidate 20 fail, of 450 of the
/// baseline 4.
async fn shop() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        for read in 1_u32.. {
            let (mut stream, _) = listener.accept().await.expect("a reader");
            let _ = stream.read(&mut [0; 4_096]).await;
            let count =
                |name: &str, arm: &str, each: u32| format!("{name}{{arm=\"{arm}\"}} {}\n", each * read);
            let page = [
                count("shop_requests_total", "candidate", 50),
                count("shop_failed_total", "candidate", 20),
                count("shop_requests_total", "baseline", 450),
                count("shop_failed_total", "baseline", 4),
            ];
            let page = page.concat();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n",
                page.len()
            );
            let _ = stream.write_all((head + &page).as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn series_of_both_arms_since_the_exposure_took_hold_judge_it() {
    let shop = shop().await;
    let Some(prometheus) = required(Prometheus::start(&[("shop", shop)])) else { return };
    let address = prometheus.address().to_string();
    let place = Place::new();
    let home = home_that_asks(&place, std::slice::from_ref(&address)).await;
    let since = |name: &str| format!("sum(increase({name}{{arm=\"{{{{arm}}}}\"}}[{{{{window}}}}]))");
    let (total, errors) = (since("shop_requests_total"), since("shop_failed_total"));
    let queries = PrometheusQueries { total, errors, ..queries(&address) };
    let view = home.rollouts.create(&ctx("ann"), judged_by(queries)).await.expect("created");
    let ends = async {
        while !home.get(&view).await.record.state.is_ended() {
            home.settle().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ends).await.expect("it is judged");
    assert_eq!((home.word(&view).await, home.out().await), ("rolled_back", Exposure::None));
    let page = Page { page_size: 1, ..Page::default() };
    let newest =
        home.rollouts.measurements(&ctx("eve"), &view.name(), &page).await.expect("some").0.remove(0);
    let Reading::Counts(counts) = newest.measurement.reading else { panic!("no counts") };
    let (new, old) = (counts.candidate.all, counts.baseline.all);
    assert!(new.errors * 2 < new.requests && new.errors * 3 > new.requests, "two of five: {new:?}");
    assert!(old.errors * 50 < old.requests && old.requests > 5 * new.requests, "{old:?}");
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
