//! What was measured is dropped a while after a rollout's end; what happened, the last verdict and its words a longer
//! while later, with the rollout. The last one of each subject stays, so that it can be told how it came to be live. The
//! audit log has a retention of its own.

use std::time::Duration;

use hotswap_auth::OpContext;
use hotswap_core::Timestamp;
use hotswap_rollout::RolloutId;
use hotswap_store::{Lease, StoreError, Tx};

use super::{Rollouts, parse_name};
use crate::Error;
use crate::store;

/// Rollouts that are looked for at once.
const AT_ONCE: usize = 100;
/// Rows dropped in one transaction, more or less, so that no write waits long.
const STEP: u64 = 1_000;
/// Who drops rollouts holds this, so that one process does.
const LEASE: &str = "retention/rollouts";
/// How long it is held without a sign of life.
const LEASED: Duration = Duration::from_secs(60);

impl Rollouts {
    /// Drops the measurements of rollouts that ended at least so long ago, and what clients reported for them; of how many
    /// rollouts. Several processes may do it at a time: what one of them has dropped the others don't find.
    ///
    /// # Errors
    /// [`Error::Store`]; what was dropped by then is, and the rest is the next time.
    pub async fn drop_measurements(&self, kept: Duration) -> Result<usize, Error> {
        self.drop_counts(kept).await?;
        let mut dropped = 0;
        loop {
            let ids = self.measured_before(kept).await?;
            for id in &ids {
                self.drop_measurements_of(*id).await?;
                dropped += 1;
            }
            if ids.len() < AT_ONCE {
                return Ok(dropped);
            }
        }
    }

    /// What clients reported, also for rollouts that were never measured.
    async fn drop_counts(&self, kept: Duration) -> Result<(), Error> {
        let mut tx = self.parts.db.write_unscoped().await?;
        let before = ago(&mut tx, kept).await?;
        store::drop_counts(&mut tx, before).await?;
        Ok(tx.commit().await?)
    }

    async fn measured_before(&self, kept: Duration) -> Result<Vec<RolloutId>, Error> {
        let mut tx = self.parts.db.read().await?;
        let before = ago(&mut tx, kept).await?;
        Ok(store::measured_before(&mut tx, before, AT_ONCE).await?)
    }

    /// Step by step; with the last one it is noted.
    async fn drop_measurements_of(&self, id: RolloutId) -> Result<(), Error> {
        loop {
            let mut tx = self.parts.db.write_unscoped().await?;
            let last = store::drop_measurements(&mut tx, id, STEP).await? < STEP;
            if last {
                let now = tx.now().await?;
                store::note_dropped(&mut tx, id, now).await?;
            }
            tx.commit().await?;
            if last {
                return Ok(());
            }
        }
    }

    /// Drops rollouts that ended at least so long ago, with all that is known of them but in the audit log; how many. The
    /// last one of each subject stays. One process does it at a time; each has a `holder` of its own.
    ///
    /// # Errors
    /// [`Error::Store`]; what was dropped by then is, and the rest is the next time.
    pub async fn drop_ended(&self, kept: Duration, holder: &str) -> Result<u64, Error> {
        let db = &self.parts.db;
        let (mut after, mut dropped) = ((i64::MIN, String::new()), 0);
        loop {
            // With each page anew, so that it lasts as long as the work.
            let Some(lease) = db.acquire_lease(LEASE, holder, LEASED).await? else { return Ok(dropped) };
            let mut tx = db.read().await?;
            let before = ago(&mut tx, kept).await?;
            let ended = store::ended_before(&mut tx, before, &after, AT_ONCE).await?;
            drop(tx);
            let goes: Vec<_> = ended.iter().filter(|e| e.is_followed).map(|e| e.id).collect();
            self.drop_rollouts(&lease, &goes).await?;
            dropped += goes.len() as u64;
            match ended.last() {
                Some(last) if ended.len() == AT_ONCE => after = (last.ended_at.0, last.id.0.to_string()),
                _ => {
                    db.release_lease(&lease).await?;
                    return Ok(dropped);
                }
            }
        }
    }

    async fn drop_rollouts(&self, lease: &Lease, all: &[RolloutId]) -> Result<(), Error> {
        let mut rest = all.iter().copied().peekable();
        while rest.peek().is_some() {
            let mut tx = self.parts.db.write_unscoped().await?;
            tx.check_fence(lease).await?;
            let mut rows = 0;
            while rows < STEP
                && let Some(id) = rest.peek()
            {
                let (dropped, is_gone) = store::drop_some(&mut tx, *id, STEP).await?;
                rows += dropped;
                if is_gone {
                    rest.next();
                }
            }
            tx.commit().await?;
            self.parts.faults.at("retention: after a commit").await;
        }
        Ok(())
    }

    /// When the measurements of a rollout were dropped; `None`: all that there are are there.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Store`].
    pub async fn measurements_dropped(
        &self,
        _ctx: &OpContext,
        name: &str,
    ) -> Result<Option<Timestamp>, Error> {
        let id = parse_name(name)?;
        let found = store::dropped(&mut self.parts.db.read().await?, id).await?;
        found.ok_or_else(|| Error::NotFound { name: id.to_string() })
    }
}

/// So long ago, by the database's clock.
async fn ago(tx: &mut Tx, span: Duration) -> Result<Timestamp, StoreError> {
    let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Ok(Timestamp(tx.now().await?.0.saturating_sub(span)))
}
