//! What proxies count and find for rollouts, on its way to the store: gathered, and written at most once a second. What
//! a check found is waited for, so it goes at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hotswap_rollout::RolloutId;
use hotswap_runtime::{Supervisor, TaskKind};
use hotswap_store::StoreError;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::App;
use crate::domain::ArmCounts;
use crate::store::rollouts::{self, Counter, Found};

/// How often counts are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Counts written in one transaction, so that no write of a route waits long behind it.
const STEP: usize = 100;
/// Counts that wait at most; beyond that the newest ones are passed over until the store takes some.
const MAX_WAITING: usize = 100_000;

/// Takes what proxies count and find; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Arms {
    waiting: Arc<Mutex<Waiting>>,
    counted: Arc<Notify>,
    found: Arc<Notify>,
}

#[derive(Default)]
struct Waiting {
    counts: BTreeMap<Counter, ArmCounts>,
    found: Vec<(RolloutId, i64, Found)>,
}

/// What is written in one transaction.
struct Step {
    counts: Vec<(Counter, ArmCounts)>,
    found: Vec<(RolloutId, i64, Found)>,
}

impl Arms {
    /// An instance of a proxy has counted so much by now.
    pub(crate) fn count(&self, counter: Counter, counts: ArmCounts) {
        let mut waiting = self.lock();
        if waiting.counts.len() < MAX_WAITING || waiting.counts.contains_key(&counter) {
            waiting.counts.insert(counter, counts);
        }
        drop(waiting);
        self.counted.notify_one();
    }

    /// A proxy has looked at a candidate.
    pub(crate) fn find(&self, rollout: RolloutId, number: i64, found: Found) {
        let mut waiting = self.lock();
        if waiting.found.len() < MAX_WAITING {
            waiting.found.push((rollout, number, found));
        }
        drop(waiting);
        self.found.notify_one();
    }

    /// Writes what comes in until the process ends, and the rest then.
    pub(crate) fn keep_in_store(&self, app: &App, supervisor: &Supervisor) {
        let (this, app, shutdown) = (self.clone(), app.clone(), supervisor.shutdown());
        supervisor.spawn("arm counts", TaskKind::Essential, async move {
            let mut written = Instant::now();
            loop {
                tokio::select! {
                    () = this.found.notified() => {}
                    () = this.counted.notified() => tokio::select! {
                        () = tokio::time::sleep_until(written + WRITE_EVERY) => {}
                        () = this.found.notified() => {}
                        () = shutdown.cancelled() => {}
                    },
                    () = shutdown.cancelled() => {}
                }
                written = Instant::now();
                if let Err(error) = this.write(&app).await {
                    app.metrics.store_errors.inc();
                    tracing::warn!(%error, "counts of rollouts could not be written; it tries again");
                    this.counted.notify_one();
                }
                if shutdown.is_cancelled() {
                    return;
                }
            }
        });
    }

    async fn write(&self, app: &App) -> Result<(), StoreError> {
        loop {
            let step = self.step();
            if step.counts.is_empty() && step.found.is_empty() {
                return Ok(());
            }
            if let Err(error) = store(app, &step).await {
                self.put_back(step);
                return Err(error);
            }
        }
    }

    fn step(&self) -> Step {
        let mut waiting = self.lock();
        let found = waiting.found.len().min(STEP);
        let mut step = Step { counts: Vec::new(), found: waiting.found.drain(..found).collect() };
        while step.counts.len() < STEP
            && let Some(first) = waiting.counts.pop_first()
        {
            step.counts.push(first);
        }
        step
    }

    /// What could not be written waits again, but for what newer counts took the place of.
    fn put_back(&self, step: Step) {
        let mut waiting = self.lock();
        for (counter, counts) in step.counts {
            waiting.counts.entry(counter).or_insert(counts);
        }
        waiting.found.splice(..0, step.found);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn store(app: &App, step: &Step) -> Result<(), StoreError> {
    let now = app.clock.now();
    let mut tx = app.db.write_unscoped().await?;
    for (counter, counts) in &step.counts {
        rollouts::put_counts(&mut tx, counter, counts, now).await?;
    }
    for (rollout, number, found) in &step.found {
        rollouts::put_check(&mut tx, *rollout, *number, found, now).await?;
    }
    tx.commit().await
}
