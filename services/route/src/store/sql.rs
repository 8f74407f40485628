//! The statements: one text for every database.

macro_rules! columns {
    ($rest:literal) => {
        concat!(
            "SELECT name, uid, revision, created_at, updated_at, spec, collection FROM gateway_resources ",
            $rest
        )
    };
}

pub(crate) const GET: &str = columns!("WHERE name = $1");
pub(crate) const EXISTS: &str = "SELECT name FROM gateway_resources WHERE name = $1";
pub(crate) const EVERYTHING: &str = columns!("ORDER BY name");
pub(crate) const USERS_OF: &str = "SELECT name FROM gateway_resources WHERE pool = $1 ORDER BY name LIMIT 10";
pub(crate) const PUT: &str = "INSERT INTO gateway_resources \
     (name, collection, uid, revision, created_at, updated_at, pool, spec) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (name) DO UPDATE SET uid = excluded.uid, revision = excluded.revision, \
     created_at = excluded.created_at, updated_at = excluded.updated_at, pool = excluded.pool, \
     spec = excluded.spec";
pub(crate) const DELETE: &str = "DELETE FROM gateway_resources WHERE name = $1";
pub(crate) const PUT_REVISION: &str = "INSERT INTO gateway_revisions \
     (name, revision, uid, created_at, written_at, actor, spec) VALUES ($1, $2, $3, $4, $5, $6, $7)";
pub(crate) const REVISIONS: &str = "SELECT name, revision, uid, created_at, written_at, actor, spec \
     FROM gateway_revisions WHERE name = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3";
pub(crate) const LOG_AFTER: &str = "SELECT revision, name, trace_context FROM change_log \
     WHERE scope = $1 AND revision > $2 ORDER BY revision, name";

// All take the same values; this one needs no number.
const BY_NAME: &str =
    columns!("WHERE collection = $1 AND CAST($2 AS BIGINT) IS NOT NULL AND name > $3 ORDER BY name LIMIT $4");
const BY_NAME_DESC: &str = columns!(
    "WHERE collection = $1 AND CAST($2 AS BIGINT) IS NOT NULL AND name < $3 ORDER BY name DESC LIMIT $4"
);
const BY_CREATED: &str =
    columns!("WHERE collection = $1 AND (created_at, name) > ($2, $3) ORDER BY created_at, name LIMIT $4");
const BY_CREATED_DESC: &str = columns!(
    "WHERE collection = $1 AND (created_at, name) < ($2, $3) ORDER BY created_at DESC, name DESC LIMIT $4"
);
const BY_UPDATED: &str =
    columns!("WHERE collection = $1 AND (updated_at, name) > ($2, $3) ORDER BY updated_at, name LIMIT $4");
const BY_UPDATED_DESC: &str = columns!(
    "WHERE collection = $1 AND (updated_at, name) < ($2, $3) ORDER BY updated_at DESC, name DESC LIMIT $4"
);
const BY_REVISION: &str =
    columns!("WHERE collection = $1 AND (revision, name) > ($2, $3) ORDER BY revision, name LIMIT $4");
const BY_REVISION_DESC: &str = columns!(
    "WHERE collection = $1 AND (revision, name) < ($2, $3) ORDER BY revision DESC, name DESC LIMIT $4"
);

pub(crate) const CLAIM_PROXY: &str = "INSERT INTO gateway_proxies \
     (name, revision, replica, session, connected, instance_id, labels, build_version, \
     active_store, active_revision, sent_store, sent_revision, refusals, connected_at, last_seen_at, \
     backends) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
     ON CONFLICT (name) DO UPDATE SET session = gateway_proxies.session + 1, \
     revision = excluded.revision, replica = excluded.replica, connected = excluded.connected, \
     instance_id = excluded.instance_id, labels = excluded.labels, \
     build_version = excluded.build_version, active_store = excluded.active_store, \
     active_revision = excluded.active_revision, sent_store = excluded.sent_store, \
     sent_revision = excluded.sent_revision, refusals = excluded.refusals, \
     connected_at = excluded.connected_at, last_seen_at = excluded.last_seen_at, \
     backends = excluded.backends RETURNING session";
