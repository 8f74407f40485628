//! What the owner of a database can do with the guards taken off, and how each is found.

use hotswap_audit::{AuditLog, ChainReport};
use hotswap_store::Db;

use crate::support::{PLATFORM, Place, TestKey, kinds, on_both, run, verified, write};

/// A log of 12 events in two checkpoints, both anchored, without guards.
async fn prepared(place: &Place) -> (Db, AuditLog) {
    let (db, log) = place.log().await;
    for n in [5, 5, 2] {
        write(&log, n).await;
        if n == 5 {
            log.checkpoint(&PLATFORM).await.expect("signed");
        }
    }
    place.unguarded(&db).await;
    (db, log)
}

/// What is wrong besides the guards.
async fn found(log: &AuditLog) -> Vec<&'static str> {
    let report: ChainReport = verified(log).await;
    kinds(&report).into_iter().filter(|kind| *kind != "GUARD_MISSING").collect()
}

/// A change of every column of events, chains and checkpoints.
const CHANGES: &[&str] = &[
    "UPDATE audit_events SET chain = 'tenants/x' WHERE sequence = 7",
    "UPDATE audit_events SET sequence = 1000 WHERE sequence = 7",
    "UPDATE audit_events SET id = '00000000-0000-7000-8000-000000000001' WHERE sequence = 7",
    "UPDATE audit_events SET at = at + 1 WHERE sequence = 7",
    "UPDATE audit_events SET actor = 'Mallory' WHERE sequence = 7",
    "UPDATE audit_events SET actor = actor || ' ' WHERE sequence = 12",
    "UPDATE audit_events SET roles = 'admin' WHERE sequence = 7",
    "UPDATE audit_events SET tenant = 'x' WHERE sequence = 7",
    "UPDATE audit_events SET method = 'x' WHERE sequence = 7",
    "UPDATE audit_events SET resource = 'routes/x' WHERE sequence = 7",
    "UPDATE audit_events SET revision = revision + 1 WHERE sequence = 7",
    "UPDATE audit_events SET outcome = 'denied' WHERE sequence = 7",
    "UPDATE audit_events SET reason = 'x' WHERE sequence = 7",
    "UPDATE audit_events SET request_id = UPPER(request_id) WHERE sequence = 7",
    "UPDATE audit_events SET source = '' WHERE sequence = 7",
    "UPDATE audit_events SET before_hash = '' WHERE sequence = 7",
    "UPDATE audit_events SET after_hash = UPPER(after_hash) WHERE sequence = 7",
    "UPDATE audit_events SET changes = '' WHERE sequence = 7",
    "UPDATE audit_events SET changes = REPLACE(changes, ':', ': ') WHERE sequence = 7",
    "UPDATE audit_events SET attempts = 2 WHERE sequence = 7",
    "UPDATE audit_events SET previous_hash = hash WHERE sequence = 7",
    "UPDATE audit_events SET hash = previous_hash WHERE sequence = 7",
    "UPDATE audit_events SET hash = 'x' WHERE sequence = 12",
    "DELETE FROM audit_events WHERE sequence = 1",
    "DELETE FROM audit_events WHERE sequence = 7",
    "DELETE FROM audit_events WHERE sequence = 12",
    "DELETE FROM audit_events",
    "UPDATE audit_chains SET sequence = 11",
    "UPDATE audit_chains SET sequence = 13",
    "UPDATE audit_chains SET hash = 'x'",
    "UPDATE audit_chains SET floor = 5",
    "UPDATE audit_chains SET floor = 6",
    "DELETE FROM audit_chains",
    "UPDATE audit_checkpoints SET size = 6 WHERE size = 5",
    "UPDATE audit_checkpoints SET frontier = 'x' WHERE size = 5",
    "UPDATE audit_checkpoints SET note = REPLACE(note, 'time 1', 'time 2') WHERE size = 10",
    "UPDATE audit_checkpoints SET chain = 'x' WHERE size = 5",
    "DELETE FROM audit_checkpoints WHERE size = 5",
    "DELETE FROM audit_checkpoints WHERE size = 10",
];

/// Cells whose every character and number is changed by a bit.
struct Cells {
    table: &'static str,
    which: &'static str,
    texts: &'static [&'static str],
    numbers: &'static [&'static str],
}

