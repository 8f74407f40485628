//! The change log.

use std::collections::BTreeSet;

use hotswap_core::Revision;

use crate::{StoreError, Tx};

/// What changed since a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The newest revision; the changes lead to it.
    pub to: Revision,
    /// The log is whole from behind this revision on. Where it is later than the revision that was asked about,
    /// `names` lacks what was compacted.
    pub floor: Revision,
    /// Names of the resources touched, each once.
    pub names: BTreeSet<String>,
}

impl Tx {
    /// Notes that `revision` of `scope` touched a resource.
    pub async fn log_change(
        &mut self,
        scope: &str,
        revision: Revision,
        name: &str,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO change_log (scope, revision, name, stamp, trace_context) \
             VALUES ($1, $2, $3, $4, $5)";
        let trace_context = self.trace_context.clone().into();
        let values = [scope.into(), revision.into(), name.into(), self.stamp.into(), trace_context];
        self.execute(SQL, &values).await?;
        Ok(())
    }

    /// What changed in `scope` behind `after`.
    pub async fn changes_after(&mut self, scope: &str, after: Revision) -> Result<Changes, StoreError> {
        const SQL: &str = "SELECT name FROM change_log WHERE scope = $1 AND revision > $2";
        let (to, floor) = self.place(scope).await?;
        let rows = self.fetch_all(SQL, &[scope.into(), after.into()]).await?;
        let names = rows.iter().map(|r| r.text("name")).collect::<Result<_, _>>()?;
        Ok(Changes { to, floor, names })
    }

    /// The number that was drawn for a revision of `scope`; `None`: the log does not have it. Where it is another
    /// than before, the database was set back, as to a copy that lagged behind, and written to anew.
    pub async fn stamp(&mut self, scope: &str, revision: Revision) -> Result<Option<i64>, StoreError> {
        const SQL: &str = "SELECT stamp FROM change_log WHERE scope = $1 AND revision = $2 LIMIT 1";
        let row = self.fetch_opt(SQL, &[scope.into(), revision.into()]).await?;
        row.map(|r| r.int("stamp")).transpose()
    }

    /// The newest revision of `scope`, and the one from behind which its log is whole.
    pub async fn place(&mut self, scope: &str) -> Result<(Revision, Revision), StoreError> {
        const SQL: &str = "SELECT revision, floor FROM scope_counters WHERE scope = $1";
        match self.fetch_opt(SQL, &[scope.into()]).await? {
            Some(row) => Ok((Revision(row.int("revision")?), Revision(row.int("floor")?))),
            None => Ok((Revision::ZERO, Revision::ZERO)),
        }
    }

    /// Drops the entries of `scope` up to `floor`, at most `limit` of them, oldest first, so that no writer
    /// waits long. Gives the number dropped.
    pub async fn compact_changes(
        &mut self,
        scope: &str,
        floor: Revision,
        limit: i64,
    ) -> Result<u64, StoreError> {
        const LAST: &str = "SELECT MAX(revision) AS last FROM (SELECT revision FROM change_log \
             WHERE scope = $1 AND revision <= $2 ORDER BY revision LIMIT $3) AS oldest";
        const RAISE: &str = "UPDATE scope_counters SET floor = $2 WHERE scope = $1 AND floor < $2";
        const DROP: &str = "DELETE FROM change_log WHERE scope = $1 AND revision <= $2";
        let row = self.fetch_opt(LAST, &[scope.into(), floor.into(), limit.into()]).await?;
        let Some(last) = row.map(|r| r.opt_int("last")).transpose()?.flatten() else { return Ok(0) };
        self.execute(RAISE, &[scope.into(), last.into()]).await?;
        self.execute(DROP, &[scope.into(), last.into()]).await
    }
}
