//! Leases: one holder at a time, with a fence.
//!
//! A holder can be frozen and go on after its lease has passed to another; no clock protects from that. So each
//! change of hands raises the fence, and a transaction that works under a lease checks its fence in the same
//! transaction (Chubby's sequencers: Burrows, *The Chubby lock service*, 2006; Kleppmann, *How to do distributed
//! locking*, 2016). Time is the database's own.

use std::time::Duration;

use crate::{Db, StoreError, Tx};

/// A lease that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is leased.
    pub name: String,
    /// Who holds it: unique to a process, not to a machine.
    pub holder: String,
    /// Rises with each change of hands, and where the same holder comes back too late.
    pub fence: i64,
}

impl Db {
    /// Takes a lease for `ttl`, or keeps it where `holder` has it already. `None`: another one holds it.
    ///
    /// # Errors
    /// As the database says.
    pub async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        const SQL: &str = "INSERT INTO leases (name, holder, fence, expires_at) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (name) DO UPDATE SET \
             fence = CASE WHEN leases.holder = excluded.holder AND leases.expires_at > $4 \
             THEN leases.fence ELSE leases.fence + 1 END, \
             holder = excluded.holder, expires_at = excluded.expires_at \
             WHERE leases.holder = excluded.holder OR leases.expires_at <= $4 RETURNING fence";
        let mut tx = self.write_unscoped().await?;
        let now = tx.now().await?;
        let until = now.plus_micros(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX));
        let row = tx.fetch_opt(SQL, &[name.into(), holder.into(), until.into(), now.into()]).await?;
        let Some(row) = row else { return Ok(None) };
        let fence = row.int("fence")?;
        tx.commit().await?;
        Ok(Some(Lease { name: name.to_owned(), holder: holder.to_owned(), fence }))
    }

    /// Gives a lease back, so that another one need not wait for its end. One that has passed on stays there.
    ///
    /// # Errors
    /// As the database says.
    pub async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE leases SET expires_at = 0 WHERE name = $1 AND holder = $2 AND fence = $3";
        let mut tx = self.write_unscoped().await?;
        tx.execute(SQL, &[lease.name.as_str().into(), lease.holder.as_str().into(), lease.fence.into()])
            .await?;
        tx.commit().await
    }
}

impl Tx {
    /// Leases whose names begin with `prefix` and whose time is not up.
    ///
    /// # Errors
    /// As the database says.
    pub async fn leases_held(&mut self, prefix: &str) -> Result<Vec<Lease>, StoreError> {
        const SQL: &str = "SELECT name, holder, fence FROM leases \
             WHERE SUBSTR(name, 1, LENGTH($1)) = $1 AND expires_at > $2 ORDER BY name";
        let now = self.now().await?;
        let rows = self.fetch_all(SQL, &[prefix.into(), now.into()]).await?;
        let lease = |r: &crate::Row| {
            Ok(Lease { name: r.text("name")?, holder: r.text("holder")?, fence: r.int("fence")? })
        };
        rows.iter().map(lease).collect()
    }

    /// Makes sure that this transaction works under a lease that has not passed on: until it ends, the lease
    /// can't. A lease whose time is up is good as long as nobody else took it.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where another one has it now.
    pub async fn check_fence(&mut self, lease: &Lease) -> Result<(), StoreError> {
        // It changes nothing, but locks the row.
        const SQL: &str = "UPDATE leases SET fence = fence WHERE name = $1 AND holder = $2 AND fence = $3";
        let key = [lease.name.as_str().into(), lease.holder.as_str().into(), lease.fence.into()];
        match self.execute(SQL, &key).await? {
            1 => Ok(()),
            _ => Err(StoreError::Fenced { lease: lease.name.clone() }),
        }
    }
}
