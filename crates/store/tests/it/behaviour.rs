//! What holds on both databases.

use futures_util::future::join_all;
use hotswap_core::{Revision, Timestamp};
use hotswap_store::{Db, RequestKey, StoreError};

use crate::support::{on_both, open};

on_both! {
    async fn a_store_keeps_its_identity_over_restarts_and_another_has_another(stores) {
        let id = stores.db().await.store_id();
        stores.db().await.close().await;
        assert_eq!(stores.reopened().await.store_id(), id);
        assert_ne!(stores.other().await.db().await.store_id(), id);
    }

    async fn revisions_count_per_scope_and_a_dropped_transaction_takes_none(stores) {
        let db = stores.db().await;
        for want in 1..=2 {
            let mut tx = db.write("gateway").await.expect("tx");
            assert_eq!(tx.next_revision("gateway").await.expect("next"), Revision(want));
            tx.commit().await.expect("commit");
            let mut dropped = db.write("gateway").await.expect("tx");
            dropped.next_revision("gateway").await.expect("next");
        }
        let mut tx = db.write("other").await.expect("tx");
        assert_eq!(tx.next_revision("other").await.expect("next"), Revision(1));
    }

    async fn concurrent_writers_get_every_revision_once_and_the_log_holds_them_in_order(stores) {
        let db = stores.db().await;
        let writes = (1..=20).map(|i| write(db.clone(), format!("routes/r{i}")));
        let mut got: Vec<i64> = join_all(writes).await.into_iter().map(|r| r.0).collect();
        got.sort_unstable();
        assert_eq!(got, (1..=20).collect::<Vec<_>>());
        let mut tx = db.read().await.expect("read");
        let changes = tx.changes_after("gateway", Revision(15)).await.expect("changes");
        assert_eq!((changes.to, changes.names.len()), (Revision(20), 5));
    }

    async fn a_writer_sees_what_the_writer_before_it_committed(stores) {
        let db = stores.db().await;
        let mut first = db.write("gateway").await.expect("tx");
        let second = async {
            let mut tx = db.write("gateway").await.expect("tx");
            tx.revision("gateway").await.expect("revision")
        };
        let finish = async {
            first.next_revision("gateway").await.expect("next");
            first.commit().await.expect("commit");
        };
        assert_eq!(tokio::join!(second, finish).0, Revision(1));
    }

    async fn a_reader_stays_on_its_snapshot(stores) {
        let db = stores.db().await;
        let mut reader = db.read().await.expect("read");
        assert_eq!(reader.revision("gateway").await.expect("revision"), Revision(0));
        write(db.clone(), "routes/r".into()).await;
        assert_eq!(reader.revision("gateway").await.expect("revision"), Revision(0));
    }

    async fn a_kept_request_is_found_for_a_day_and_only_by_its_actor(stores) {
        let db = stores.db().await;
        let key = RequestKey { actor: "a".into(), request_id: "1".into(), fingerprint: "f".into() };
        let now = Timestamp(1_000_000);
        let mut tx = db.write("gateway").await.expect("tx");
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

    async fn what_is_taken_is_a_conflict_and_what_does_not_parse_a_fault(stores) {
        let db = stores.db().await;
        let mut tx = db.write("gateway").await.expect("tx");
        tx.log_change("gateway", Revision(1), "a").await.expect("new");
        let taken = tx.log_change("gateway", Revision(1), "a").await.expect_err("taken");
        assert!(matches!(taken, StoreError::Conflict(_)), "{taken:?}");
        drop(tx);
        let mut tx = db.read().await.expect("tx");
        let fault = tx.fetch_opt("SELECT nothing FROM nowhere", &[]).await.expect_err("nonsense");
        assert!(matches!(fault, StoreError::Statement(_)), "{fault:?}");
    }

    async fn a_compacted_log_says_from_where_it_is_whole(stores) {
        let db = stores.db().await;
        for i in 1..=10 {
            write(db.clone(), format!("routes/r{i:02}")).await;
        }
        let mut tx = db.write("gateway").await.expect("tx");
        assert_eq!(tx.compact_changes("gateway", Revision(6), 4).await.expect("first"), 4);
        assert_eq!(tx.compact_changes("gateway", Revision(6), 4).await.expect("rest"), 2);
        assert_eq!(tx.compact_changes("gateway", Revision(6), 4).await.expect("none"), 0);
        tx.commit().await.expect("commit");
        let mut tx = db.read().await.expect("tx");
        assert_eq!(tx.place("gateway").await.expect("place"), (Revision(10), Revision(6)));
        let changes = tx.changes_after("gateway", Revision(6)).await.expect("changes");
        assert_eq!((changes.floor, changes.names.len()), (Revision(6), 4));
    }

    async fn a_database_of_a_newer_build_is_refused_by_name_and_left_alone(stores) {
        let db = stores.db().await;
        let mut tx = db.write_unscoped().await.expect("tx");
        tx.execute(stores.of_a_newer_build(), &[]).await.expect("insert");
        tx.commit().await.expect("commit");
        db.close().await;
        let error = open(&stores.database()).await.expect_err("newer");
        assert!(matches!(error, StoreError::TooNew { found: 999, .. }), "{error}");
        assert!(error.to_string().contains("was written by a newer version"), "{error}");
    }

    async fn the_time_is_the_databases_and_can_be_moved(stores) {
        let db = stores.db().await;
        let before = db.write_unscoped().await.expect("tx").now().await.expect("now");
        assert!(before.0 > 1_700_000_000_000_000, "µs since 1970: {before:?}");
        db.set_clock_offset_micros(3_600_000_000);
        let after = db.read().await.expect("tx").now().await.expect("now");
        assert!(after.0 - before.0 >= 3_600_000_000 - 1_000_000, "{before:?} {after:?}");
    }

    async fn a_caller_that_goes_away_while_it_begins_leaves_its_connection_clean(stores) {
        let db = stores.db().await;
        for polls in 0..60 {
            let mut gone = Box::pin(db.read());
            for _ in 0..polls {
                if futures_util::FutureExt::now_or_never(&mut gone).is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(gone);
            let mut tx = db.write("gateway").await.expect("a transaction that writes");
            tx.next_revision("gateway").await.expect("it does");
            tx.commit().await.expect("commits");
        }
    }
}

async fn write(db: Db, name: String) -> Revision {
    let mut tx = db.write("gateway").await.expect("tx");
    let revision = tx.next_revision("gateway").await.expect("next");
    tx.log_change("gateway", revision, &name).await.expect("log");
    tx.commit().await.expect("commit");
    revision
}
