//! The statements: one text for every database.

pub(crate) const PUT: &str = "INSERT INTO outbox_messages \
     (id, dedupe_key, kind, subject, data, at, put_at, fanned_out) VALUES ($1, $2, $3, $4, $5, $6, $7, 0) \
     ON CONFLICT (dedupe_key) DO NOTHING";

/// A process has a channel. What it was first told of stays.
pub(crate) const REGISTER: &str = "INSERT INTO outbox_channels (id, wants, since, seen_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (id) DO UPDATE SET wants = excluded.wants, seen_at = excluded.seen_at";
pub(crate) const CHANNELS: &str =
    "SELECT id, wants, since FROM outbox_channels WHERE seen_at >= $1 ORDER BY id";
pub(crate) const FORGET_CHANNELS: &str = "DELETE FROM outbox_channels WHERE seen_at < $1";
/// What nobody will be told of, as there is no channel anywhere.
pub(crate) const DROP_UNTOLD: &str = "DELETE FROM outbox_messages WHERE fanned_out = 0 AND put_at < $1 \
     AND NOT EXISTS (SELECT 1 FROM outbox_channels)";

/// Messages that have no deliveries yet, oldest first.
pub(crate) const NEW: &str =
    "SELECT id, kind, put_at FROM outbox_messages WHERE fanned_out = 0 ORDER BY put_at, id LIMIT $1";
/// One replica gets the row, the others wait for it and change nothing.
pub(crate) const FAN_OUT: &str = "UPDATE outbox_messages SET fanned_out = 1 WHERE id = $1 AND fanned_out = 0";
pub(crate) const ADD_DELIVERY: &str = "INSERT INTO outbox_deliveries \
     (message_id, channel, state, attempts, fence, due_at, ended_at, last_error) \
     VALUES ($1, $2, 'waiting', 0, 0, $3, NULL, '') ON CONFLICT (message_id, channel) DO NOTHING";

pub(crate) const DUE: &str = "SELECT message_id, attempts, fence FROM outbox_deliveries \
     WHERE channel = $1 AND state = 'waiting' AND due_at <= $2 ORDER BY due_at, message_id LIMIT $3";
pub(crate) const NEXT_DUE: &str =
    "SELECT MIN(due_at) AS due_at FROM outbox_deliveries WHERE channel = $1 AND state = 'waiting'";
/// Only as it was seen: of several that saw it, one changes it.
pub(crate) const CLAIM: &str = "UPDATE outbox_deliveries SET attempts = attempts + 1, fence = fence + 1, due_at = $5 \
     WHERE message_id = $1 AND channel = $2 AND fence = $3 AND state = 'waiting' AND due_at <= $4";
pub(crate) const MESSAGE: &str =
    "SELECT dedupe_key, kind, subject, data, at FROM outbox_messages WHERE id = $1";

/// Whoever has it by now: it is with the receiver.
pub(crate) const SENT: &str = "UPDATE outbox_deliveries SET state = 'sent', ended_at = $3, last_error = '' \
     WHERE message_id = $1 AND channel = $2 AND state = 'waiting'";
pub(crate) const AGAIN: &str = "UPDATE outbox_deliveries SET due_at = $4, last_error = $5 \
     WHERE message_id = $1 AND channel = $2 AND fence = $3 AND state = 'waiting'";
pub(crate) const DEAD: &str = "UPDATE outbox_deliveries SET state = 'dead', ended_at = $4, last_error = $5 \
     WHERE message_id = $1 AND channel = $2 AND fence = $3 AND state = 'waiting'";

pub(crate) const DELIVERIES: &str = "SELECT d.channel, d.state, d.attempts, d.due_at, d.ended_at, d.last_error \
     FROM outbox_deliveries d JOIN outbox_messages m ON m.id = d.message_id \
     WHERE m.dedupe_key = $1 ORDER BY d.channel";
pub(crate) const REVIVE: &str = "UPDATE outbox_deliveries SET state = 'waiting', attempts = 0, due_at = $3, \
     ended_at = NULL WHERE channel = $2 AND state = 'dead' \
     AND message_id = (SELECT id FROM outbox_messages WHERE dedupe_key = $1)";

pub(crate) const COUNT: &str =
    "SELECT COUNT(*) AS n FROM outbox_deliveries WHERE channel = $1 AND state = $2";
/// What no replica has taken up for very long: its channel is configured nowhere.
pub(crate) const GIVE_UP: &str = "UPDATE outbox_deliveries SET state = 'dead', ended_at = $2, last_error = $3 \
     WHERE state = 'waiting' AND due_at < $1";
pub(crate) const DROP_DELIVERIES: &str =
    "DELETE FROM outbox_deliveries WHERE state <> 'waiting' AND ended_at < $1";
pub(crate) const DROP_MESSAGES: &str = "DELETE FROM outbox_messages WHERE fanned_out = 1 AND put_at < $1 \
     AND NOT EXISTS (SELECT 1 FROM outbox_deliveries d WHERE d.message_id = outbox_messages.id)";

/// Every statement, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    PUT,
    REGISTER,
    CHANNELS,
    FORGET_CHANNELS,
    DROP_UNTOLD,
    NEW,
    FAN_OUT,
    ADD_DELIVERY,
    DUE,
    NEXT_DUE,
    CLAIM,
    MESSAGE,
    SENT,
    AGAIN,
    DEAD,
    DELIVERIES,
    REVIVE,
    COUNT,
    GIVE_UP,
    DROP_DELIVERIES,
    DROP_MESSAGES,
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hotswap_core::{Clock, Ids, SystemClock, SystemIds};
    use hotswap_store::{Database, Db, PostgresOptions};
    use hotswap_testkit::{TestDatabase, required};

    async fn prepare_all(database: Database) {
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let db = Db::open(&database, &clock, &ids).await.expect("open");
        for sql in super::ALL {
            db.prepare(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        }
    }

    #[tokio::test]
    async fn every_statement_prepares_on_sqlite() {
        let dir = tempfile::tempdir().expect("dir");
        prepare_all(Database::Sqlite(dir.path().join("x.db"))).await;
    }

    #[tokio::test]
    async fn every_statement_prepares_on_postgresql() {
        let Some(database) = required(TestDatabase::create()) else { return };
        let options = PostgresOptions::parse(&database.url()).expect("a URL");
        prepare_all(Database::Postgres(Box::new(options))).await;
    }
}
