//! Between the fleet in memory and the fleet in the store.
//!
//! ```text
//!   streams ──► Fleet ──changes, coalesced──► gateway_proxies ──hint, or every 5 s──► Fleet of each other process
//! ```
//!
//! A process claims a proxy when it connects; a claim has a number, and what is written under an older one is
//! refused. So a process that was frozen while its proxies went elsewhere can't undo what the others wrote.
//! Where processes share a store, each holds a lease as a sign of life; when it ends, so did its streams. Where there is but
//! one, those of the process before it count for a short while, and then no more.

use std::collections::BTreeSet;
use std::time::Duration;

use hotswap_runtime::{Supervisor, TaskKind};
use tokio::time::Instant;

use super::{Fleet, Unwritten, Written};
use crate::app::{App, Error};
use crate::store::proxies;

/// How long changes are gathered before they are written, where others wait to read them.
const GATHER: Duration = Duration::from_millis(50);
/// How long, where nobody does: what is written serves the next start alone.
const GATHER_ALONE: Duration = Duration::from_secs(5);
/// Changes written in one transaction, so that no write of a route waits long behind it.
const STEP: usize = 50;
/// How often the store is asked, should a hint get lost, and the sign of life renewed.
const RECONCILE: Duration = Duration::from_secs(5);
/// How long proxies have to come back after the only process on a store was started anew. Until then they are waited for
/// as if they were connected: most were.
const BACK_WITHIN: Duration = Duration::from_secs(15);
/// How long a process counts as alive without a sign.
const ALIVE: Duration = Duration::from_secs(15);

impl Fleet {
    /// Reads what the store has, and keeps both in step until the process ends.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub(crate) async fn keep_in_store(&self, app: &App, supervisor: &Supervisor) -> Result<(), Error> {
        self.sign_life(app).await?;
        self.pull(app).await?;
        let (this, app, shutdown) = (self.clone(), app.clone(), supervisor.shutdown());
        let (mut commits, began) = (app.db.watch_commits(), Instant::now());
        supervisor.spawn("fleet", TaskKind::Essential, async move {
            let mut ticks = tokio::time::interval(RECONCILE);
            loop {
                let mut signs_life = false;
                tokio::select! {
                    () = this.dirty.notified() => {}
                    _ = commits.changed(), if app.db.is_shared() => {}
                    _ = ticks.tick() => signs_life = true,
                    () = shutdown.cancelled() => return,
                }
                tokio::select! {
                    () = tokio::time::sleep(this.gather(app.db.is_shared())) => {}
                    () = shutdown.cancelled() => return,
                }
                if let Err(error) = this.exchange(&app, signs_life).await {
                    app.metrics.store_errors.inc();
                    tracing::warn!(%error, "the fleet could not be written to the store; it tries again");
                }
                if !app.db.is_shared() && began.elapsed() >= BACK_WITHIN {
                    this.is_alone();
                }
            }
        });
        Ok(())
    }

    /// How long to gather: the more there is to write, the longer, so that a large fleet does not keep the database
    /// busy with what each proxy has.
    fn gather(&self, shared: bool) -> Duration {
        if !shared {
            return GATHER_ALONE;
        }
        GATHER
            .max(Duration::from_millis(u64::try_from(self.unwritten_count()).unwrap_or(u64::MAX).min(2_000)))
    }

    /// Writes what is not written, and reads what others wrote.
    async fn exchange(&self, app: &App, signs_life: bool) -> Result<(), Error> {
        if signs_life {
            self.sign_life(app).await?;
        }
        self.push(app).await?;
        if app.db.is_shared() {
            self.pull(app).await?;
        }
        Ok(())
    }

    /// Writes what is not written yet. Called last, too, when all streams have ended.
    pub(crate) async fn push(&self, app: &App) -> Result<(), Error> {
        loop {
            let step = self.unwritten(STEP);
            if step.is_empty() {
                return Ok(());
            }
            let more = step.len() == STEP;
            self.push_step(app, step).await?;
            if !more {
                return Ok(());
            }
        }
    }

    async fn push_step(&self, app: &App, step: Vec<Unwritten>) -> Result<(), Error> {
        let mut tx = app.db.write(proxies::SCOPE).await?;
        let revision = tx.next_revision(proxies::SCOPE).await?;
        let mut done: Vec<(Unwritten, Written)> = Vec::with_capacity(step.len());
        for change in step {
            let kept = match change.claim {
                Some(claim) => {
                    proxies::update(&mut tx, &change.proxy, claim, revision).await?.then_some(claim)
                }
                None => proxies::claim(&mut tx, &change.proxy, revision).await?,
            };
            done.push((change, kept.map_or(Written::Lost, Written::As)));
        }
        tx.commit().await?;
        self.wrote(done);
        Ok(())
    }

    /// Renews the lease that says that this process is alive.
    async fn sign_life(&self, app: &App) -> Result<(), Error> {
        if app.db.is_shared() {
            app.db.acquire_lease(&lease(self.replica()), self.replica(), ALIVE).await?;
        }
        Ok(())
    }

    async fn pull(&self, app: &App) -> Result<(), Error> {
        let mut alive = None;
        let mut tx = app.db.read().await?;
        if app.db.is_shared() {
            let leases = tx.leases_held(LEASE).await?;
            alive = Some(leases.into_iter().map(|l| l.holder).collect::<BTreeSet<_>>());
        }
        let (to, read) = (tx.revision(proxies::SCOPE).await?, self.read());
        // A store that was set back: everything is read again.
        let after = if to < read { hotswap_core::Revision::ZERO } else { read };
        let proxies = proxies::changed_after(&mut tx, after).await?;
        self.heard(to, proxies, alive);
        Ok(())
    }

    /// Says in the store that this process is gone.
    pub(crate) async fn leave(&self, app: &App) -> Result<(), Error> {
        self.push(app).await?;
        if app.db.is_shared() {
            let held = app.db.acquire_lease(&lease(self.replica()), self.replica(), ALIVE).await?;
            if let Some(held) = held {
                app.db.release_lease(&held).await?;
            }
        }
        Ok(())
    }
}

/// What the leases that are signs of life begin with.
const LEASE: &str = "route-replica/";

fn lease(replica: &str) -> String {
    format!("{LEASE}{replica}")
}