const CELLS: &[Cells] = &[
    Cells {
        table: "audit_events",
        which: "sequence = 7",
        texts: &[
            "id",
            "actor",
            "roles",
            "method",
            "resource",
            "outcome",
            "request_id",
            "source",
            "before_hash",
            "after_hash",
            "changes",
            "previous_hash",
            "hash",
        ],
        numbers: &["at", "revision", "attempts"],
    },
    Cells {
        table: "audit_chains",
        which: "chain = 'platform'",
        texts: &["hash"],
        numbers: &["sequence", "floor"],
    },
    Cells { table: "audit_checkpoints", which: "size = 5", texts: &["frontier", "note"], numbers: &["size"] },
    Cells { table: "audit_checkpoints", which: "size = 10", texts: &["frontier", "note"], numbers: &[] },
];

/// A cell as SQL has it, and what it becomes by a change of one bit: of each character one of its bits, of a number
/// each.
async fn changes_of(
    db: &Db,
    table: &str,
    column: &'static str,
    which: &str,
    number: bool,
) -> (String, Vec<String>) {
    let sql = format!("SELECT {column} FROM {table} WHERE {which}");
    let row = db.read().await.expect("tx").fetch_opt(Box::leak(sql.into_boxed_str()), &[]).await;
    let row = row.expect("read").expect("there");
    if number {
        let value = row.int(column).expect("a number");
        // Not the sign's: no column allows what it would make.
        return (value.to_string(), (0..63).map(|bit| (value ^ 1 << bit).to_string()).collect());
    }
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let text = row.text(column).expect("a text");
    let characters: Vec<char> = text.chars().collect();
    let changed = (0..characters.len()).map(|at| {
        let flip = |(i, c): (usize, &char)| match (i == at, u8::try_from(*c)) {
            // PostgreSQL takes no NUL, so none is made.
            (true, Ok(byte)) if byte.is_ascii() => match byte ^ 1 << (at % 7) {
                0 => char::from(byte ^ 1 << ((at + 1) % 7)),
                changed => char::from(changed),
            },
            (true, _) => '?',
            (false, _) => *c,
        };
        quoted(&characters.iter().enumerate().map(flip).collect::<String>())
    });
    (quoted(&text), changed.collect())
}

