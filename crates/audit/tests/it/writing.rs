//! Events are written with what they tell, and make one chain.

use std::sync::Arc;

use futures_util::future::join_all;
use hotswap_audit::{Chain, Entry, Outcome};
use hotswap_core::{Reason, Revision};

use crate::support::{PLATFORM, Place, TestKey, caller, entry, on_both, run, verified, write};

/// A business write and its event, in one transaction; a page of the change log stands in for the business.
async fn business(
    place: &Place,
    log: &hotswap_audit::AuditLog,
    name: &str,
) -> Result<(), hotswap_store::StoreError> {
    let db = place.db().await;
    let mut tx = db.write("gateway").await?;
    let revision = tx.next_revision("gateway").await?;
    tx.log_change("gateway", revision, name).await?;
    let entry = Entry::done(caller("me"), name, revision, hotswap_audit::Diff::default());
    log.record(&mut tx, &PLATFORM, entry).await?;
    tx.commit().await
}

on_both! {
    async fn an_event_and_what_it_tells_are_both_there_or_neither(place) {
        let (db, log) = place.log().await;
        // Given up between the two and the commit, as a crash does.
        let mut tx = db.write("gateway").await.expect("tx");
        let revision = tx.next_revision("gateway").await.expect("revision");
        log.record(&mut tx, &PLATFORM, entry(&log, 1)).await.expect("recorded");
        drop(tx);
        assert_eq!(verified(&log).await.head, 0);
        assert_eq!(db.read().await.expect("tx").revision("gateway").await.expect("revision"), Revision(0));
        assert_eq!(revision, Revision(1));

        // Where the event can't be written, nothing is.
        run(&db, "CREATE UNIQUE INDEX one_only ON audit_events (actor)".into()).await.expect("made");
        business(place, &log, "routes/a").await.expect("the first");
        business(place, &log, "routes/b").await.expect_err("no place for its event");
        assert_eq!(db.read().await.expect("tx").revision("gateway").await.expect("revision"), Revision(1));
        let report = verified(&log).await;
        assert!(report.is_intact(), "{:?}", report.faults);
        assert_eq!(report.head, 1);
    }

    async fn an_event_comes_back_as_it_was_recorded_and_secrets_never_went_in(place) {
        let (_db, log) = place.log().await;
        let Entry { diff, revision, .. } = entry(&log, 7);
        let actor = caller("a\0b\u{1F980}'; DROP TABLE audit_events; --");
        let mut wanted = Entry::refused(actor, "routes/r2", Outcome::Failed, Reason::StaleEtag);
        (wanted.diff, wanted.revision) = (diff, revision);
        let written = log.record_alone(&PLATFORM, wanted).await.expect("recorded");
        let query = hotswap_audit::ListQuery {
            chain: PLATFORM, page_size: 0, page_token: String::new(), filter: String::new(),
        };
        let (page, next) = log.list(&query).await.expect("listed");
        assert_eq!((page.len(), next.as_str()), (1, ""));
        assert_eq!(page[0].event, written);
        assert_eq!(written.caller.actor, "a\u{fffd}b\u{1F980}'; DROP TABLE audit_events; --");
        assert!(!format!("{written:?}").contains("hunter2"), "{written:?}");
        assert!(verified(&log).await.is_intact());
    }

    async fn writers_at_once_and_in_several_processes_make_one_chain(place) {
        let (db, log) = place.log().await;
        // On SQLite there is one process.
        let other = if place.is_postgres() { place.db().await } else { db.clone() };
        let logs = [log.clone(), place.log_on(&other, TestKey::new(1))];
        let logs = &logs;
        let writes = (0..60).map(|i| async move {
            if i % 3 == 0 { return business(place, &logs[i % 2], &format!("routes/r{i}")).await; }
            logs[i % 2].record_alone(&PLATFORM, entry(&logs[0], 1)).await.map(drop)
        });
        let outcomes = join_all(writes).await;
        let written = outcomes.iter().filter(|o| o.is_ok()).count();
        assert_eq!(written, 60, "{outcomes:?}");
        let report = verified(&log).await;
        assert!(report.is_intact(), "{:?}", report.faults);
        assert_eq!((report.head, report.events), (60, 60));
    }

    async fn each_tenant_has_a_chain_of_its_own(place) {
        let (_db, log) = place.log().await;
        let acme = Chain::Tenant("acme".into());
        write(&log, 2).await;
        log.record_alone(&acme, entry(&log, 1)).await.expect("recorded");
        log.checkpoint_all().await.expect("signed");
        let reports = log.verify(None).await.expect("verified");
        let heads: Vec<_> = reports.iter().map(|r| (r.chain.to_string(), r.head, r.checkpoints)).collect();
        assert_eq!(heads, [("platform".to_owned(), 2, 1), ("tenants/acme".to_owned(), 1, 1)]);
        assert!(reports.iter().all(hotswap_audit::ChainReport::is_intact));
    }

    async fn checkpoints_are_signed_by_any_process_and_anchored_by_all(place) {
        let (db, log) = place.log().await;
        let other = place.log_on(&db, TestKey::new(1));
        write(&log, 5).await;
        let both = tokio::join!(log.checkpoint(&PLATFORM), other.checkpoint(&PLATFORM));
        let sizes = [both.0.expect("signed"), both.1.expect("signed")];
        assert!(sizes.contains(&Some(5)), "{sizes:?}");
        assert_eq!(log.checkpoint(&PLATFORM).await.expect("nothing new"), None);
        write(&log, 3).await;
        assert_eq!(other.checkpoint(&PLATFORM).await.expect("signed"), Some(8));
        let report = verified(&log).await;
        assert!(report.is_intact(), "{:?}", report.faults);
        assert_eq!((report.checkpoints, report.anchored), (2, 8));
        assert_eq!(report.anchors, Some(2));
    }

    async fn one_process_at_a_time_signs_and_all_anchor(place) {
        let (db, log) = place.log().await;
        write(&log, 3).await;
        let lease = db.acquire_lease("audit/upkeep", "another process", std::time::Duration::from_secs(60)).await;
        let lease = lease.expect("the store").expect("free");
        log.close().await;
        assert_eq!(verified(&log).await.checkpoints, 0, "another process has the lease");
        db.release_lease(&lease).await.expect("given back");
        log.close().await;
        assert_eq!(verified(&log).await.checkpoints, 1);
    }

    async fn denied_and_failed_calls_are_in_the_log_and_a_flood_is_counted(place) {
        let (_db, log) = place.log().await;
        let attempts = log.attempts();
        for _ in 0..10_000 {
            attempts.denied(caller("-"), Reason::TokenMissing);
        }
        attempts.failed(caller("me"), "routes/\0", Reason::NotFound);
        log.write_attempts(true).await.expect("written");
        let report = verified(&log).await;
        assert!(report.is_intact(), "{:?}", report.faults);
        assert_eq!(report.head, 3);
        log.write_attempts(true).await.expect("nothing left");
        assert_eq!(verified(&log).await.head, 3);
    }
}

