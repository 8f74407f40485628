//! The change log.

use std::collections::BTreeSet;

use hotswap_core::Revision;

use crate::{StoreError, Tx};

/// What changed since a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The newest revision; the changes lead to it.
    pub to: Revision,
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
        const SQL: &str = "INSERT INTO change_log (scope, revision, name) VALUES ($1, $2, $3)";
        self.execute(SQL, &[scope.into(), revision.into(), name.into()]).await?;
        Ok(())
    }

    /// What changed in `scope` behind `after`.
    pub async fn changes_after(&mut self, scope: &str, after: Revision) -> Result<Changes, StoreError> {
        const SQL: &str = "SELECT name FROM change_log WHERE scope = $1 AND revision > $2";
        let to = self.revision(scope).await?;
        let rows = self.fetch_all(SQL, &[scope.into(), after.into()]).await?;
        let names = rows.iter().map(|r| r.text("name")).collect::<Result<_, _>>()?;
        Ok(Changes { to, names })
    }
}
