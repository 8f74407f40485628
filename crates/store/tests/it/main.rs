//! The store on a real SQLite file.

use std::path::Path;
use std::sync::Arc;

use hotswap_core::{Clock, Ids, ManualClock, Revision, SystemIds, Timestamp};
use hotswap_store::{Db, RequestKey, StoreError};

async fn open(dir: &Path) -> Result<Db, StoreError> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(1)));
    let ids: Arc<dyn Ids> = Arc::new(SystemIds);
    Db::open(&dir.join("hotswap.db"), &clock, &ids).await
}

#[tokio::test]
async fn a_store_keeps_its_identity_over_restarts_and_another_has_another() {
    let dir = tempfile::tempdir().expect("dir");
    let first = open(dir.path()).await.expect("open");
    let id = first.store_id();
    first.close().await;
    assert_eq!(open(dir.path()).await.expect("again").store_id(), id);
    let other = tempfile::tempdir().expect("dir");
    assert_ne!(open(other.path()).await.expect("other").store_id(), id);
}

#[tokio::test]
async fn revisions_count_per_scope_and_a_dropped_transaction_takes_none() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path()).await.expect("open");
    for want in 1..=2 {
        let mut tx = db.write().await.expect("tx");
        assert_eq!(tx.next_revision("gateway").await.expect("next"), Revision(want));
        tx.commit().await.expect("commit");
        let mut dropped = db.write().await.expect("tx");
        dropped.next_revision("gateway").await.expect("next");
    }
    let mut tx = db.write().await.expect("tx");
    assert_eq!(tx.next_revision("other").await.expect("next"), Revision(1));
}

#[tokio::test]
async fn concurrent_writers_get_every_revision_once_and_the_log_holds_them_in_order() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path()).await.expect("open");
    let write = |i: i64| {
        let db = db.clone();
        async move {
            let mut tx = db.write().await.expect("tx");
            let revision = tx.next_revision("gateway").await.expect("next");
            tx.log_change("gateway", revision, &format!("routes/r{i}")).await.expect("log");
            tx.commit().await.expect("commit");
            revision.0
        }
    };
    let mut got = futures_util::future::join_all((1..=20).map(write)).await;
    got.sort_unstable();
    assert_eq!(got, (1..=20).collect::<Vec<_>>());
    let mut tx = db.read().await.expect("read");
    let changes = tx.changes_after("gateway", Revision(15)).await.expect("changes");
    assert_eq!((changes.to, changes.names.len()), (Revision(20), 5));
}

#[tokio::test]
async fn a_reader_stays_on_its_snapshot() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path()).await.expect("open");
    let mut reader = db.read().await.expect("read");
    assert_eq!(reader.revision("gateway").await.expect("revision"), Revision(0));
    let mut tx = db.write().await.expect("tx");
    tx.next_revision("gateway").await.expect("next");
    tx.commit().await.expect("commit");
    assert_eq!(reader.revision("gateway").await.expect("revision"), Revision(0));
}

#[tokio::test]
async fn a_kept_request_is_found_for_a_day_and_only_by_its_actor() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path()).await.expect("open");
    let key = RequestKey { actor: "a".into(), request_id: "1".into(), fingerprint: "f".into() };
    let now = Timestamp(1_000_000);
    let mut tx = db.write().await.expect("tx");
    tx.keep_request(&key, "routes/r", Revision(3), now).await.expect("keep");
    tx.commit().await.expect("commit");
    let mut tx = db.read().await.expect("read");
    let kept = tx.kept_request(&key, now.plus_micros(1)).await.expect("kept").expect("there");
    assert_eq!((kept.name.as_str(), kept.revision), ("routes/r", Revision(3)));
    let other = RequestKey { actor: "b".into(), ..key.clone() };
    assert_eq!(tx.kept_request(&other, now).await.expect("other"), None);
    let later = now.plus_micros(24 * 3_600 * 1_000_000);
    assert_eq!(tx.kept_request(&key, later).await.expect("late"), None);
}

#[tokio::test]
async fn a_database_of_a_newer_build_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path()).await.expect("open");
    let mut tx = db.write().await.expect("tx");
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
               VALUES (999, 'later', 1, x'00', 0)";
    tx.execute(sql, &[]).await.expect("insert");
    tx.commit().await.expect("commit");
    db.close().await;
    let error = open(dir.path()).await.expect_err("newer");
    assert!(matches!(error, StoreError::TooNew { found: 999, .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("hotswap.db"), "not a database, but of some length".repeat(50))
        .expect("write");
    let before = std::fs::read(dir.path().join("hotswap.db")).expect("read");
    assert!(open(dir.path()).await.is_err());
    assert_eq!(std::fs::read(dir.path().join("hotswap.db")).expect("read"), before);
}
