//! The driver: has what rollouts of a domain need done, turn by turn, beside as many others on the same store as there
//! are.
//!
//! ```text
//!   due? ─► claim ─► look ─► facts ─► decide ─► save ──► nothing to do: the lease went back with what was saved
//!           fence+1  counts   the      pure     one tx │
//!                    what is  store's                  └─► act ─► facts ─► decide with its outcome ─► save ─► …
//!                    out      time                         under a time-out shorter than the lease;
//!                                                          given up where a command comes, or the lease is lost
//! ```
//!
//! Each rollout is driven by a task of its own, so a slow target holds up nobody but itself, up to a number of them at a
//! time.

mod turn;

use std::sync::Arc;
use std::time::Duration;

use hotswap_rollout::{MetricSource, Millis, PortError, Store as _, Target};
use hotswap_runtime::{CancellationToken, Supervisor, TaskKind};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::schedule::LONGEST;
use crate::store::Claimed;
use crate::{RolloutMetrics, Rollouts, SqlStore, Subjects};

/// How long is waited where nothing is due and nothing hints at anything.
const NAP: Duration = Duration::from_secs(1);
/// How often the states are counted.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// How a driver works.
#[derive(Clone, Copy, Debug)]
pub struct DriverOptions {
    /// How long a claim lasts, in milliseconds. After a crash nobody drives the rollout for so long.
    pub lease: Millis,
    /// How long an act may take before it is asked for again, in milliseconds: well below the lease.
    pub act_timeout: Millis,
    /// How long a look at counts and target may take, in milliseconds.
    pub look_timeout: Millis,
    /// How many rollouts are driven at a time.
    pub concurrency: usize,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            lease: Millis(15_000),
            act_timeout: Millis(10_000),
            look_timeout: Millis(5_000),
            concurrency: 16,
        }
    }
}

/// Drives the rollouts of one domain; cheap to clone.
#[derive(Debug)]
pub struct Driver<T, M> {
    inner: Arc<Inner<T, M>>,
}

#[derive(Debug)]
struct Inner<T, M> {
    store: SqlStore,
    domain: &'static str,
    target: Arc<T>,
    source: Arc<M>,
    options: DriverOptions,
    metrics: RolloutMetrics,
    /// A task has ended: something may be due sooner than was thought.
    ended: Notify,
}

impl<T, M> Clone for Driver<T, M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<T: Target, M: MetricSource> Driver<T, M> {
    /// A driver of the rollouts of `subjects`' domain.
    pub fn new(
        rollouts: &Rollouts,
        subjects: &Arc<dyn Subjects>,
        target: Arc<T>,
        source: Arc<M>,
        options: DriverOptions,
        metrics: RolloutMetrics,
    ) -> Self {
        let store = rollouts.store(Arc::clone(subjects));
        let domain = subjects.domain();
        let ended = Notify::new();
        Self { inner: Arc::new(Inner { store, domain, target, source, options, metrics, ended }) }
    }

