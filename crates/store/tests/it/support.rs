//! Stores for tests.

use std::path::Path;
use std::sync::Arc;

use hotswap_core::{Clock, Ids, ManualClock, SystemIds, Timestamp};
use hotswap_store::{Database, Db, PostgresOptions, StoreError};
use hotswap_testkit::{TestDatabase, required};
use tempfile::TempDir;

pub(crate) async fn open(database: &Database) -> Result<Db, StoreError> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(1)));
    let ids: Arc<dyn Ids> = Arc::new(SystemIds);
    Db::open(database, &clock, &ids).await
}

pub(crate) fn file(dir: &Path) -> Database {
    Database::Sqlite(dir.join("hotswap.db"))
}

pub(crate) async fn sqlite() -> (TempDir, Db) {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(&file(dir.path())).await.expect("opens");
    (dir, db)
}

/// Stores of one test, on one kind of database.
pub(crate) struct Stores {
    dir: TempDir,
    postgres: Option<TestDatabase>,
    first: tokio::sync::OnceCell<Db>,
}

impl Stores {
    pub(crate) fn sqlite() -> Self {
        Self::new(None)
    }

    /// On a database that sorts text as a language does, as most in production. `None`: there is no PostgreSQL on
    /// this machine, and none is required.
    pub(crate) async fn postgres() -> Option<Self> {
        Some(Self::new(Some(required(TestDatabase::sorting_as("en-US"))?)))
    }

    fn new(postgres: Option<TestDatabase>) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        Self { dir, postgres, first: tokio::sync::OnceCell::new() }
    }

    /// The store.
    pub(crate) async fn db(&self) -> Db {
        self.first.get_or_init(|| self.reopened()).await.clone()
    }

    /// The same store, opened anew.
    pub(crate) async fn reopened(&self) -> Db {
        open(&self.database()).await.expect("opens")
    }

    /// Another store of the same kind.
    pub(crate) async fn other(&self) -> Self {
        match &self.postgres {
            None => Self::sqlite(),
            Some(_) => Self::postgres().await.expect("there is one already"),
        }
    }

    /// A copy in another database of the same PostgreSQL server. Nobody may use this one meanwhile.
    pub(crate) async fn copied(&self) -> Self {
        let database = self.postgres.as_ref().expect("PostgreSQL");
        Self::new(Some(database.copy().expect("copied")))
    }

    /// Notes a step of the schema that this build does not know.
    pub(crate) fn of_a_newer_build(&self) -> &'static str {
        match self.postgres {
            None => {
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (999, 'later', 1, x'00', 0)"
            }
            Some(_) => {
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (999, 'later', true, '\\x00'::bytea, 0)"
            }
        }
    }

    pub(crate) fn database(&self) -> Database {
        match &self.postgres {
            None => file(self.dir.path()),
            Some(database) => {
                let options = PostgresOptions::parse(&database.url()).expect("a URL");
                Database::Postgres(Box::new(options))
            }
        }
    }
}

/// Each of these, as a test on SQLite and one on PostgreSQL.
macro_rules! on_both {
    ($(async fn $name:ident($stores:ident) $body:block)+) => {
        $(async fn $name($stores: &crate::support::Stores) $body)+

        mod sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(&crate::support::Stores::sqlite()).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    if let Some(stores) = crate::support::Stores::postgres().await {
                        super::$name(&stores).await;
                    }
                }
            )+
        }
    };
}
pub(crate) use on_both;
