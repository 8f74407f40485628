//! The statements: one text for every database.

macro_rules! columns {
    ($rest:literal) => {
        concat!(
            "SELECT name, uid, revision, version, created_at, updated_at, spec, collection, candidate \
             FROM gateway_resources ",
            $rest
        )
    };
}

macro_rules! revision_columns {
    ($rest:literal) => {
        concat!(
            "SELECT name, revision, uid, created_at, written_at, actor, spec, landed FROM gateway_revisions ",
            $rest
        )
    };
}

pub(crate) const GET: &str = columns!("WHERE name = $1");
pub(crate) const EXISTS: &str = "SELECT name FROM gateway_resources WHERE name = $1";
pub(crate) const EVERYTHING: &str = columns!("ORDER BY name");
pub(crate) const USERS_OF: &str = "SELECT name FROM gateway_resources \
     WHERE pool = $1 OR candidate_pool = $1 OR mirror_pool = $1 OR candidate_mirror_pool = $1 \
     UNION SELECT name FROM gateway_resources \
     WHERE split_pools IS NOT NULL AND split_pools LIKE '%,' || CAST($1 AS TEXT) || ',%' \
     ORDER BY name LIMIT 10";
pub(crate) const PUT: &str = "INSERT INTO gateway_resources \
     (name, collection, uid, revision, version, created_at, updated_at, pool, spec, candidate, candidate_pool, \
     mirror_pool, candidate_mirror_pool, split_pools) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
     ON CONFLICT (name) DO UPDATE SET uid = excluded.uid, revision = excluded.revision, \
     version = excluded.version, created_at = excluded.created_at, updated_at = excluded.updated_at, \
     pool = excluded.pool, spec = excluded.spec, candidate = excluded.candidate, \
     candidate_pool = excluded.candidate_pool, mirror_pool = excluded.mirror_pool, \
     candidate_mirror_pool = excluded.candidate_mirror_pool, split_pools = excluded.split_pools";
pub(crate) const DELETE: &str = "DELETE FROM gateway_resources WHERE name = $1";
pub(crate) const PUT_KEY: &str = "INSERT INTO gateway_certificate_keys (name, revision, sealed) \
     VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, sealed = excluded.sealed";
pub(crate) const KEY: &str = "SELECT name, revision, sealed FROM gateway_certificate_keys WHERE name = $1";
pub(crate) const KEYS: &str = "SELECT k.name, k.revision, k.sealed, r.uid FROM gateway_certificate_keys k \
     JOIN gateway_resources r ON r.name = k.name ORDER BY k.name";
pub(crate) const DELETE_KEY: &str = "DELETE FROM gateway_certificate_keys WHERE name = $1";
pub(crate) const PUT_REVISION: &str = "INSERT INTO gateway_revisions \
     (name, revision, uid, created_at, written_at, actor, spec, landed, base) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
pub(crate) const REVISIONS: &str =
    revision_columns!("WHERE name = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3");
pub(crate) const REVISION: &str = revision_columns!("WHERE name = $1 AND revision = $2");
pub(crate) const LANDED_AT: &str =
    revision_columns!("WHERE name = $1 AND landed <= $2 ORDER BY landed DESC LIMIT 1");
pub(crate) const LAND: &str = "UPDATE gateway_revisions SET landed = $3 WHERE name = $1 AND revision = $2";
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
     backends, features) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
     ON CONFLICT (name) DO UPDATE SET session = gateway_proxies.session + 1, \
     revision = excluded.revision, replica = excluded.replica, connected = excluded.connected, \
     instance_id = excluded.instance_id, labels = excluded.labels, \
     build_version = excluded.build_version, active_store = excluded.active_store, \
     active_revision = excluded.active_revision, sent_store = excluded.sent_store, \
     sent_revision = excluded.sent_revision, refusals = excluded.refusals, \
     connected_at = excluded.connected_at, last_seen_at = excluded.last_seen_at, \
     backends = excluded.backends, features = excluded.features RETURNING session";
pub(crate) const ADD_PROXY: &str = "INSERT INTO gateway_proxies \
     (name, revision, replica, session, connected, instance_id, labels, build_version, \
     active_store, active_revision, sent_store, sent_revision, refusals, connected_at, last_seen_at, \
     backends, features) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
     ON CONFLICT (name) DO NOTHING RETURNING session";
pub(crate) const UPDATE_PROXY: &str = "UPDATE gateway_proxies SET revision = $2, connected = $4, \
     instance_id = $5, labels = $6, build_version = $7, active_store = $8, active_revision = $9, \
     sent_store = $10, sent_revision = $11, refusals = $12, connected_at = $13, last_seen_at = $14, \
     backends = $15, features = $16 WHERE name = $1 AND replica = $3 AND session = $17";
