//! The triggers: what the database itself refuses.

use crate::support::{PLATFORM, caller, kinds, on_both, run, verified, write};

/// Statements that must fail on both databases.
const REFUSED: &[&str] = &[
    "UPDATE audit_events SET actor = 'x'",
    "UPDATE audit_events SET actor = actor WHERE sequence = 1",
    "DELETE FROM audit_events",
    "DELETE FROM audit_events WHERE sequence = 3",
    "INSERT INTO audit_events SELECT * FROM audit_events WHERE sequence = 1",
    "UPDATE audit_chains SET sequence = 1",
    "UPDATE audit_chains SET chain = 'other'",
    "UPDATE audit_chains SET floor = 1",
    "DELETE FROM audit_chains",
    "UPDATE audit_checkpoints SET note = ''",
    "DELETE FROM audit_checkpoints",
    "DELETE FROM audit_holds",
    "UPDATE audit_holds SET reason = 'x'",
];

const REFUSED_BY_SQLITE: &[&str] = &[
    "INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events WHERE sequence = 1",
    "REPLACE INTO audit_chains (chain, sequence, hash, floor) VALUES ('platform', 1, 'x', 0)",
    "INSERT OR REPLACE INTO audit_checkpoints SELECT chain, size, frontier, 'x' FROM audit_checkpoints",
    "UPDATE OR REPLACE audit_events SET sequence = 1 WHERE sequence = 2",
];

const REFUSED_BY_POSTGRES: &[&str] = &[
    "TRUNCATE audit_events",
    "TRUNCATE audit_chains, audit_events",
    "TRUNCATE audit_checkpoints",
    "TRUNCATE audit_holds",
    "INSERT INTO audit_events SELECT * FROM audit_events WHERE sequence = 1 \
     ON CONFLICT (chain, sequence) DO UPDATE SET actor = 'x'",
];

on_both! {
    async fn the_database_refuses_to_change_delete_or_truncate_the_log(place) {
        let (db, log) = place.log().await;
        write(&log, 4).await;
        log.checkpoint(&PLATFORM).await.expect("signed");
        let hold = log.place_hold(caller("counsel"), &PLATFORM, "case 7").await.expect("placed");
        let of_one = if place.is_postgres() { REFUSED_BY_POSTGRES } else { REFUSED_BY_SQLITE };
        for sql in REFUSED.iter().chain(of_one) {
            run(&db, (*sql).to_owned()).await.expect_err(sql);
        }
        log.release_hold(caller("counsel"), &hold.name).await.expect("released");
        run(&db, "UPDATE audit_holds SET released_at = NULL, released_by = NULL".into()).await.expect_err("released once");
        let report = verified(&log).await;
        assert!(report.is_intact(), "{:?}", report.faults);
        assert_eq!(report.head, 6);
    }

    async fn a_guard_that_was_taken_off_is_told(place) {
        let (db, log) = place.log().await;
        write(&log, 1).await;
        place.unguarded(&db).await;
        let report = verified(&log).await;
        assert!(!report.faults.is_empty());
        assert!(kinds(&report).iter().all(|kind| *kind == "GUARD_MISSING"), "{:?}", report.faults);
    }
}

#[tokio::test]
async fn the_guards_hold_where_replication_applies_changes() {
    let Some(place) = crate::support::Place::postgres() else { return };
    let (db, log) = place.log().await;
    write(&log, 1).await;
    let mut tx = db.write_unscoped().await.expect("tx");
    tx.execute("SET LOCAL session_replication_role = replica", &[]).await.expect("set");
    tx.execute("DELETE FROM audit_events", &[]).await.expect_err("refused");
}

/// As the guide says: the control plane writes as a role that owns nothing.
#[tokio::test]
async fn a_role_that_does_not_own_the_tables_writes_and_can_not_take_the_guards_off() {
    let Some(place) = crate::support::Place::postgres() else { return };
    place.db().await.close().await;
    let role = place.role();
    for sql in [
        format!("CREATE ROLE {role} LOGIN"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"),
        format!("GRANT CREATE ON SCHEMA public TO {role}"),
    ] {
        place.sql(&sql);
    }
    let db = place.db_as(&role).await;
    let log = place.log_on(&db, crate::support::TestKey::new(1));
    write(&log, 2).await;
    log.checkpoint(&PLATFORM).await.expect("signed");
    for refused in [
        "DROP TRIGGER audit_events_delete ON audit_events",
        "ALTER TABLE audit_events DISABLE TRIGGER USER",
        "SET session_replication_role = replica",
        "TRUNCATE audit_events",
        "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
    ] {
        run(&db, refused.to_owned()).await.expect_err(refused);
    }
    place.clock.advance_micros(2 * 3_600_000_000);
    assert_eq!(log.retain(&PLATFORM).await.expect("retained"), 2);
    let report = verified(&log).await;
    assert!(report.is_intact(), "{:?}", report.faults);
    db.close().await;
    place.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
