//! What the log counts, as Prometheus would read it.

use hotswap_audit::METRICS;
use hotswap_core::Reason;
use prometheus::{Registry, TextEncoder};

use crate::support::{Place, caller, run, verified, write};

/// The value of a series.
#[track_caller]
fn value(registry: &Registry, series: &str) -> f64 {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("encodes");
    let line = text.lines().find_map(|line| line.strip_prefix(series).filter(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("{series} in {text}")).trim().parse().expect("a number")
}

#[test]
fn declarations_keep_the_rules() {
    let faults: Vec<_> = METRICS.iter().filter_map(hotswap_core::MetricDef::fault).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[tokio::test]
async fn events_attempts_checkpoints_and_verifications_are_counted() {
    let place = Place::sqlite();
    let (_db, log) = place.log().await;
    let registry = Registry::new();
    log.register(&registry).expect("registers");
    log.register(&registry).expect_err("once");
    write(&log, 3).await;
    let attempts = log.attempts();
    for _ in 0..5 {
        attempts.denied(caller("-"), Reason::TokenMissing);
    }
    attempts.failed(caller("me"), "routes/a", Reason::StaleEtag);
    assert_eq!(value(&registry, "hotswap_audit_attempts_waiting"), 2.0);
    // Writes what waits, signs, and looks at how far that is.
    log.close().await;
    for (series, wanted) in [
        (r#"hotswap_audit_events_total{outcome="done"}"#, 3.0),
        (r#"hotswap_audit_events_total{outcome="denied"}"#, 2.0),
        (r#"hotswap_audit_events_total{outcome="failed"}"#, 1.0),
        (r#"hotswap_audit_attempts_total{outcome="denied"}"#, 5.0),
        (r#"hotswap_audit_attempts_total{outcome="failed"}"#, 1.0),
        ("hotswap_audit_attempts_waiting", 0.0),
        ("hotswap_audit_checkpoints_total", 1.0),
        ("hotswap_audit_unsigned_events", 0.0),
        (r#"hotswap_audit_verifications_total{result="intact"}"#, 0.0),
    ] {
        assert_eq!(value(&registry, series), wanted, "{series}");
    }
    assert!(value(&registry, "hotswap_audit_checkpoint_timestamp_seconds") > 1.7e9);
    assert!(verified(&log).await.is_intact());
    assert_eq!(value(&registry, "hotswap_audit_verified_timestamp_seconds"), 0.0, "that was one chain");
    log.verify(None).await.expect("verified");
    assert_eq!(value(&registry, r#"hotswap_audit_verifications_total{result="intact"}"#), 2.0);
    assert!(value(&registry, "hotswap_audit_verified_timestamp_seconds") > 1.7e9);
    // Every one that is declared is shown, and no other.
    let shown: Vec<_> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
    let mut declared: Vec<_> = METRICS.iter().map(|def| def.name).collect();
    declared.sort_unstable();
    assert_eq!(shown, declared);
}

#[tokio::test]
async fn a_damaged_log_and_a_database_that_is_away_are_counted() {
    let place = Place::sqlite();
    let (db, log) = place.log().await;
    let registry = Registry::new();
    log.register(&registry).expect("registers");
    write(&log, 2).await;
    run(&db, "DROP TRIGGER audit_events_update".into()).await.expect("dropped");
    run(&db, "UPDATE audit_events SET actor = 'Mallory' WHERE sequence = 1".into()).await.expect("changed");
    log.checkpoint_all().await.expect_err("what is damaged is not signed");
    assert_eq!(value(&registry, r#"hotswap_audit_errors_total{task="checkpoint"}"#), 1.0);
    let found = log.verify(None).await.expect("verified");
    let faults: u64 = found.iter().map(|report| report.faults.count()).sum();
    assert_eq!(value(&registry, "hotswap_audit_faults"), faults as f64);
    assert_eq!(value(&registry, r#"hotswap_audit_verifications_total{result="not_intact"}"#), 1.0);

    run(
        &db,
        "CREATE TRIGGER away BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'away'); END".into(),
    )
    .await
    .expect("made");
    log.attempts().failed(caller("me"), "routes/a", Reason::NotFound);
    log.write_attempts(false).await.expect_err("away");
    assert_eq!(value(&registry, r#"hotswap_audit_errors_total{task="attempts"}"#), 1.0);
    assert_eq!(value(&registry, "hotswap_audit_attempts_waiting"), 1.0, "it is tried again");
    assert_eq!(
        value(&registry, r#"hotswap_audit_events_total{outcome="failed"}"#),
        0.0,
        "it is not in the log"
    );
}
