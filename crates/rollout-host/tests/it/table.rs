//! A domain whose subjects lie in tables of the same database, and its target. It forgets nothing: a rollout that is taken
//! up by another process finds what was done.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use hotswap_core::{Revision, Violations};
use hotswap_rollout::{
    Act, ActResult, Content, ContentHash, Exposure, Millis, PortError, Powers, Principal, Rollout, RolloutId,
    Target, TargetContext,
};
use hotswap_rollout_host::{Answer, Subjects};
use hotswap_store::{Db, Row, StoreError, Tx};

pub(crate) const SCOPE: &str = "table";

const CREATE: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS table_subjects (name TEXT NOT NULL PRIMARY KEY, live BIGINT, \
     candidate BIGINT, exposure TEXT NOT NULL, fence BIGINT NOT NULL, rollout TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS table_revisions (name TEXT NOT NULL, revision BIGINT NOT NULL, \
     author TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (name, revision))",
    "CREATE TABLE IF NOT EXISTS table_acts (name TEXT NOT NULL, rollout TEXT NOT NULL, fence BIGINT NOT NULL, \
     ticket BIGINT NOT NULL, act TEXT NOT NULL, at BIGINT NOT NULL)",
];

/// The domain, and its target.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    db: Db,
    powers: Powers,
    /// Each act is done twice.
    pub(crate) twice: bool,
    /// Acts under way, and how often there were two of one rollout.
    under_way: Arc<Mutex<(BTreeSet<RolloutId>, usize)>>,
}

fn missing() -> StoreError {
    StoreError::inconsistent("table_subjects", "name", "(missing)")
}

impl Table {
    pub(crate) async fn open(db: &Db) -> Self {
        let mut tx = db.write(SCOPE).await.expect("a transaction");
        for sql in CREATE {
            tx.execute(sql, &[]).await.expect("a table");
        }
        tx.commit().await.expect("commits");
        Self { db: db.clone(), powers: Powers::ALL, twice: false, under_way: Arc::default() }
    }

    /// How often two acts of one rollout were under way at a time.
    pub(crate) fn overlaps(&self) -> usize {
        self.under_way.lock().expect("not poisoned").1
    }

    /// Somebody else changes what is out.
    pub(crate) async fn meddle(&self, name: &str, to: &Exposure) {
        let out = serde_json::to_string(to).expect("JSON");
        let mut tx = self.db.write(SCOPE).await.expect("a transaction");
        let sql = "UPDATE table_subjects SET exposure = $2 WHERE name = $1";
        tx.execute(sql, &[name.into(), out.into()]).await.expect("changed");
        tx.commit().await.expect("commits");
    }

    /// A subject with revision 1 live and 2 a draft, both written by "ann".
    pub(crate) async fn add(&self, name: &str) {
        let mut tx = self.db.write(SCOPE).await.expect("a transaction");
        let sql = "INSERT INTO table_subjects (name, live, exposure, fence, rollout) \
                   VALUES ($1, 1, 'null', 0, '')";
        tx.execute(sql, &[name.into()]).await.expect("a subject");
        tx.commit().await.expect("commits");
        self.write(name, 1, "h1").await;
        self.write(name, 2, "h2").await;
    }

    /// Writes a revision, over what is there.
    pub(crate) async fn write(&self, name: &str, revision: i64, hash: &str) {
        let sql = "INSERT INTO table_revisions (name, revision, author, hash) VALUES ($1, $2, 'ann', $3) \
                   ON CONFLICT (name, revision) DO UPDATE SET hash = excluded.hash";
        let mut tx = self.db.write(SCOPE).await.expect("a transaction");
        tx.execute(sql, &[name.into(), revision.into(), hash.into()]).await.expect("a revision");
        tx.commit().await.expect("commits");
    }

    pub(crate) async fn delete(&self, name: &str) {
        let mut tx = self.db.write(SCOPE).await.expect("a transaction");
        tx.execute("DELETE FROM table_revisions WHERE name = $1", &[name.into()]).await.expect("gone");
        tx.commit().await.expect("commits");
    }

    /// What is live, and what is out of the candidate.
    pub(crate) async fn standing(&self, name: &str) -> (i64, Exposure) {
        let mut tx = self.db.read().await.expect("a transaction");
        let row = subject(&mut tx, name).await.expect("a row");
        (row.int("live").expect("a number"), exposure(&row).expect("an exposure"))
    }

    /// Every act that was done, in order, with its fence.
    pub(crate) async fn acts(&self, name: &str) -> Vec<(i64, String)> {
        let sql = "SELECT fence, act FROM table_acts WHERE name = $1 ORDER BY at, fence, ticket";
        let mut tx = self.db.read().await.expect("a transaction");
        let rows = tx.fetch_all(sql, &[name.into()]).await.expect("rows");
        let act = |r: &Row| (r.int("fence").expect("a number"), r.text("act").expect("text"));
        rows.iter().map(act).collect()
    }

