//! The statements: one text for every database.

pub(crate) const ADVANCE: &str =
    "UPDATE audit_chains SET sequence = sequence + 1 WHERE chain = $1 RETURNING sequence, hash";
pub(crate) const BEGIN_ONCE: &str = "INSERT INTO audit_chains (chain, sequence, hash, floor) \
     SELECT CAST($1 AS TEXT), 0, CAST($2 AS TEXT), 0 WHERE NOT EXISTS (SELECT 1 FROM audit_chains WHERE chain = $1) \
     ON CONFLICT (chain) DO NOTHING";
pub(crate) const SET_HEAD: &str = "UPDATE audit_chains SET hash = $2 WHERE chain = $1";
/// It changes nothing, but locks the row: there is one writer of a chain at a time.
pub(crate) const LOCK: &str =
    "UPDATE audit_chains SET sequence = sequence WHERE chain = $1 RETURNING sequence, hash, floor";
pub(crate) const CHAIN: &str = "SELECT sequence, hash, floor FROM audit_chains WHERE chain = $1";
pub(crate) const CHAINS: &str =
    "SELECT chain FROM audit_chains UNION SELECT DISTINCT chain FROM audit_events ORDER BY chain";
/// Events behind the newest checkpoint of their chain.
pub(crate) const UNSIGNED: &str = "SELECT CAST(COALESCE(SUM(c.sequence - \
     COALESCE((SELECT MAX(p.size) FROM audit_checkpoints p WHERE p.chain = c.chain), 0)), 0) AS BIGINT) AS unsigned \
     FROM audit_chains c";
pub(crate) const ENDS: &str =
    "SELECT MIN(sequence) AS first, MAX(sequence) AS last FROM audit_events WHERE chain = $1";
pub(crate) const RAISE_FLOOR: &str = "UPDATE audit_chains SET floor = $2 WHERE chain = $1";

pub(crate) const INSERT: &str = "INSERT INTO audit_events \
     (chain, sequence, id, at, actor, roles, tenant, method, resource, revision, outcome, reason, request_id, \
     source, before_hash, after_hash, changes, attempts, previous_hash, hash) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";

macro_rules! events {
    ($rest:literal) => {
        concat!(
            "SELECT chain, sequence, id, at, actor, roles, tenant, method, resource, revision, outcome, \
             reason, request_id, source, before_hash, after_hash, changes, attempts, previous_hash, hash \
             FROM audit_events ",
            $rest
        )
    };
}

/// Behind a place, oldest first.
pub(crate) const AFTER: &str =
    events!("WHERE chain = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence LIMIT $4");
// Before a place, newest first, within a time. All take the same values.
pub(crate) const BEFORE: &str = events!(
    "WHERE chain = $1 AND sequence < $2 AND at >= $3 AND at <= $4 AND CAST($5 AS TEXT) IS NOT NULL \
     ORDER BY sequence DESC LIMIT $6"
);
pub(crate) const BEFORE_OF_ACTOR: &str = events!(
    "WHERE chain = $1 AND sequence < $2 AND at >= $3 AND at <= $4 AND actor = $5 \
     ORDER BY sequence DESC LIMIT $6"
);
pub(crate) const BEFORE_OF_RESOURCE: &str = events!(
    "WHERE chain = $1 AND sequence < $2 AND at >= $3 AND at <= $4 AND resource = $5 \
     ORDER BY sequence DESC LIMIT $6"
);
pub(crate) const NEWEST_AT: &str =
    "SELECT MAX(at) AS at FROM audit_events WHERE chain = $1 AND sequence <= $2";
pub(crate) const DROP: &str = "DELETE FROM audit_events WHERE chain = $1 AND sequence <= $2";

pub(crate) const PUT_CHECKPOINT: &str =
    "INSERT INTO audit_checkpoints (chain, size, frontier, note) VALUES ($1, $2, $3, $4)";
pub(crate) const LAST_CHECKPOINT: &str = "SELECT size, frontier, note FROM audit_checkpoints \
     WHERE chain = $1 ORDER BY size DESC LIMIT 1";
pub(crate) const CHECKPOINT: &str =
    "SELECT size, frontier, note FROM audit_checkpoints WHERE chain = $1 AND size = $2";
pub(crate) const CHECKPOINTS: &str = "SELECT size, frontier, note FROM audit_checkpoints \
     WHERE chain = $1 AND size > $2 AND size <= $3 ORDER BY size LIMIT $4";

