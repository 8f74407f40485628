//! The end of events, and legal holds.

use hotswap_audit::{AuditError, Format, Trust, verify_export};

use crate::support::{PLATFORM, TestKey, caller, exported, kinds, on_both, run, verified, write};

const HOUR: i64 = 3_600_000_000;

on_both! {
    async fn old_events_are_dropped_up_to_a_checkpoint_and_the_log_tells_of_it(place) {
        let (_db, log) = place.log().await;
        for _ in 0..3 {
            write(&log, 4).await;
            log.checkpoint(&PLATFORM).await.expect("signed");
            place.clock.advance_micros(HOUR / 3 + 1);
        }
        // 4 are older than an hour, just so.
        assert_eq!(log.retain(&PLATFORM).await.expect("retained"), 4);
        assert_eq!(log.retain(&PLATFORM).await.expect("nothing more"), 0);
        write(&log, 2).await;
        log.checkpoint(&PLATFORM).await.expect("it goes on from the checkpoint");
        let report = verified(&log).await;
        assert!(report.is_intact(), "{:?}", report.faults);
        assert_eq!((report.floor, report.head, report.events), (4, 15, 11));
        assert_eq!(report.anchors, Some(3), "the roots are those of before");

        let bytes = exported(&log, "", Format::Csv).await;
        let keys = vec![hotswap_audit::AuditKey::public(&TestKey::new(1))];
        let offline = verify_export(bytes.as_slice(), &Trust { keys, ..Trust::default() }).expect("reads");
        assert!(offline.is_intact(), "{:?}", offline.faults);
        assert_eq!((offline.after, offline.events), (4, 12));
    }

    async fn nothing_is_dropped_while_a_legal_hold_stands(place) {
        let (_db, log) = place.log().await;
        write(&log, 4).await;
        log.checkpoint(&PLATFORM).await.expect("signed");
        let hold = log.place_hold(caller("counsel"), &PLATFORM, "case 7").await.expect("placed");
        place.clock.advance_micros(2 * HOUR);
        assert_eq!(log.retain(&PLATFORM).await.expect("held"), 0);
        let released = log.release_hold(caller("counsel"), &hold.name).await.expect("released");
        assert_eq!(log.hold(&hold.name).await.expect("there"), released);
        let again = log.release_hold(caller("counsel"), &hold.name).await.expect_err("once");
        assert!(matches!(again, AuditError::HoldReleased { .. }), "{again}");
        assert_eq!(log.retain(&PLATFORM).await.expect("retained"), 4);
        let report = verified(&log).await;
        assert!(report.is_intact(), "{:?}", report.faults);
        // The hold, its release, and the drop.
        assert_eq!((report.floor, report.head), (4, 7));
    }

    async fn a_drop_on_another_path_is_found(place) {
        let (db, log) = place.log().await;
        for _ in 0..2 {
            write(&log, 4).await;
            log.checkpoint(&PLATFORM).await.expect("signed");
        }
        // Through the very door that the triggers leave open.
        run(&db, "UPDATE audit_chains SET floor = 4".into()).await.expect("raised");
        run(&db, "DELETE FROM audit_events WHERE sequence <= 4".into()).await.expect("deleted");
        assert_eq!(kinds(&verified(&log).await), ["RETENTION_UNRECORDED"]);
    }

    async fn holds_are_listed_and_what_is_none_is_told(place) {
        let (_db, log) = place.log().await;
        let mut placed = Vec::new();
        for i in 0..3 {
            placed.push(log.place_hold(caller("counsel"), &PLATFORM, &format!("case {i}")).await.expect("placed"));
        }
        let (first, next) = log.list_holds(&PLATFORM, 2, "").await.expect("a page");
        let (second, end) = log.list_holds(&PLATFORM, 2, &next).await.expect("a page");
        assert_eq!([first, second].concat(), placed);
        assert_eq!(end, "");
        for name in ["legalHolds/x", "x", "legalHolds/00000000-0000-7000-8000-000000000000"] {
            let refused = log.release_hold(caller("counsel"), name).await.expect_err(name);
            assert!(matches!(refused, AuditError::HoldNotFound { .. }), "{refused}");
        }
        log.place_hold(caller("counsel"), &PLATFORM, " ").await.expect_err("no reason");
    }
}
