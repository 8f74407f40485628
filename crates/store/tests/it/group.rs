//! Group commit on SQLite.

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use hotswap_core::Revision;
use hotswap_store::{Db, StoreError};

use crate::support::sqlite;

async fn write(db: &Db, name: &str) -> Result<Revision, StoreError> {
    let mut tx = db.write("gateway").await?;
    let revision = tx.next_revision("gateway").await?;
    tx.log_change("gateway", revision, name).await?;
    tx.commit().await?;
    Ok(revision)
}

async fn names(db: &Db) -> Vec<String> {
    let mut tx = db.read().await.expect("read");
    let changes = tx.changes_after("gateway", Revision::ZERO).await.expect("changes");
    changes.names.into_iter().collect()
}

#[tokio::test]
async fn those_who_wait_for_their_turn_share_one_disk_write() {
    let (_dir, db) = sqlite().await;
    let first = db.write("gateway").await.expect("turn");
    let before = db.commits_to_disk();
    let others: Vec<String> = (0..50).map(|i| format!("r{i:02}")).collect();
    // Polled once, all of them are in the queue when the first one leaves.
    let writes = join_all(others.iter().map(|name| write(&db, name)));
    let (written, ()) = tokio::join!(writes, async { drop(first) });
    let revisions: Vec<i64> = written.into_iter().map(|r| r.expect("written").0).collect();
    assert_eq!(revisions, (1..=50).collect::<Vec<_>>());
    assert_eq!(names(&db).await, others);
    assert_eq!(db.commits_to_disk() - before, 1);
}

#[tokio::test]
async fn a_lone_writer_is_on_disk_when_it_is_told_so() {
    let (_dir, db) = sqlite().await;
    let before = db.commits_to_disk();
    write(&db, "a").await.expect("written");
    assert_eq!(db.commits_to_disk() - before, 1);
    write(&db, "b").await.expect("written");
    assert_eq!(db.commits_to_disk() - before, 2);
}

#[tokio::test]
async fn what_breaks_a_constraint_or_is_given_up_leaves_its_neighbours_alone() {
    let (_dir, db) = sqlite().await;
    let first = db.write("gateway").await.expect("turn");
    let twice = async {
        let mut tx = db.write("gateway").await?;
        tx.log_change("gateway", Revision(77), "twice").await?;
        tx.log_change("gateway", Revision(77), "twice").await?;
        tx.commit().await
    };
    let given_up = async {
        let mut tx = db.write("gateway").await?;
        tx.log_change("gateway", Revision(78), "given up").await
    };
    let (a, twice, given_up, b, ()) =
        tokio::join!(write(&db, "a"), twice, given_up, write(&db, "b"), async { drop(first) });
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
    given_up.expect("nothing wrong with it");
    assert_eq!((a.expect("a"), b.expect("b")), (Revision(1), Revision(2)));
    assert_eq!(names(&db).await, ["a", "b"]);
}

#[tokio::test]
async fn a_full_disk_is_told_to_those_it_hits_and_the_store_goes_on_with_room() {
    let (_dir, db) = sqlite().await;
    write(&db, "before").await.expect("written");
    let mut tx = db.write("gateway").await.expect("turn");
    let pages = tx.fetch_opt("PRAGMA page_count", &[]).await.expect("asked").expect("a row");
    let full = pages.int("page_count").expect("a number");
    // It takes no parameter, and only as many pages as there are already.
    tx.fetch_opt("PRAGMA max_page_count = 1", &[]).await.expect("set");
    drop(tx);
    let long = "x".repeat(100_000);
    let refused = write(&db, &long).await.expect_err("no room");
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert_eq!(names(&db).await, ["before"]);

    let mut tx = db.write("gateway").await.expect("turn");
    tx.fetch_opt("PRAGMA max_page_count = 1000000", &[]).await.expect("set");
    drop(tx);
    assert_eq!(write(&db, &long).await.expect("room"), Revision(2));
    assert_eq!(names(&db).await, ["before", long.as_str()]);
    assert!(full > 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nobody_along() {
    let (_dir, db) = sqlite().await;
    let first = db.write("gateway").await.expect("turn");
    let mut gone = Box::pin(write(&db, "gone"));
    let there = write(&db, "there");
    let (revision, ()) = tokio::join!(there, async {
        // It gets into the queue, and is dropped there.
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        drop(first);
    });
    assert_eq!(revision.expect("written"), Revision(1));
    assert_eq!(names(&db).await, ["there"]);
}

#[tokio::test]
async fn a_writer_that_goes_away_while_it_begins_leaves_the_next_one_free() {
    let (_dir, db) = sqlite().await;
    for polls in 0..60 {
        // Behind a commit there is no common transaction, so the next one begins one.
        write(&db, "a").await.expect("written");
        let mut gone = Box::pin(db.write("gateway"));
        for _ in 0..polls {
            if (&mut gone).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(gone);
        write(&db, "b").await.expect("written");
    }
}
