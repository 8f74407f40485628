//! A real Prometheus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hotswap_core::{Clock as _, SystemClock, Timestamp};
use hotswap_metric_query::{NotACount, PrometheusClient, QueryError, Sample};
use hotswap_testkit::{Prometheus, required};

use crate::support::{Served, client, serve};

/// Requests that a route answers: a counter for each arm, which grows with each look.
async fn shop() -> Served {
    let looks = Arc::new(AtomicU64::new(0));
    let page = move || {
        let n = looks.fetch_add(1, Ordering::Relaxed);
        async move {
            format!(
                "requests_total{{arm=\"baseline\"}} {}\nrequests_total{{arm=\"candidate\"}} {n}\n",
                n * 10
            )
        }
    };
    serve(Router::new().route("/metrics", get(page))).await
}

async fn now(client: &PrometheusClient, query: &str) -> Result<Sample, QueryError> {
    client.instant(query, SystemClock.now()).await
}

/// Waits until a query gives a number.
async fn there(client: &PrometheusClient, query: &str) -> Sample {
    loop {
        match now(client, query).await {
            Ok(sample) => return sample,
            Err(QueryError::NoData { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn counts_of_an_arm_come_out_whole_with_their_labels() {
    let shop = shop().await;
    let Some(prometheus) = required(Prometheus::start(&[("shop", shop.address)])) else { return };
    let client = client(prometheus.address());
    let arm = r#"requests_total{arm="candidate"}"#;
    let before = there(&client, &format!("{arm} > 3")).await;
    assert_eq!(before.labels["job"], "shop");
    assert_eq!(before.warnings, Vec::<String>::new());
    // What extrapolates has a fraction; the count has none.
    let increase = there(&client, &format!("increase({arm}[10m])")).await;
    assert!(increase.value > 0.0 && increase.count().is_ok(), "{increase:?}");
    let sum = there(&client, "sum(requests_total)").await;
    assert!(sum.labels.is_empty());
}

#[tokio::test]
async fn a_query_is_answered_for_the_moment_that_is_asked_for() {
    let shop = shop().await;
    let Some(prometheus) = required(Prometheus::start(&[("shop", shop.address)])) else { return };
    let client = client(prometheus.address());
    let sample = there(&client, r#"requests_total{arm="baseline"}"#).await;
    let again = client.instant(r#"requests_total{arm="baseline"}"#, sample.at).await.expect("a number");
    assert_eq!((again.at, again.value), (sample.at, sample.value));
    let long_ago = Timestamp(sample.at.0 - 3_600_000_000);
    let error = client.instant("requests_total", long_ago).await.expect_err("nothing yet");
    assert_eq!(error, QueryError::NoData { warnings: Vec::new() });
}

#[tokio::test]
async fn each_reason_for_no_number_is_told_apart() {
    let Some(prometheus) = required(Prometheus::start(&[])) else { return };
    let client = client(prometheus.address());
    assert_eq!(now(&client, "1 + 1").await.expect("a scalar").count(), Ok(2));
    assert_eq!(now(&client, "vector(2.5)").await.expect("a vector").count(), Ok(3));
    assert_eq!(now(&client, "nothing_has_this_name").await, Err(QueryError::NoData { warnings: Vec::new() }));
    assert_eq!(now(&client, "vector(0) / vector(0)").await, Err(QueryError::Nan));
    let two = r#"vector(1) or label_replace(vector(2), "a", "b", "", "")"#;
    assert_eq!(now(&client, two).await, Err(QueryError::ManySeries { series: 2 }));
    for (query, kind) in [(r#""text""#, "string"), ("up[5m]", "matrix")] {
        assert_eq!(now(&client, query).await, Err(QueryError::WrongKind { kind: kind.into() }), "{query}");
    }
    let error = now(&client, "rate(").await.expect_err("does not parse");
    assert!(matches!(&error, QueryError::BadQuery { message } if message.contains("parse error")), "{error}");
    assert!(!error.may_pass());
    let ambiguous = format!("({two}) * on() ({two})");
    let error = now(&client, &ambiguous).await.expect_err("ambiguous");
    assert!(matches!(error, QueryError::CannotAnswer { .. }), "{error}");
    let infinite = now(&client, "vector(1) / vector(0)").await.expect("a number");
    assert_eq!(infinite.count(), Err(NotACount::NotFinite(f64::INFINITY)));
    let negative = now(&client, "vector(-1)").await.expect("a number");
    assert_eq!(negative.count(), Err(NotACount::Negative(-1.0)));
    assert!(matches!(now(&client, " ").await, Err(QueryError::BadQuery { .. })));
}

#[tokio::test]
async fn a_prometheus_that_is_away_is_unreachable_and_not_without_data() {
    let Some(prometheus) = required(Prometheus::start(&[])) else { return };
    let client = client(prometheus.address());
    now(&client, "vector(1)").await.expect("it is there");
    drop(prometheus);
    let error = now(&client, "vector(1)").await.expect_err("it is gone");
    assert!(matches!(error, QueryError::Unreachable { .. }) && error.may_pass(), "{error}");
}
