//! Hints between processes on one PostgreSQL: `NOTIFY` after a commit, `LISTEN` for those of others.
//!
//! They are sent by a connection of their own and after the commit, not in its transaction, because a
//! transaction with a `NOTIFY` holds a lock of the whole database while it commits. Commits that come while one
//! is sent share the next.

use sqlx::postgres::PgListener;
use sqlx::{Executor as _, PgPool};

use crate::db::Commits;

const CHANNEL: &str = "hotswap_commits";

/// Exchanges hints until the connection is lost or the pool closed; then a change may have been missed, so it
/// says that there was one and begins anew.
pub(crate) async fn exchange(pool: &PgPool, commits: &Commits) {
    loop {
        if let Err(error) = exchange_once(pool, commits).await {
            tracing::debug!(%error, "no hints from other processes; the database is asked now and then");
        }
        if pool.is_closed() {
            return;
        }
        tokio::time::sleep(crate::PATIENCE / 5).await;
    }
}

async fn exchange_once(pool: &PgPool, commits: &Commits) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    let mut own = commits.own.subscribe();
    // What was committed before the listening began.
    commits.heard();
    loop {
        tokio::select! {
            // `None`: the connection was lost and made anew.
            _heard = listener.try_recv() => { _heard?; commits.heard() }
            changed = own.changed() => match changed {
                Ok(()) => { pool.execute("NOTIFY hotswap_commits").await?; }
                Err(_) => return Ok(()),
            }
        }
    }
}