pub(crate) const ADD_PROXY: &str = "INSERT INTO gateway_proxies \
     (name, revision, replica, session, connected, instance_id, labels, build_version, \
     active_store, active_revision, sent_store, sent_revision, refusals, connected_at, last_seen_at, \
     backends) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
     ON CONFLICT (name) DO NOTHING RETURNING session";
pub(crate) const UPDATE_PROXY: &str = "UPDATE gateway_proxies SET revision = $2, connected = $4, \
     instance_id = $5, labels = $6, build_version = $7, active_store = $8, active_revision = $9, \
     sent_store = $10, sent_revision = $11, refusals = $12, connected_at = $13, last_seen_at = $14, \
     backends = $15 WHERE name = $1 AND replica = $3 AND session = $16";
pub(crate) const PROXIES_AFTER: &str = "SELECT name, replica, connected, instance_id, labels, \
     build_version, active_store, active_revision, sent_store, sent_revision, refusals, connected_at, \
     last_seen_at, backends FROM gateway_proxies WHERE revision > $1 ORDER BY name";

pub(crate) const ASK_PROXY: &str = "INSERT INTO gateway_questions (id, proxy, replica, expires_at, request) \
     VALUES ($1, $2, $3, $4, $5)";
pub(crate) const OPEN_QUESTIONS: &str = "SELECT id, proxy, request FROM gateway_questions \
     WHERE replica = $1 AND answered = 0 AND expires_at > $2 ORDER BY id LIMIT 50";
pub(crate) const ANSWER_QUESTION: &str =
    "UPDATE gateway_questions SET answered = 1, answer = $2, reason = $3, message = $4 WHERE id = $1";
pub(crate) const ANSWER_OF: &str =
    "SELECT answer, reason, message FROM gateway_questions WHERE id = $1 AND answered = 1";
pub(crate) const FORGET_QUESTION: &str = "DELETE FROM gateway_questions WHERE id = $1 OR expires_at <= $2";

/// Every statement, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    GET,
    EXISTS,
    EVERYTHING,
    USERS_OF,
    PUT,
    DELETE,
    PUT_REVISION,
    REVISIONS,
    LOG_AFTER,
    CLAIM_PROXY,
    ADD_PROXY,
    UPDATE_PROXY,
    PROXIES_AFTER,
    ASK_PROXY,
    OPEN_QUESTIONS,
    ANSWER_QUESTION,
    ANSWER_OF,
    FORGET_QUESTION,
    BY_NAME,
    BY_NAME_DESC,
    BY_CREATED,
    BY_CREATED_DESC,
    BY_UPDATED,
    BY_UPDATED_DESC,
    BY_REVISION,
    BY_REVISION_DESC,
];

/// What a list is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Name,
    Created,
    Updated,
    Revision,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) key: Key,
    pub(crate) descending: bool,
}

impl Order {
    pub(super) fn sql(self) -> &'static str {
        match (self.key, self.descending) {
            (Key::Name, false) => BY_NAME,
            (Key::Name, true) => BY_NAME_DESC,
            (Key::Created, false) => BY_CREATED,
            (Key::Created, true) => BY_CREATED_DESC,
            (Key::Updated, false) => BY_UPDATED,
            (Key::Updated, true) => BY_UPDATED_DESC,
            (Key::Revision, false) => BY_REVISION,
            (Key::Revision, true) => BY_REVISION_DESC,
        }
    }

    /// A key that every row lies behind.
    pub(super) fn start(self) -> (i64, String) {
        // Names are lower-case ASCII, so "~" lies behind them all.
        if self.descending { (i64::MAX, "~".into()) } else { (i64::MIN, String::new()) }
    }
}

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
