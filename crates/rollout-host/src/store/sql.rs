//! The statements: one text for every database, but for those that lock.

macro_rules! view {
    ($rest:literal) => {
        concat!(
            "SELECT id, rollout, record, strategy, last_event, step, step_times, verdict, verdict_words, \
             created_at, updated_at, ended_at FROM rollouts ",
            $rest
        )
    };
}

macro_rules! claim {
    ($before:literal, $lock:literal) => {
        concat!(
            $before,
            "UPDATE rollouts SET fence = fence + 1, lease_owner = $2, lease_until = $3 WHERE id = \
             (SELECT id FROM rollouts WHERE domain = $1 AND wake_at <= $4 AND lease_until <= $4 \
             ORDER BY wake_at, id LIMIT 1",
            $lock,
            ") AND lease_until <= $4 RETURNING id, rollout, record, fence, last_command, wake_at, \
             measured_at, compared_at, calls"
        )
    };
}

macro_rules! next_due {
    ($before:literal) => {
        concat!(
            $before,
            "SELECT wake_at AS due FROM rollouts WHERE domain = $1 AND wake_at IS NOT NULL AND lease_until <= $2 \
             ORDER BY wake_at, id LIMIT 1"
        )
    };
}

macro_rules! ended_before {
    ($before:literal) => {
        concat!(
            $before,
            "SELECT r.id AS id, r.ended_at AS ended_at, CAST(CASE WHEN EXISTS (SELECT 1 FROM rollouts l \
             WHERE l.subject = r.subject AND l.domain = r.domain AND l.ended_at IS NOT NULL \
             AND (l.ended_at, l.id) > (r.ended_at, r.id)) THEN 1 ELSE 0 END AS BIGINT) AS followed FROM rollouts r \
             WHERE r.ended_at IS NOT NULL AND r.ended_at <= $1 AND (r.ended_at, r.id) > ($2, $3) \
             ORDER BY r.ended_at, r.id LIMIT $4"
        )
    };
}

macro_rules! before {
    ($lock:literal) => {
        concat!(
            "SELECT record, last_event, step, step_times, verdict, verdict_words, measured_at, compared_at, ended_at \
             FROM rollouts WHERE id = $1 AND fence = $2 AND generation = $3",
            $lock
        )
    };
}

pub(crate) const GET: &str = view!("WHERE id = $1");
pub(crate) const ACTIVE: &str = view!("WHERE subject = $1 AND ended_at IS NULL LIMIT 1");
pub(crate) const BY_CREATED: &str =
    view!("WHERE created_at > $1 OR (created_at = $1 AND id > $2) ORDER BY created_at, id LIMIT $3");
pub(crate) const BY_CREATED_DESC: &str = view!(
    "WHERE created_at < $1 OR (created_at = $1 AND id < $2) ORDER BY created_at DESC, id DESC LIMIT $3"
);
pub(crate) const BY_UPDATED: &str =
    view!("WHERE updated_at > $1 OR (updated_at = $1 AND id > $2) ORDER BY updated_at, id LIMIT $3");
pub(crate) const BY_UPDATED_DESC: &str = view!(
    "WHERE updated_at < $1 OR (updated_at = $1 AND id < $2) ORDER BY updated_at DESC, id DESC LIMIT $3"
);
pub(crate) const WAITING: &str = view!(
    "WHERE state = 'waiting_for_approval' AND ended_at IS NULL \
     AND (created_at > $1 OR (created_at = $1 AND id > $2)) ORDER BY created_at, id LIMIT $3"
);
pub(crate) const INSERT: &str = "INSERT INTO rollouts (id, domain, subject, from_revision, to_revision, author, \
     strategy, rollout, record, state, generation, step, step_times, last_event, last_command, calls, lease_until, \
     fence, wake_at, created_at, updated_at, ended_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, '[]', $15, 0, 0, 0, 0, $12, $13, $13, $14)";

pub(crate) const CLAIM: &str = claim!("", "");
/// Where others write at the same time: what they claim just now is passed over.
pub(crate) const CLAIM_SKIPPING: &str = claim!("", " FOR UPDATE SKIP LOCKED");
/// The first by the index of those that are due; no more are looked at than are leased before it.
pub(crate) const NEXT_DUE: &str = next_due!("");
pub(crate) const HELD: &str = "SELECT fence, calls, last_command, \
     (SELECT frozen FROM rollout_freeze WHERE rollout_freeze.id = 1) AS frozen FROM rollouts WHERE id = $1";
