//! Backup and restore.

use std::fs;
use std::sync::Arc;

use hotswap_core::{Clock, Ids, Revision, SystemClock, SystemIds};
use hotswap_store::{Db, StoreError, backup, restore};

use crate::support::{Stores, file, open};

async fn write(db: &Db) {
    let mut tx = db.write("gateway").await.expect("tx");
    tx.next_revision("gateway").await.expect("next");
    tx.commit().await.expect("commit");
}

async fn head(db: &Db) -> Revision {
    db.read().await.expect("read").revision("gateway").await.expect("revision")
}

fn parameters() -> (Arc<dyn Clock>, Arc<dyn Ids>) {
    (Arc::new(SystemClock), Arc::new(SystemIds))
}

#[tokio::test]
async fn a_copy_of_a_store_in_use_has_what_was_committed_and_another_identity() {
    let (from, to) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let (clock, ids) = parameters();
    let db = open(&file(from.path())).await.expect("opens");
    write(&db).await;
    let mut under_way = db.write("gateway").await.expect("tx");
    under_way.next_revision("gateway").await.expect("next");
    let copy = to.path().join("copy");
    backup(&from.path().join("hotswap.db"), &copy).await.expect("copied");
    under_way.commit().await.expect("commit");

    let id = restore(&copy, &to.path().join("hotswap.db"), &clock, &ids).await.expect("restored");
    let restored = open(&file(to.path())).await.expect("opens");
    assert_eq!((head(&db).await, head(&restored).await), (Revision(2), Revision(1)));
    assert_eq!(restored.store_id(), id);
    assert_ne!(restored.store_id(), db.store_id());
}

#[tokio::test]
async fn a_restore_takes_the_place_of_what_was_there_log_and_all() {
    let dir = tempfile::tempdir().expect("dir");
    let (clock, ids) = parameters();
    let path = dir.path().join("hotswap.db");
    let db = open(&file(dir.path())).await.expect("opens");
    write(&db).await;
    backup(&path, &dir.path().join("copy")).await.expect("copied");
    write(&db).await;
    // As a kill would leave it: with its log beside it.
    let log = fs::read(dir.path().join("hotswap.db-wal")).expect("a log");
    db.close().await;
    fs::write(dir.path().join("hotswap.db-wal"), log).expect("write");
    restore(&dir.path().join("copy"), &path, &clock, &ids).await.expect("restored");
    assert_eq!(head(&open(&file(dir.path())).await.expect("opens")).await, Revision(1));
    let mut left: Vec<_> = fs::read_dir(dir.path())
        .expect("dir")
        .map(|e| e.expect("entry").file_name().into_string().expect("text"))
        .filter(|name| name.contains("restoring"))
        .collect();
    left.sort();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_copy_is_refused_and_the_store_stays() {
    let dir = tempfile::tempdir().expect("dir");
    let (clock, ids) = parameters();
    let path = dir.path().join("hotswap.db");
    let db = open(&file(dir.path())).await.expect("opens");
    write(&db).await;
    let (id, copy) = (db.store_id(), dir.path().join("copy"));
    backup(&path, &copy).await.expect("copied");
    db.close().await;
    let whole = fs::read(&copy).expect("read");
    let mut flipped = whole.clone();
    flipped.iter_mut().skip(4_096).step_by(97).for_each(|byte| *byte ^= 0xff);
    let cases = [("cut", whole[..whole.len() / 2].to_vec()), ("flipped", flipped), ("empty", vec![])];
    for (case, bytes) in cases {
        fs::write(&copy, bytes).expect("write");
        let refused = restore(&copy, &path, &clock, &ids).await.expect_err(case);
        assert!(matches!(refused, StoreError::Copy { .. }), "{case}: {refused:?}");
    }
    let db = open(&file(dir.path())).await.expect("opens");
    assert_eq!((db.store_id(), head(&db).await), (id, Revision(1)));
}

#[tokio::test]
async fn a_backup_writes_over_nothing_and_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("dir");
    open(&file(dir.path())).await.expect("opens").close().await;
    let (path, copy) = (dir.path().join("hotswap.db"), dir.path().join("copy"));
    fs::write(&copy, "dear").expect("write");
    backup(&path, &copy).await.expect_err("it is there");
    assert_eq!(fs::read_to_string(&copy).expect("read"), "dear");
    fs::remove_file(&copy).expect("remove");
    backup(&path, &copy).await.expect("copied");
    assert_eq!(fs::metadata(&copy).expect("meta").permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_postgresql_store_that_was_copied_to_another_database_has_another_identity() {
    let Some(stores) = Stores::postgres().await else { return };
    let id = stores.db().await.store_id();
    stores.db().await.close().await;
    let copy = stores.copied().await;
    assert_ne!(copy.db().await.store_id(), id);
    assert_eq!(stores.reopened().await.store_id(), id);
}