on_both! {
    async fn a_log_that_nobody_touched_is_intact(place) {
        let (_db, log) = prepared(place).await;
        assert_eq!(found(&log).await, Vec::<&str>::new());
    }

    async fn a_change_of_any_column_is_found_and_nothing_when_it_is_undone(place) {
        let (db, log) = prepared(place).await;
        for sql in CHANGES {
            // In a transaction that others don't see, so that the next one finds the log whole.
            let tables = ["audit_events", "audit_chains", "audit_checkpoints"];
            for table in tables {
                run(&db, format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await.expect("kept");
            }
            assert!(run(&db, (*sql).to_owned()).await.expect(sql) > 0, "{sql}");
            assert_ne!(found(&log).await, Vec::<&str>::new(), "{sql}");
            for table in tables {
                run(&db, format!("DELETE FROM {table}")).await.expect("emptied");
                run(&db, format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await.expect("put back");
                run(&db, format!("DROP TABLE kept_{table}")).await.expect("dropped");
            }
            assert_eq!(found(&log).await, Vec::<&str>::new(), "after {sql}");
        }
    }

    async fn a_changed_bit_of_any_character_or_number_is_found_in_the_database(place) {
        let (db, log) = prepared(place).await;
        let mut tried = 0;
        for Cells { table, which, texts, numbers } in CELLS {
            for column in texts.iter().chain(numbers.iter()) {
                let set = |value: &str| format!("UPDATE {table} SET {column} = {value} WHERE {which}");
                let (before, changed) = changes_of(&db, table, column, which, numbers.contains(column)).await;
                for value in &changed {
                    assert_eq!(run(&db, set(value)).await.expect(value), 1, "{value}");
                    assert_ne!(found(&log).await, Vec::<&str>::new(), "{table}.{column} = {value}");
                    tried += 1;
                    // The place of a row may be what was changed: then it is found by its new value.
                    let moved = which.starts_with(column).then(|| format!("{column} = {value}"));
                    let there = moved.as_deref().unwrap_or(which);
                    let back = format!("UPDATE {table} SET {column} = {before} WHERE {there}");
                    assert_eq!(run(&db, back).await.expect("put back"), 1);
                }
            }
        }
        assert!(tried > 1_000, "{tried}");
        assert_eq!(found(&log).await, Vec::<&str>::new());
    }

    async fn two_events_that_changed_places_are_found(place) {
        let (db, log) = prepared(place).await;
        for (from, to) in [(3, 1_000), (4, 3), (1_000, 4)] {
            run(&db, format!("UPDATE audit_events SET sequence = {to} WHERE sequence = {from}")).await.expect("moved");
        }
        assert!(found(&log).await.contains(&"EVENT_ALTERED"));
    }

    async fn a_tail_that_was_cut_off_with_all_that_tells_of_it_is_found_by_the_anchors(place) {
        let (db, log) = prepared(place).await;
        for sql in [
            "DELETE FROM audit_events WHERE sequence > 5",
            "DELETE FROM audit_checkpoints WHERE size > 5",
            "UPDATE audit_chains SET sequence = 5, hash = (SELECT hash FROM audit_events WHERE sequence = 5)",
        ] {
            run(&db, sql.to_owned()).await.expect(sql);
        }
        assert_eq!(found(&log).await, ["LOG_TRUNCATED"]);
        // Nor does it help to write on until there are as many again.
        write(&log, 10).await;
        assert_eq!(found(&log).await, ["ANCHOR_MISMATCH", "CHECKPOINT_MISMATCH"]);
    }

    async fn a_log_made_anew_by_somebody_with_the_database_alone_is_found(place) {
        let (db, log) = prepared(place).await;
        for sql in ["DELETE FROM audit_events", "DELETE FROM audit_checkpoints", "DELETE FROM audit_chains"] {
            run(&db, sql.to_owned()).await.expect(sql);
        }
        let forger = AuditLog::open(
            db,
            hotswap_audit::AuditOptions::default(),
            std::sync::Arc::new(TestKey::new(9)),
            std::sync::Arc::clone(&place.clock) as _,
            std::sync::Arc::new(hotswap_core::SystemIds),
        );
        let forger = forger.expect("opens");
        write(&forger, 12).await;
        forger.checkpoint(&PLATFORM).await.expect("signed");
        let kinds = found(&log).await;
        assert!(kinds.contains(&"CHECKPOINT_INVALID") && kinds.contains(&"ANCHOR_MISMATCH"), "{kinds:?}");
    }

    async fn a_chain_that_is_gone_altogether_is_found_by_the_anchors(place) {
        let (db, log) = prepared(place).await;
        let acme = hotswap_audit::Chain::Tenant("acme".into());
        log.record_alone(&acme, crate::support::entry(&log, 1)).await.expect("recorded");
        log.checkpoint(&acme).await.expect("signed");
        for table in ["audit_events", "audit_checkpoints", "audit_chains"] {
            run(&db, format!("DELETE FROM {table} WHERE chain = 'tenants/acme'")).await.expect("deleted");
        }
        let reports = log.verify(None).await.expect("verified");
        let acme = reports.iter().find(|r| r.chain == acme).expect("there");
        assert_eq!(kinds(acme), ["LOG_TRUNCATED"]);
    }

    async fn what_was_changed_is_not_signed(place) {
        let (db, log) = prepared(place).await;
        run(&db, "UPDATE audit_events SET actor = 'Mallory' WHERE sequence = 11".into()).await.expect("changed");
        let refused = log.checkpoint(&PLATFORM).await.expect_err("damaged").to_string();
        assert!(refused.starts_with("event 11 of platform is damaged"), "{refused}");
    }

    async fn an_anchor_that_was_changed_is_found(place) {
        let (_db, log) = prepared(place).await;
        let text = std::fs::read_to_string(place.anchors()).expect("there");
        std::fs::write(place.anchors(), text.replacen("time 1", "time 2", 1)).expect("written");
        assert_eq!(found(&log).await, ["ANCHOR_INVALID"]);
    }
}