pub(crate) const LATER: &str = "SELECT id FROM rollouts \
     WHERE domain = $1 AND wake_at IS NOT NULL AND (wake_at > $2 OR lease_until > $2) LIMIT 1";
pub(crate) const WAKE_LATER: &str = "UPDATE rollouts SET wake_at = $2, lease_until = 0 \
     WHERE domain = $1 AND wake_at IS NOT NULL AND (wake_at > $3 OR lease_until > $3)";
pub(crate) const CALLS: &str = "SELECT fence, calls FROM rollouts WHERE id = $1";
/// Who asked for a turn since the facts were read gets it: `calls` is another one then.
pub(crate) const SAVE: &str = "UPDATE rollouts SET record = $4, state = $5, generation = $6, step = $7, \
     step_times = $8, verdict = $9, verdict_words = $10, last_event = $11, lease_until = $12, \
     wake_at = CASE WHEN calls <> $13 THEN CAST($16 AS BIGINT) ELSE CAST($14 AS BIGINT) END, \
     measured_at = $15, compared_at = $17, updated_at = CASE WHEN $18 = 1 THEN CAST($16 AS BIGINT) ELSE updated_at END, \
     ended_at = $19 WHERE id = $1 AND fence = $2 AND generation = $3";
/// What a decision builds on. SQLite has one writer.
pub(crate) const BEFORE: &str = before!("");
/// Where others write at the same time it is locked until it is saved.
pub(crate) const BEFORE_LOCKED: &str = before!(" FOR UPDATE");
pub(crate) const RELEASE: &str =
    "UPDATE rollouts SET lease_until = 0 WHERE id = $1 AND fence = $2 AND lease_until > 0";
pub(crate) const CALL_SUBJECT: &str =
    "UPDATE rollouts SET calls = calls + 1, wake_at = $2 WHERE subject = $1 AND ended_at IS NULL";
pub(crate) const CALL_ALL: &str =
    "UPDATE rollouts SET calls = calls + 1, wake_at = $1 WHERE ended_at IS NULL";
pub(crate) const STATES: &str = "SELECT domain, state, COUNT(*) AS n FROM rollouts \
     WHERE ended_at IS NULL GROUP BY domain, state";

pub(crate) const PUT_EVENT: &str =
    "INSERT INTO rollout_events (rollout_id, seq, at, kind, event) VALUES ($1, $2, $3, $4, $5)";
pub(crate) const EVENTS: &str = "SELECT seq, at, kind, event FROM rollout_events \
     WHERE rollout_id = $1 AND seq > $2 ORDER BY seq LIMIT $3";

pub(crate) const NEXT_COMMAND: &str = "UPDATE rollouts SET last_command = last_command + 1, calls = calls + 1, \
     wake_at = $2 WHERE id = $1 RETURNING last_command, record";
pub(crate) const PUT_COMMAND: &str = "INSERT INTO rollout_commands \
     (rollout_id, seq, key, actor, caller, demand, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
pub(crate) const COMMAND_OF_KEY: &str =
    "SELECT rollout_id, seq, demand, answer FROM rollout_commands WHERE key = $1";
pub(crate) const COMMANDS: &str = "SELECT seq, key, actor, caller, demand, created_at FROM rollout_commands \
     WHERE rollout_id = $1 AND seq > $2 ORDER BY seq";
pub(crate) const ANSWER: &str = "UPDATE rollout_commands SET answered_at = $3, answer = $4 \
     WHERE rollout_id = $1 AND seq = $2 AND answered_at IS NULL";
pub(crate) const ANSWERED: &str = "SELECT answer FROM rollout_commands WHERE rollout_id = $1 AND seq = $2";

pub(crate) const PUT_MEASUREMENT: &str = "INSERT INTO rollout_measurements \
     (rollout_id, at, since, epoch, slow_over_us, measurement, finding) VALUES ($1, $2, $3, $4, $5, $6, $7)";
pub(crate) const MEASUREMENTS: &str = "SELECT at, since, slow_over_us, measurement, finding \
     FROM rollout_measurements WHERE rollout_id = $1 AND at < $2 ORDER BY at DESC LIMIT $3";

pub(crate) const MEASURED_BEFORE: &str = "SELECT id FROM rollouts WHERE ended_at IS NOT NULL \
     AND measured_at IS NOT NULL AND measurements_dropped_at IS NULL AND ended_at <= $1 ORDER BY ended_at LIMIT $2";
