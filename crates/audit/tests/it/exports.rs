//! Exports, verified without the store.

use hotswap_audit::{
    AnchorSet, AuditError, AuditKey as _, ExportQuery, ExportReport, Format, Trust, verify_export,
};

use crate::support::{PLATFORM, Place, TestKey, caller, exported, on_both, run, write};

fn trust() -> Trust {
    Trust { keys: vec![TestKey::new(1).public()], anchors: AnchorSet::default() }
}

fn trust_with_anchors(place: &Place) -> Trust {
    let keys = trust().keys;
    let file = std::fs::File::open(place.anchors()).expect("there");
    Trust { anchors: AnchorSet::read(file, &keys).expect("reads"), keys }
}

fn verify(bytes: &[u8], trust: &Trust) -> ExportReport {
    verify_export(bytes, trust).expect("reads")
}

on_both! {
    async fn an_export_verifies_without_the_store_in_both_forms(place) {
        let (_db, log) = place.log().await;
        write(&log, 20).await;
        log.checkpoint(&PLATFORM).await.expect("signed");
        for (n, format) in [(21, Format::Json), (22, Format::Csv)] {
            let bytes = exported(&log, "", format).await;
            let report = verify(&bytes, &trust_with_anchors(place));
            assert!(report.is_intact(), "{:?}", report.faults);
            assert_eq!((report.events, report.omitted, report.through, report.anchors), (n, 0, i64::try_from(n).expect("small"), 1));
            assert_eq!(report.exported_by, "auditor");
            assert_eq!(report.signed_by.map(|k| k.to_string()), Some(report.public_key));
        }
    }

    async fn an_export_with_a_filter_shows_what_it_left_out_and_still_has_its_proof(place) {
        let (_db, log) = place.log().await;
        write(&log, 40).await;
        for format in [Format::Json, Format::Csv] {
            for (filter, events) in [("resource = routes/r3", 8), ("actor = user-1", 13), ("actor = nobody", 0)] {
                let bytes = exported(&log, filter, format).await;
                let report = verify(&bytes, &trust());
                assert!(report.is_intact(), "{filter}: {:?}", report.faults);
                assert_eq!(report.events, events, "{filter}");
                assert_eq!(report.events + report.omitted, report.through.unsigned_abs());
            }
        }
    }

    async fn a_damaged_log_is_not_signed(place) {
        let (db, log) = place.log().await;
        write(&log, 5).await;
        place.unguarded(&db).await;
        run(&db, "UPDATE audit_events SET actor = 'Mallory' WHERE sequence = 3".into()).await.expect("changed");
        let query = ExportQuery { chain: PLATFORM, filter: String::new(), format: Format::Json };
        let mut export = log.export(caller("auditor"), query).await.expect("begins");
        let refused = loop {
            match export.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it must not end as if all were well"),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, AuditError::Damaged { sequence: 3, .. }), "{refused}");
    }
}

#[tokio::test]
async fn every_flipped_byte_of_an_export_is_found() {
    let place = Place::sqlite();
    let (_db, log) = place.log().await;
    write(&log, 6).await;
    for (filter, format) in [
        ("", Format::Json),
        ("", Format::Csv),
        ("actor = user-1", Format::Json),
        ("actor = user-1", Format::Csv),
    ] {
        let whole = exported(&log, filter, format).await;
        assert!(verify(&whole, &trust()).is_intact());
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(!verify(&bytes, &trust()).is_intact(), "byte {at} of {format:?} with {filter:?}");
        }
    }
}

#[tokio::test]
async fn an_export_that_was_cut_lengthened_or_put_together_anew_is_found() {
    let place = Place::sqlite();
    let (_db, log) = place.log().await;
    write(&log, 6).await;
    let whole = exported(&log, "", Format::Json).await;
    let text = String::from_utf8(whole).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let joined = |lines: &[&str]| (lines.join("\n") + "\n").into_bytes();
    for n in 0..lines.len() {
        assert!(!verify(&joined(&lines[..n]), &trust()).is_intact(), "cut at {n}");
        let without: Vec<_> = lines.iter().enumerate().filter(|(i, _)| *i != n).map(|(_, l)| *l).collect();
        assert!(!verify(&joined(&without), &trust()).is_intact(), "without {n}");
        let mut swapped = lines.clone();
        swapped.swap(n, (n + 1) % lines.len());
        assert!(!verify(&joined(&swapped), &trust()).is_intact(), "swapped {n}");
    }
    for more in [lines[3], "{}", ""] {
        let longer = format!("{text}{more}\n");
        assert!(!verify(longer.as_bytes(), &trust()).is_intact(), "{more}");
    }
}

#[tokio::test]
async fn an_export_of_a_key_that_is_not_trusted_is_not_believed() {
    let place = Place::sqlite();
    let db = place.db().await;
    let log = place.log_on(&db, TestKey::new(2));
    write(&log, 2).await;
    let report = verify(&exported(&log, "", Format::Json).await, &trust());
    assert!(!report.is_intact());
    assert_eq!(report.signed_by, None);
    assert!(report.faults.list()[0].message.contains("not a key that is trusted"), "{:?}", report.faults);
}

#[tokio::test]
async fn an_export_of_a_log_made_anew_with_the_right_key_is_found_by_the_anchors() {
    let (place, other) = (Place::sqlite(), Place::sqlite());
    let (_db, log) = place.log().await;
    write(&log, 4).await;
    log.checkpoint(&PLATFORM).await.expect("signed");
    let (_db, forged) = other.log().await;
    write(&forged, 9).await;
    let report = verify(&exported(&forged, "", Format::Json).await, &trust_with_anchors(&place));
    let kinds: Vec<_> = report.faults.list().iter().map(|f| f.kind.as_str()).collect();
    assert_eq!(kinds, ["ANCHOR_MISMATCH"]);
}

#[tokio::test]
async fn large_exports_come_in_pieces_and_hold_every_event() {
    let place = Place::sqlite();
    let (db, log) = place.log().await;
    let mut tx = db.write_unscoped().await.expect("tx");
    for i in 0..1_500 {
        log.record(&mut tx, &PLATFORM, crate::support::entry(&log, i)).await.expect("recorded");
    }
    tx.commit().await.expect("commit");
    for filter in ["", "revision = 700"] {
        let report = verify(&exported(&log, filter, Format::Json).await, &trust());
        assert!(report.is_intact(), "{:?}", report.faults);
        assert_eq!(report.events + report.omitted, report.through.unsigned_abs());
    }
}
