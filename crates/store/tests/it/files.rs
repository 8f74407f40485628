//! What is SQLite's alone: the file.

use crate::support::{file, open};

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("hotswap.db"), "not a database, but of some length".repeat(50))
        .expect("write");
    let before = std::fs::read(dir.path().join("hotswap.db")).expect("read");
    assert!(open(&file(dir.path())).await.is_err());
    assert_eq!(std::fs::read(dir.path().join("hotswap.db")).expect("read"), before);
}