pub(crate) const DROP_MEASUREMENTS: &str = "DELETE FROM rollout_measurements WHERE rollout_id = $1 AND at IN \
     (SELECT at FROM rollout_measurements WHERE rollout_id = $1 ORDER BY at LIMIT $2)";
pub(crate) const NOTE_DROPPED: &str = "UPDATE rollouts SET measurements_dropped_at = $2 \
     WHERE id = $1 AND measurements_dropped_at IS NULL";
/// Those that ended before a time, from a place on; `followed`: another one of the same subject ended after it.
pub(crate) const ENDED_BEFORE: &str = ended_before!("");
pub(crate) const DROP_EVENTS: &str = "DELETE FROM rollout_events WHERE rollout_id = $1 AND seq IN \
     (SELECT seq FROM rollout_events WHERE rollout_id = $1 ORDER BY seq LIMIT $2)";
pub(crate) const DROP_COMMANDS: &str = "DELETE FROM rollout_commands WHERE rollout_id = $1";
pub(crate) const DROP_COUNTS_OF: &str = "DELETE FROM rollout_counts WHERE rollout_id = $1";
pub(crate) const DROP: &str = "DELETE FROM rollouts WHERE id = $1 AND ended_at IS NOT NULL";
pub(crate) const DROPPED: &str = "SELECT measurements_dropped_at FROM rollouts WHERE id = $1";

macro_rules! policy {
    ($rest:literal) => {
        concat!(
            "SELECT id, subject, policy, uid, version, created_at, updated_at FROM rollout_policies ",
            $rest
        )
    };
}

pub(crate) const POLICY: &str = policy!("WHERE id = $1");
pub(crate) const POLICY_OF: &str = policy!("WHERE subject = $1");
pub(crate) const POLICIES: &str = policy!("WHERE id > $1 ORDER BY id LIMIT $2");
/// The name itself, then its collection, then everything.
pub(crate) const POLICY_FOR: &str = policy!(
    "WHERE subject = $1 OR subject = $2 OR subject = '*' \
     ORDER BY CASE WHEN subject = $1 THEN 0 WHEN subject = $2 THEN 1 ELSE 2 END LIMIT 1"
);
pub(crate) const PUT_POLICY: &str = "INSERT INTO rollout_policies \
     (id, subject, policy, uid, version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
     ON CONFLICT (id) DO UPDATE SET subject = excluded.subject, policy = excluded.policy, \
     version = excluded.version, updated_at = excluded.updated_at";
pub(crate) const DELETE_POLICY: &str = "DELETE FROM rollout_policies WHERE id = $1";

pub(crate) const FREEZE: &str = "SELECT frozen, reason, actor, changed_at FROM rollout_freeze WHERE id = 1";
pub(crate) const SET_FREEZE: &str = "INSERT INTO rollout_freeze (id, frozen, reason, actor, changed_at) \
     VALUES (1, $1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET frozen = excluded.frozen, \
     reason = excluded.reason, actor = excluded.actor, changed_at = excluded.changed_at";

pub(crate) const COUNTS: &str = "SELECT reporter, epoch, baseline, candidate, p95_us, slow_over_us \
     FROM rollout_counts WHERE rollout_id = $1 ORDER BY reporter";
pub(crate) const COUNTS_OF: &str = "SELECT reporter, epoch, baseline, candidate, p95_us, slow_over_us \
     FROM rollout_counts WHERE rollout_id = $1 AND reporter = $2";
pub(crate) const PUT_COUNTS: &str = "INSERT INTO rollout_counts \
     (rollout_id, reporter, epoch, baseline, candidate, p95_us, slow_over_us, reported_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (rollout_id, reporter) DO UPDATE SET epoch = excluded.epoch, baseline = excluded.baseline, \
     candidate = excluded.candidate, p95_us = excluded.p95_us, slow_over_us = excluded.slow_over_us, \
     reported_at = excluded.reported_at";
/// Few rollouts have any, so it is looked from here. Whoever reports for one that has ended adds none.
pub(crate) const DROP_COUNTS_OF_ENDED: &str = "DELETE FROM rollout_counts WHERE rollout_id IN \
     (SELECT c.rollout_id FROM rollout_counts c JOIN rollouts r ON r.id = c.rollout_id WHERE r.ended_at <= $1)";