    /// Drives until shutdown.
    pub fn start(&self, supervisor: &Supervisor) {
        let name = format!("rollouts of {}", self.inner.domain);
        let (driver, tasks) = (self.clone(), supervisor.clone());
        supervisor.spawn(name, TaskKind::Essential, async move { driver.serve(&tasks).await });
        let (inner, shutdown) = (Arc::clone(&self.inner), supervisor.shutdown());
        let name = format!("count of the rollouts of {}", self.inner.domain);
        supervisor.spawn(name, TaskKind::Background, async move {
            while !shutdown.is_cancelled() {
                if let Ok(states) = inner.store.states(inner.domain).await {
                    inner.metrics.active(inner.domain, &states);
                }
                if let Err(error) = inner.wake_those_of_later().await {
                    tracing::debug!(%error, domain = inner.domain, "it is looked again whether the clock was set back");
                }
                tokio::select! {
                    () = tokio::time::sleep(COUNT_EVERY) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        });
    }

    /// Claims the rollout that is due the longest and drives it until it waits for something; `false`: none is due.
    ///
    /// # Errors
    /// As the store says; the rollout is taken up again.
    pub async fn turn(&self) -> Result<bool, PortError> {
        let inner = &self.inner;
        let mut claimed = inner.store.claim(inner.domain, inner.options.lease).await?;
        if claimed.is_none() && inner.wake_those_of_later().await? {
            claimed = inner.store.claim(inner.domain, inner.options.lease).await?;
        }
        let Some(claimed) = claimed else { return Ok(false) };
        inner.drive(claimed, &CancellationToken::new()).await?;
        Ok(true)
    }

    async fn serve(&self, supervisor: &Supervisor) {
        let (inner, shutdown) = (&self.inner, supervisor.shutdown());
        let permits = Arc::new(Semaphore::new(inner.options.concurrency.max(1)));
        let mut hints = inner.store.hints();
        let mut expected = false;
        loop {
            let permit = tokio::select! {
                permit = Arc::clone(&permits).acquire_owned() => permit,
                () = shutdown.cancelled() => return,
            };
            let Ok(permit) = permit else { return };
            hints.mark_unchanged();
            let nap = match inner.next(std::mem::take(&mut expected)).await {
                Ok(Next::Claimed(claimed)) => {
                    self.spawn(*claimed, permit, supervisor);
                    continue;
                }
                Ok(Next::Nap(nap)) => nap,
                Err(error) => {
                    inner.metrics.failed.inc();
                    tracing::warn!(%error, domain = inner.domain, "no rollout could be claimed");
                    NAP
                }
            };
            drop(permit);
            tokio::select! {
                () = tokio::time::sleep(nap) => expected = nap < NAP,
                _ = hints.changed() => {}
                () = inner.ended.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn spawn(&self, claimed: Claimed, permit: OwnedSemaphorePermit, supervisor: &Supervisor) {
        let (inner, shutdown) = (Arc::clone(&self.inner), supervisor.shutdown());
        supervisor.spawn("rollout", TaskKind::Background, async move {
            let rollout = claimed.1.id;
            match inner.drive(claimed, &shutdown).await {
                Ok(()) => {}
                Err(PortError::Fenced) => {
                    inner.metrics.fenced.inc();
                    tracing::debug!(%rollout, "another one drives it now");
                }
                Err(error) => {
                    inner.metrics.failed.inc();
                    tracing::warn!(%rollout, %error, "it is taken up again when its lease ends");
                }
            }
            drop(permit);
            inner.ended.notify_one();
        });
    }
}

/// What is to be done next.
enum Next {
    Claimed(Box<Claimed>),
    Nap(Duration),
}

impl<T: Target, M: MetricSource> Inner<T, M> {
    /// Nothing sleeps for more than a minute. Where something is to, the database's clock was set back, and it is due now.
    async fn wake_those_of_later(&self) -> Result<bool, PortError> {
        let longest = self.options.lease.max(LONGEST);
        let woken = self.store.wake_those_of_later(self.domain, longest).await.map_err(crate::store::port)?;
        if woken > 0 {
            tracing::warn!(domain = self.domain, rollouts = woken, "the database's clock was set back");
        }
        Ok(woken > 0)
    }

    /// Looks before it claims, since looking writes nothing; but where it is known that one is due.
    async fn next(&self, expected: bool) -> Result<Next, PortError> {
        if expected && let Some(claimed) = self.store.claim(self.domain, self.options.lease).await? {
            return Ok(Next::Claimed(Box::new(claimed)));
        }
        let due = self.store.next_due(self.domain).await.map_err(crate::store::port)?;
        match due {
            (Some(due), now) if due <= now => {
                let claimed = self.store.claim(self.domain, self.options.lease).await?;
                Ok(claimed.map_or(Next::Nap(NAP / 50), |claimed| Next::Claimed(Box::new(claimed))))
            }
            (Some(due), now) => {
                let micros = u64::try_from(due.0.saturating_sub(now.0)).unwrap_or(0);
                Ok(Next::Nap(NAP.min(Duration::from_micros(micros))))
            }
            (None, _) => Ok(Next::Nap(NAP)),
        }
    }
}
