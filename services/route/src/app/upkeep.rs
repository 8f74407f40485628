//! What runs beside the calls: hints between processes, the change log's compaction, and the end of what was measured.

use std::time::Duration;

use hotswap_cache::Maintenance;
use hotswap_core::Revision;
use hotswap_rollout_host::RolloutMetrics;
use hotswap_runtime::{Supervisor, TaskKind};
use hotswap_store::Lease;

use super::{App, Error};
use crate::store;

/// How often the log is looked at.
const COMPACT_EVERY: Duration = Duration::from_secs(60);
/// How often rollouts are looked for that ended long ago.
const DROP_EVERY: Duration = Duration::from_secs(600);
/// Entries dropped in one transaction, so that no write waits long.
const COMPACT_STEP: i64 = 1_000;
/// How long what a rollout left is kept: 7 days.
const FORGET_AFTER_MICROS: i64 = 7 * 86_400 * 1_000_000;
/// Who compacts holds this, so that one process does.
const COMPACT_LEASE: &str = "compaction/gateway";

/// How long after a rollout's end what is kept of it; `None`: for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// What was measured.
    pub(crate) measurements: Option<Duration>,
    /// All else, but the last one of each route and pool.
    pub(crate) rollouts: Option<Duration>,
}

impl App {
    /// Tells other processes on the same store of commits, and hears of theirs.
    pub(crate) fn exchange_hints(&self, supervisor: &Supervisor) {
        let (db, shutdown) = (self.db.clone(), supervisor.shutdown());
        supervisor.spawn("commit hints", TaskKind::Background, async move {
            tokio::select! {
                () = db.exchange_hints() => {}
                () = shutdown.cancelled() => {}
            }
        });
    }

    /// Keeps the cache right.
    pub(crate) fn maintain_cache(&self, maintenance: Maintenance, supervisor: &Supervisor) {
        let (app, shutdown) = (self.clone(), supervisor.shutdown());
        supervisor.spawn("cache", TaskKind::Background, async move {
            maintenance.run(app, shutdown.cancelled_owned()).await;
        });
    }

    /// Keeps the change log at `kept` entries, more or less.
    pub(crate) fn compact_changes(&self, holder: String, kept: i64, supervisor: &Supervisor) {
        let (app, shutdown) = (self.clone(), supervisor.shutdown());
        supervisor.spawn("change log compaction", TaskKind::Background, async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(COMPACT_EVERY) => {}
                    () = shutdown.cancelled() => return,
                }
                if let Err(error) = app.compact_once(&holder, kept).await {
                    app.metrics.store_errors.inc();
                    tracing::warn!(%error, "the change log could not be compacted; it is tried again");
                }
            }
        });
    }

    /// Drops what is kept no longer of rollouts that ended.
    pub(crate) fn retain_rollouts(
        &self,
        kept: Kept,
        holder: String,
        counted: RolloutMetrics,
        supervisor: &Supervisor,
    ) {
        if kept.measurements.is_none() && kept.rollouts.is_none() {
            return;
        }
        let (app, shutdown) = (self.clone(), supervisor.shutdown());
        supervisor.spawn("retention of rollouts", TaskKind::Background, async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(DROP_EVERY) => {}
                    () = shutdown.cancelled() => return,
                }
                if let Err(error) = app.retain_once(kept, &holder, &counted).await {
                    app.metrics.store_errors.inc();
                    tracing::warn!(%error, "what is left of ended rollouts could not be dropped; it is tried again");
                }
            }
        });
    }

    async fn retain_once(&self, kept: Kept, holder: &str, counted: &RolloutMetrics) -> Result<(), Error> {
        if let Some(kept) = kept.measurements {
            let rollouts = self.rollouts.drop_measurements(kept).await?;
            if rollouts > 0 {
                tracing::info!(rollouts, "measurements of ended rollouts were dropped");
            }
        }
        if let Some(kept) = kept.rollouts {
            let rollouts = self.rollouts.drop_ended(kept, holder).await?;
            if rollouts > 0 {
                tracing::info!(rollouts, "rollouts that ended long ago were dropped");
            }
            counted.dropped(rollouts);
        }
        Ok(())
    }

    /// Compacts the log, unless another process does.
    pub(crate) async fn compact_once(&self, holder: &str, kept: i64) -> Result<(), Error> {
        let lease = self.db.acquire_lease(COMPACT_LEASE, holder, COMPACT_EVERY * 2).await?;
        let Some(lease) = lease else { return Ok(()) };
        let compacted = self.compact_under(&lease, kept).await.and(self.forget_rollouts().await);
        self.db.release_lease(&lease).await?;
        compacted
    }

    /// Drops what is known of rollouts that ended so long ago that nobody drives them by mistake.
    async fn forget_rollouts(&self) -> Result<(), Error> {
        let before = self.clock.now().plus_micros(-FORGET_AFTER_MICROS);
        let mut tx = self.db.write_unscoped().await?;
        store::rollouts::forget(&mut tx, before).await?;
        Ok(tx.commit().await?)
    }

    async fn compact_under(&self, lease: &Lease, kept: i64) -> Result<(), Error> {
        loop {
            let mut tx = self.db.write(store::SCOPE).await?;
            tx.check_fence(lease).await?;
            let (head, floor) = tx.place(store::SCOPE).await?;
            let target = Revision(head.0.saturating_sub(kept));
            if target <= floor || tx.compact_changes(store::SCOPE, target, COMPACT_STEP).await? == 0 {
                return Ok(());
            }
            tx.commit().await?;
        }
    }
}