/// Every statement, for the test that prepares them.
#[cfg(test)]
const ALL: &[&str] = &[
    GET,
    ACTIVE,
    BY_CREATED,
    BY_CREATED_DESC,
    BY_UPDATED,
    BY_UPDATED_DESC,
    WAITING,
    INSERT,
    CLAIM,
    NEXT_DUE,
    LATER,
    WAKE_LATER,
    HELD,
    SAVE,
    BEFORE,
    RELEASE,
    CALL_SUBJECT,
    CALL_ALL,
    STATES,
    PUT_EVENT,
    EVENTS,
    NEXT_COMMAND,
    PUT_COMMAND,
    COMMAND_OF_KEY,
    COMMANDS,
    CALLS,
    ANSWER,
    ANSWERED,
    PUT_MEASUREMENT,
    MEASUREMENTS,
    MEASURED_BEFORE,
    DROP_MEASUREMENTS,
    NOTE_DROPPED,
    ENDED_BEFORE,
    DROP_EVENTS,
    DROP_COMMANDS,
    DROP_COUNTS_OF,
    DROP,
    DROPPED,
    POLICY,
    POLICY_OF,
    POLICIES,
    POLICY_FOR,
    PUT_POLICY,
    DELETE_POLICY,
    FREEZE,
    SET_FREEZE,
    COUNTS,
    COUNTS_OF,
    PUT_COUNTS,
    DROP_COUNTS_OF_ENDED,
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hotswap_core::{Clock, Ids, SystemClock, SystemIds};
    use hotswap_store::{Database, Db, PostgresOptions};
    use hotswap_testkit::{TestDatabase, required};

    async fn prepare_all(database: Database) -> Db {
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let db = Db::open(&database, &clock, &ids).await.expect("open");
        for sql in super::ALL {
            db.prepare(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        }
        db
    }

    #[tokio::test]
    async fn every_statement_prepares_on_sqlite() {
        let dir = tempfile::tempdir().expect("dir");
        prepare_all(Database::Sqlite(dir.path().join("x.db"))).await;
    }

    /// With thousands of active rollouts everything else that is asked for each of them would be felt first here.
    #[tokio::test]
    async fn what_is_due_next_is_found_in_the_order_of_its_index() {
        let dir = tempfile::tempdir().expect("dir");
        let db = prepare_all(Database::Sqlite(dir.path().join("x.db"))).await;
        let mut tx = db.read().await.expect("a transaction");
        let plans: [(&str, &[hotswap_store::Value]); 2] = [
            (next_due!("EXPLAIN QUERY PLAN "), &["table".into(), 1_i64.into()]),
            (claim!("EXPLAIN QUERY PLAN ", ""), &["table".into(), "o".into(), 2_i64.into(), 1_i64.into()]),
        ];
        for (sql, values) in plans {
            let rows = tx.fetch_all(sql, values).await.expect("a plan");
            let plan: Vec<_> = rows.iter().map(|row| row.text("detail").expect("text")).collect();
            assert!(plan.iter().any(|line| line.contains("rollouts_due")), "{plan:?}");
            assert!(
                plan.iter().all(|line| !line.contains("SCAN") && !line.contains("TEMP B-TREE")),
                "{plan:?}"
            );
        }
    }

    /// A store may have a hundred thousand of them, which are looked through every ten minutes.
    #[tokio::test]
    async fn what_has_ended_is_found_in_the_order_of_its_index() {
        let dir = tempfile::tempdir().expect("dir");
        let db = prepare_all(Database::Sqlite(dir.path().join("x.db"))).await;
        let mut tx = db.read().await.expect("a transaction");
        let values = [1_i64.into(), 0_i64.into(), "".into(), 9_i64.into()];
        let rows = tx.fetch_all(ended_before!("EXPLAIN QUERY PLAN "), &values).await.expect("a plan");
        let plan: Vec<_> = rows.iter().map(|row| row.text("detail").expect("text")).collect();
        for line in
            ["SEARCH r USING INDEX rollouts_ended (", "SEARCH l USING COVERING INDEX rollouts_ended_of ("]
        {
            assert!(plan.iter().any(|of| of.contains(line)), "{plan:?}");
        }
        assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{plan:?}");
    }

    #[tokio::test]
    async fn every_statement_prepares_on_postgresql() {
        let Some(database) = required(TestDatabase::create()) else { return };
        let options = PostgresOptions::parse(&database.url()).expect("a URL");
        let db = prepare_all(Database::Postgres(Box::new(options))).await;
        db.prepare(super::CLAIM_SKIPPING).await.expect("prepares");
        db.prepare(super::BEFORE_LOCKED).await.expect("prepares");
    }
}