pub(crate) const PROXIES_AFTER: &str = "SELECT name, replica, connected, instance_id, labels, \
     build_version, active_store, active_revision, sent_store, sent_revision, refusals, connected_at, \
     last_seen_at, backends, features FROM gateway_proxies WHERE revision > $1 ORDER BY name";

pub(crate) const LIVE: &str = "SELECT revision FROM gateway_resources WHERE name = $1";
pub(crate) const BASE: &str = "SELECT base FROM gateway_revisions WHERE name = $1 AND revision = $2";
/// What operators did to the live revision is in every draft, too.
pub(crate) const REBASE: &str = "UPDATE gateway_revisions SET base = $3 WHERE name = $1 AND base = $2";
pub(crate) const WRITTEN: &str = "SELECT r.uid, r.spec, r.actor FROM gateway_revisions r \
     JOIN gateway_resources g ON g.name = r.name AND g.uid = r.uid \
     WHERE r.name = $1 AND r.revision = $2 AND r.spec IS NOT NULL";
pub(crate) const TRACKED: &str = "SELECT fence, standing, version, baseline, baseline_pool, baseline_mirror_pool, \
     baseline_split_pools FROM gateway_rollouts WHERE rollout = $1";
pub(crate) const TRACK: &str = "INSERT INTO gateway_rollouts \
     (rollout, name, fence, standing, version, baseline, baseline_pool, updated_at, baseline_mirror_pool, \
     baseline_split_pools) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
     ON CONFLICT (rollout) DO UPDATE SET fence = excluded.fence, standing = excluded.standing, \
     version = excluded.version, baseline = excluded.baseline, baseline_pool = excluded.baseline_pool, \
     baseline_mirror_pool = excluded.baseline_mirror_pool, \
     baseline_split_pools = excluded.baseline_split_pools, updated_at = excluded.updated_at";
/// Commits whose way back needs a pool.
pub(crate) const COMMITTED_FROM: &str = "SELECT rollout, name FROM gateway_rollouts \
     WHERE (baseline_pool = $1 OR baseline_mirror_pool = $1 \
     OR baseline_split_pools LIKE '%,' || CAST($1 AS TEXT) || ',%') AND standing = 'committed' ORDER BY name";
pub(crate) const FORGET: &str =
    "DELETE FROM gateway_rollouts WHERE updated_at < $1 AND standing <> 'resident'";
pub(crate) const PUT_COUNTS: &str = "INSERT INTO gateway_arm_counts \
     (rollout, epoch, proxy, instance, requests, counts, updated_at) \
     SELECT rollout, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS BIGINT), \
     CAST($6 AS TEXT), CAST($7 AS BIGINT) FROM gateway_rollouts \
     WHERE rollout = $1 AND standing = 'resident' \
     ON CONFLICT (rollout, epoch, proxy, instance) DO UPDATE SET requests = excluded.requests, \
     counts = excluded.counts, updated_at = excluded.updated_at \
     WHERE gateway_arm_counts.requests <= excluded.requests";
pub(crate) const COUNTS: &str =
    "SELECT epoch, counts FROM gateway_arm_counts WHERE rollout = $1 ORDER BY epoch, proxy, instance";
pub(crate) const DROP_COUNTS: &str = "DELETE FROM gateway_arm_counts WHERE rollout = $1";
pub(crate) const PUT_CHECK: &str = "INSERT INTO gateway_check_results \
     (rollout, number, proxy, passed, message, updated_at) \
     SELECT rollout, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS TEXT), \
     CAST($6 AS BIGINT) FROM gateway_rollouts WHERE rollout = $1 AND standing = 'resident' \
     ON CONFLICT (rollout, number, proxy) DO UPDATE SET passed = excluded.passed, \
     message = excluded.message, updated_at = excluded.updated_at";
pub(crate) const CHECKS: &str = "SELECT proxy, passed, message FROM gateway_check_results \
     WHERE rollout = $1 AND number = $2 ORDER BY proxy";
pub(crate) const DROP_CHECKS: &str = "DELETE FROM gateway_check_results WHERE rollout = $1";

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
    REVISION,
    LANDED_AT,
    LAND,
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
    LIVE,
    WRITTEN,
    TRACKED,
    TRACK,
    COMMITTED_FROM,
    BASE,
    REBASE,
    FORGET,
    PUT_COUNTS,
    COUNTS,
    DROP_COUNTS,
    PUT_CHECK,
    CHECKS,
    DROP_CHECKS,
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
