//! What is SQLite's alone: the file.

use hotswap_store::StoreError;

use crate::support::{file, open};

#[tokio::test]
async fn a_database_of_a_newer_build_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(&file(dir.path())).await.expect("open");
    let mut tx = db.write_unscoped().await.expect("tx");
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
               VALUES (999, 'later', 1, x'00', 0)";
    tx.execute(sql, &[]).await.expect("insert");
    tx.commit().await.expect("commit");
    db.close().await;
    let error = open(&file(dir.path())).await.expect_err("newer");
    assert!(matches!(error, StoreError::TooNew { found: 999, .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("hotswap.db"), "not a database, but of some length".repeat(50))
        .expect("write");
    let before = std::fs::read(dir.path().join("hotswap.db")).expect("read");
    assert!(open(&file(dir.path())).await.is_err());
    assert_eq!(std::fs::read(dir.path().join("hotswap.db")).expect("read"), before);
}
