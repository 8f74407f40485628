//! Group commit: transactions that were waiting for their turn share one disk write.
//!
//! SQLite has one writer. A disk write takes milliseconds, the statements of a transaction microseconds, so
//! writers would wait for the disk one by one. Here each transaction is a savepoint of a common one:
//!
//! ```text
//!   turn ─► SAVEPOINT · statements · RELEASE ─► queue again ─► first of the batch to get the turn: COMMIT
//!             │                                     ▲
//!             └─ those who waited meanwhile ────────┘  all are told the outcome of that one COMMIT
//! ```
//!
//! The queue is fair, so who was waiting when a transaction ended goes before its COMMIT, and nobody later
//! does. A lone writer commits at once. Nothing is seen by readers, or told to callers, before it is on disk.
//! As PostgreSQL does with `commit_delay` (and DeWitt et al., *Implementation techniques for main memory
//! database systems*, 1984), without the delay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Executor as _, Sqlite};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use crate::{PATIENCE, StoreError};

/// The writer; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    turn: Arc<Mutex<Turn>>,
    commits: Arc<AtomicU64>,
}

/// What the one whose turn it is works on.
#[derive(Debug)]
struct Turn {
    pool: SqlitePool,
    commits: Arc<AtomicU64>,
    connection: Option<PoolConnection<Sqlite>>,
    /// The transactions that wait for the next COMMIT; `None`: no transaction is open.
    batch: Option<Batch>,
    /// A common transaction is being begun; whoever began it may have gone away meanwhile.
    beginning: bool,
    /// A transaction ended without a word: its savepoint is still there.
    left_open: bool,
    /// A statement failed in a way that may have ended the common transaction.
    broken: bool,
}

/// The outcome of a common commit: `None` until it is known, then the fault, if any.
type Outcome = Option<Result<(), String>>;
type Batch = watch::Sender<Outcome>;

/// One transaction, whose turn it is.
#[derive(Debug)]
pub(crate) struct Member {
    turn: OwnedMutexGuard<Turn>,
    group: Group,
    released: bool,
}

impl Group {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        let commits = Arc::<AtomicU64>::default();
        let turn = Turn {
            pool,
            commits: Arc::clone(&commits),
            connection: None,
            batch: None,
            beginning: false,
            left_open: false,
            broken: false,
        };
        Self { turn: Arc::new(Mutex::new(turn)), commits }
    }

    /// How many common transactions were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Waits for the turn and begins.
    pub(crate) async fn begin(&self) -> Result<Member, StoreError> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turn).lock_owned()).await;
        let mut turn = turn.map_err(|_| StoreError::unavailable("other writes take too long"))?;
        turn.settle().await;
        turn.open().await?;
        // Set first: where this is given up half-way, the next one cleans up.
        turn.left_open = true;
        turn.run("SAVEPOINT hotswap").await?;
        Ok(Member { turn, group: self.clone(), released: false })
    }

    /// Gives the connection back, what waits committed before.
    pub(crate) async fn close(&self) {
        let mut turn = Arc::clone(&self.turn).lock_owned().await;
        turn.settle().await;
        turn.commit().await;
        turn.connection = None;
    }

    /// Commits for all that wait, unless another one has.
    async fn commit(&self, outcome: &mut watch::Receiver<Outcome>) {
        let mut turn = Arc::clone(&self.turn).lock_owned().await;
        if outcome.borrow().is_some() {
            return;
        }
        turn.settle().await;
        turn.commit().await;
    }
}

impl Member {
    /// The connection, for a statement.
    pub(crate) fn connection(&mut self) -> Result<&mut PoolConnection<Sqlite>, StoreError> {
        self.turn.usable()
    }

    /// Notes how a statement failed. What breaks a constraint undoes itself alone; anything else may have ended
    /// the common transaction, as a full disk does.
    pub(crate) fn failed(&mut self, error: &sqlx::Error) {
        const CONSTRAINT: i64 = 19;
        let code = error.as_database_error().and_then(|e| e.code()?.parse::<i64>().ok());
        if code.is_none_or(|c| c & 0xff != CONSTRAINT) {
            self.turn.broken = true;
        }
    }

    /// Makes it last: waits for the common commit.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        self.turn.run("RELEASE hotswap").await?;
        self.turn.left_open = false;
        let batch = self.turn.batch.get_or_insert_with(|| watch::Sender::new(None));
        let mut outcome = batch.subscribe();
        self.released = true;
        let group = self.group.clone();
        drop(self);
        let mut told = outcome.clone();
        // On its own, since others depend on it: a caller that goes away must not take it along.
        #[expect(clippy::disallowed_methods, reason = "it lasts one commit, and its end is awaited by all")]
        tokio::spawn(async move { group.commit(&mut outcome).await });
        match told.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(why))) => Err(StoreError::unavailable(why.clone())),
            Ok(None) | Err(_) => Err(StoreError::unavailable("the commit was given up")),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if !self.released {
            self.turn.left_open = true;
        }
    }
}

impl Turn {
    /// The connection, with a transaction open on it.
    async fn open(&mut self) -> Result<(), StoreError> {
        if self.connection.is_none() {
            self.connection = Some(self.pool.acquire().await?);
        }
        if self.batch.is_none() {
            // Set first: where this is given up half-way, the next one cleans up.
            self.beginning = true;
            let begun = self.run("BEGIN IMMEDIATE").await;
            self.beginning = false;
            begun?;
            self.batch = Some(watch::Sender::new(None));
        }
        Ok(())
    }

    fn usable(&mut self) -> Result<&mut PoolConnection<Sqlite>, StoreError> {
        match &mut self.connection {
            Some(connection) if !self.broken => Ok(connection),
            _ => Err(StoreError::unavailable("an earlier statement of this transaction failed")),
        }
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let done = self.usable()?.execute(sql).await;
        match done {
            Ok(_) => Ok(()),
            Err(error) => {
                self.broken = true;
                Err(error.into())
            }
        }
    }

    /// Undoes what a transaction left; where that can't be, all that waits is lost, and told so.
    async fn settle(&mut self) {
        if self.left_open && !self.broken && self.batch.is_some() {
            let undone = self.run("ROLLBACK TO hotswap").await.is_ok();
            self.broken |= !undone || self.run("RELEASE hotswap").await.is_err();
        }
        self.left_open = false;
        if std::mem::take(&mut self.beginning) || self.broken {
            self.broken = false;
            self.end("ROLLBACK", Err("a write that shared the commit failed".to_owned())).await;
        }
    }

    /// Commits for all that wait.
    async fn commit(&mut self) {
        if self.batch.is_some() {
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.end("COMMIT", Ok(())).await;
        }
    }

    /// Ends the common transaction, and tells all that wait.
    async fn end(&mut self, sql: &'static str, outcome: Result<(), String>) {
        let ended = self.run(sql).await;
        if ended.is_err() {
            // What the database could not end it forgets with the connection.
            if let Some(connection) = self.connection.take() {
                let _ = connection.close().await;
            }
            self.broken = false;
        }
        if let Some(batch) = self.batch.take() {
            batch.send_replace(Some(outcome.and(ended.map_err(|e| e.to_string()))));
        }
    }
}