    async fn done(&self, rollout: &Rollout, cx: &TargetContext, act: &Act) -> Result<bool, StoreError> {
        let mut tx = self.db.write(SCOPE).await?;
        let row = subject(&mut tx, &rollout.subject).await?;
        if row.text("rollout")? == rollout.id.to_string() && row.int("fence")? > cx.fence {
            return Ok(false);
        }
        let (live, candidate) = (row.opt_int("live")?, row.opt_int("candidate")?);
        // Absolute, so that a commit that was interrupted is taken back, too.
        let baseline = rollout.from.map(|from| from.0);
        let (live, candidate, out) = match act {
            Act::Stage => (baseline, Some(rollout.to.0), Exposure::None),
            Act::Check(_) => (live, candidate, exposure(&row)?),
            Act::Expose(to) => (baseline, Some(rollout.to.0), to.clone()),
            Act::Commit => (Some(rollout.to.0), None, Exposure::Full),
            Act::Withdraw => (baseline, None, Exposure::None),
        };
        let out = serde_json::to_string(&out).map_err(|_| missing())?;
        let sql = "UPDATE table_subjects SET live = $2, candidate = $3, exposure = $4, fence = $5, rollout = $6 \
                   WHERE name = $1";
        let (name, id) = (rollout.subject.as_str(), rollout.id.to_string());
        let values =
            [name.into(), live.into(), candidate.into(), out.into(), cx.fence.into(), id.as_str().into()];
        tx.execute(sql, &values).await?;
        let sql =
            "INSERT INTO table_acts (name, rollout, fence, ticket, act, at) VALUES ($1, $2, $3, $4, $5, $6)";
        let ticket = cx.ticket.map_or(0, u64::cast_signed);
        let now = tx.now().await?;
        let values =
            [name.into(), id.into(), cx.fence.into(), ticket.into(), act.to_string().into(), now.into()];
        tx.execute(sql, &values).await?;
        tx.commit().await?;
        Ok(true)
    }
}

async fn subject(tx: &mut Tx, name: &str) -> Result<Row, StoreError> {
    let sql = "SELECT live, candidate, exposure, fence, rollout FROM table_subjects WHERE name = $1";
    tx.fetch_opt(sql, &[name.into()]).await?.ok_or_else(missing)
}

fn exposure(row: &Row) -> Result<Exposure, StoreError> {
    let found: Option<Exposure> = serde_json::from_str(&row.text("exposure")?).map_err(|_| missing())?;
    Ok(found.unwrap_or_default())
}

/// An act under way; given up or not, it ends with its drop.
struct UnderWay<'a> {
    all: &'a Mutex<(BTreeSet<RolloutId>, usize)>,
    id: RolloutId,
}

impl<'a> UnderWay<'a> {
    fn begin(all: &'a Mutex<(BTreeSet<RolloutId>, usize)>, id: RolloutId) -> Self {
        let mut now = all.lock().expect("not poisoned");
        if !now.0.insert(id) {
            now.1 += 1;
        }
        Self { all, id }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.all.lock().expect("not poisoned").0.remove(&self.id);
    }
}

impl Target for Table {
    fn powers(&self, _: &str) -> Powers {
        self.powers
    }

    async fn act(&self, rollout: &Rollout, cx: &TargetContext, act: &Act) -> ActResult {
        // A target that hangs where its candidate is to get traffic, and not where it goes away.
        if rollout.subject.starts_with("tables/slow") && matches!(act, Act::Expose(e) if *e != Exposure::None)
        {
            std::future::pending::<()>().await;
        }
        let _under_way = UnderWay::begin(&self.under_way, rollout.id);
        if self.twice {
            let _ = self.done(rollout, cx, act).await;
        }
        match self.done(rollout, cx, act).await {
            Ok(true) => ActResult::Done,
            Ok(false) => ActResult::Retry { after: Millis(100), detail: "a later fence was here".into() },
            Err(error) => ActResult::Retry { after: Millis(100), detail: error.to_string() },
        }
    }

    async fn actual(&self, rollout: &Rollout) -> Result<Exposure, PortError> {
        let found = async {
            let mut tx = self.db.read().await?;
            exposure(&subject(&mut tx, &rollout.subject).await?)
        };
        found.await.map_err(|e: StoreError| PortError::Unavailable(e.to_string()))
    }
}

impl Subjects for Table {
    fn domain(&self) -> &'static str {
        "table"
    }

    fn owns(&self, subject: &str) -> bool {
        subject.starts_with("tables/")
    }

    fn scope(&self) -> &'static str {
        SCOPE
    }

    fn powers(&self, _: &str) -> Powers {
        self.powers
    }

    fn check(&self, _: &Rollout) -> Result<(), Violations> {
        Ok(())
    }

    fn live<'a>(&'a self, tx: &'a mut Tx, name: &'a str) -> Answer<'a, Option<Revision>> {
        Box::pin(async move {
            let row = tx.fetch_opt("SELECT live FROM table_subjects WHERE name = $1", &[name.into()]).await?;
            Ok(row.map(|r| r.opt_int("live")).transpose()?.flatten().map(Revision))
        })
    }

    fn content<'a>(
        &'a self,
        tx: &'a mut Tx,
        name: &'a str,
        revision: Revision,
    ) -> Answer<'a, Option<Content>> {
        Box::pin(async move {
            let sql = "SELECT author, hash FROM table_revisions WHERE name = $1 AND revision = $2";
            let row = tx.fetch_opt(sql, &[name.into(), revision.into()]).await?;
            let content = |r: Row| {
                let authors = vec![Principal(r.text("author")?)];
                Ok(Content { hash: ContentHash(r.text("hash")?), authors })
            };
            row.map(content).transpose()
        })
    }
}