#[tokio::test]
async fn the_upkeep_writes_attempts_and_signs_by_itself_until_it_is_told_to_stop() {
    let place = Place::sqlite();
    let (_db, log) = place.log().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let attempts = log.attempts();
    let watched = async {
        attempts.denied(caller("-"), Reason::TokenMissing);
        while verified(&log).await.head < 1 {
            tokio::task::yield_now().await;
        }
        drop(stop);
    };
    let kept = log.clone().keep(async { drop(stopped.await) });
    tokio::join!(kept, watched);
    log.close().await;
    let report = verified(&log).await;
    assert_eq!((report.head, report.anchored), (1, 1));
    assert!(report.is_intact(), "{:?}", report.faults);
}

#[tokio::test]
async fn a_database_that_is_away_loses_no_attempt() {
    let place = Place::sqlite();
    let (db, log) = place.log().await;
    log.attempts().failed(caller("me"), "routes/a", Reason::NotFound);
    run(
        &db,
        "CREATE TRIGGER away BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'away'); END".into(),
    )
    .await
    .expect("made");
    log.write_attempts(false).await.expect_err("away");
    run(&db, "DROP TRIGGER away".into()).await.expect("dropped");
    log.write_attempts(false).await.expect("back");
    assert_eq!(verified(&log).await.head, 1);
    drop(Arc::new(place));
}