pub(crate) const PUT_HOLD: &str = "INSERT INTO audit_holds \
     (id, chain, reason, placed_by, placed_at, released_by, released_at) \
     VALUES ($1, $2, $3, $4, $5, NULL, NULL)";
pub(crate) const RELEASE_HOLD: &str =
    "UPDATE audit_holds SET released_by = $2, released_at = $3 WHERE id = $1 AND released_at IS NULL";
pub(crate) const HOLD: &str = "SELECT id, chain, reason, placed_by, placed_at, released_by, released_at \
     FROM audit_holds WHERE id = $1";
pub(crate) const HOLDS: &str = "SELECT id, chain, reason, placed_by, placed_at, released_by, released_at \
     FROM audit_holds WHERE chain = $1 AND id > $2 ORDER BY id LIMIT $3";
pub(crate) const HELD: &str = "SELECT id FROM audit_holds WHERE chain = $1 AND released_at IS NULL LIMIT 1";

/// The triggers that are there and on. They are the same on both databases, but for those that only one needs.
pub(crate) const GUARDS_SQLITE: &str =
    "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND SUBSTR(name, 1, 6) = 'audit_' ORDER BY name";
pub(crate) const GUARDS_POSTGRES: &str = "SELECT CAST(t.tgname AS TEXT) AS name FROM pg_trigger t \
     WHERE NOT t.tgisinternal AND t.tgenabled = 'A' AND t.tgrelid IN (CAST('audit_events' AS REGCLASS), \
     CAST('audit_chains' AS REGCLASS), CAST('audit_checkpoints' AS REGCLASS), CAST('audit_holds' AS REGCLASS)) \
     ORDER BY 1";

/// What must be there.
pub(crate) const GUARDS_OF_SQLITE: &[&str] = &[
    "audit_chains_delete",
    "audit_chains_floor",
    "audit_chains_insert",
    "audit_chains_update",
    "audit_checkpoints_delete",
    "audit_checkpoints_insert",
    "audit_checkpoints_update",
    "audit_events_delete",
    "audit_events_insert",
    "audit_events_update",
    "audit_holds_delete",
    "audit_holds_insert",
    "audit_holds_update",
];
pub(crate) const GUARDS_OF_POSTGRES: &[&str] = &[
    "audit_chains_delete",
    "audit_chains_floor",
    "audit_chains_insert",
    "audit_chains_truncate",
    "audit_chains_update",
    "audit_checkpoints_delete",
    "audit_checkpoints_truncate",
    "audit_checkpoints_update",
    "audit_events_delete",
    "audit_events_truncate",
    "audit_events_update",
    "audit_holds_delete",
    "audit_holds_truncate",
    "audit_holds_update",
];

/// Every statement, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    ADVANCE,
    BEGIN_ONCE,
    SET_HEAD,
    LOCK,
    CHAIN,
    CHAINS,
    UNSIGNED,
    ENDS,
    RAISE_FLOOR,
    INSERT,
    AFTER,
    BEFORE,
    BEFORE_OF_ACTOR,
    BEFORE_OF_RESOURCE,
    NEWEST_AT,
    DROP,
    PUT_CHECKPOINT,
    LAST_CHECKPOINT,
    CHECKPOINT,
    CHECKPOINTS,
    PUT_HOLD,
    RELEASE_HOLD,
    HOLD,
    HOLDS,
    HELD,
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hotswap_core::{Clock, Ids, SystemClock, SystemIds};
    use hotswap_store::{Database, Db, PostgresOptions};
    use hotswap_testkit::{TestDatabase, required};

    async fn prepare_all(database: Database, guards: &'static str) {
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let db = Db::open(&database, &clock, &ids).await.expect("open");
        for sql in super::ALL.iter().chain([&guards]) {
            db.prepare(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        }
    }

    #[tokio::test]
    async fn every_statement_prepares_on_sqlite() {
        let dir = tempfile::tempdir().expect("dir");
        prepare_all(Database::Sqlite(dir.path().join("x.db")), super::GUARDS_SQLITE).await;
    }

    #[tokio::test]
    async fn every_statement_prepares_on_postgresql() {
        let Some(database) = required(TestDatabase::create()) else { return };
        let options = PostgresOptions::parse(&database.url()).expect("a URL");
        prepare_all(Database::Postgres(Box::new(options)), super::GUARDS_POSTGRES).await;
    }
}
