//! Active checks: one checker for each address of a pool, on a thread of its own, whatever the number of cores and
//! routes. What it finds goes into the backend's state, where every core reads it.
//!
//! A change of the configuration starts and stops only the checkers that it is about; a backend keeps its health
//! and its count of failures over every other change.

pub(crate) mod probe;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hotswap_matcher::HealthCheck;
use tokio::runtime::LocalOptions;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::backend_state::{BackendState, States};
use crate::dice::Dice;
use crate::engine::Order;
use crate::metrics::ControlMetrics;
use crate::tls::BackendFiles;

/// A backend's first check comes within this part of its interval, so that not all come at once.
const FIRST_WITHIN: u32 = 10;

/// Runs the checks of the configuration in force on this thread, until it is told to stop.
///
/// # Errors
/// Where the runtime can't be built.
pub(crate) fn run(
    states: watch::Receiver<States>,
    order: watch::Receiver<Order>,
    metrics: Arc<ControlMetrics>,
    files: BackendFiles,
) -> std::io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let checkers = Checkers { running: HashMap::new(), dice: Dice::new(), metrics, files };
    runtime.block_on(checkers.follow(states, order));
    Ok(())
}

/// The checkers that run.
struct Checkers {
    /// By the address of the state in memory, which each checker holds.
    running: HashMap<*const BackendState, Checker>,
    dice: Dice,
    metrics: Arc<ControlMetrics>,
    files: BackendFiles,
}

struct Checker {
    pool: String,
    settings: HealthCheck,
    task: AbortHandle,
}

impl Checkers {
    async fn follow(mut self, mut states: watch::Receiver<States>, mut order: watch::Receiver<Order>) {
        loop {
            let current = states.borrow_and_update().clone();
            let mut checks = current.checks();
            self.agree_with(&current);
            tokio::select! {
                changed = states.changed() => if changed.is_err() { return },
                changed = checks.changed() => if changed.is_err() { return },
                _ = order.wait_for(Order::is_over) => return,
            }
        }
    }

    /// Starts and stops what is needed.
    fn agree_with(&mut self, states: &States) {
        let mut before = std::mem::take(&mut self.running);
        for (pool, members) in states.pools(|pool| pool.is_checked()) {
            for state in members.members() {
                let Some(settings) = state.health_check() else { continue };
                let key = Arc::as_ptr(state);
                let checker = match before.entry(key) {
                    Entry::Occupied(known) if known.get().settings == settings => known.remove(),
                    Entry::Occupied(_) | Entry::Vacant(_) => self.start(&pool, state, settings),
                };
                self.running.insert(key, checker);
            }
        }
        for gone in before.into_values() {
            tracing::debug!(pool = gone.pool, "a checker ends");
            gone.task.abort();
        }
    }

    fn start(&mut self, pool: &str, state: &Arc<BackendState>, settings: HealthCheck) -> Checker {
        let check = check(
            pool.to_owned(),
            Arc::clone(state),
            settings.clone(),
            self.dice.split(),
            Arc::clone(&self.metrics),
            self.files.clone(),
        );
        // Ended by what it is about: the pool, the settings, or the runtime.
        let task = tokio::task::spawn_local(check).abort_handle();
        Checker { pool: pool.to_owned(), settings, task }
    }
}

async fn check(
    pool: String,
    state: Arc<BackendState>,
    settings: HealthCheck,
    mut dice: Dice,
    metrics: Arc<ControlMetrics>,
    files: BackendFiles,
) {
    tokio::time::sleep(dice.up_to(settings.interval / FIRST_WITHIN)).await;
    loop {
        let made = probe::run(state.address(), &settings.probe, &files);
        let found = tokio::time::timeout(settings.timeout, made).await;
        note(&pool, &state, &found.unwrap_or(Err(probe::Failed::Timeout)), &metrics);
        tokio::time::sleep(next(&settings, &mut dice)).await;
    }
}

/// Counts a check, and says what it has changed. One that could not be made says nothing of the backend.
fn note(pool: &str, state: &BackendState, found: &Result<(), probe::Failed>, metrics: &ControlMetrics) {
    let (count, says_something) = match found {
        Ok(()) => (&metrics.checks_ok, true),
        Err(error) if error.is_own() => (&metrics.checks_not_made, false),
        Err(_) => (&metrics.checks_failed, true),
    };
    count.fetch_add(1, Ordering::Relaxed);
    let backend = state.address();
    match found {
        _ if !says_something || !state.checked(found.is_ok()) => {}
        Ok(()) => tracing::info!(pool, %backend, "backend is healthy again"),
        Err(error) => tracing::warn!(pool, %backend, %error, "backend is unhealthy"),
    }
}

/// Time to the next check.
fn next(settings: &HealthCheck, dice: &mut Dice) -> Duration {
    let stray = settings.interval * settings.jitter_percent / 100;
    settings.interval - stray + dice.up_to(stray * 2)
}

#[cfg(test)]
mod tests {
    use hotswap_matcher::{HealthCheckDraft, PoolDraft, PoolSpec};

    use super::*;

    #[test]
    fn the_time_between_two_checks_strays_within_its_bounds() {
        let check = HealthCheckDraft { interval_ms: 1_000, jitter_percent: Some(20), ..Default::default() };
        let pool = PoolDraft { health_check: Some(check), ..PoolDraft::default() };
        let pool = PoolSpec::parse(&pool).expect("valid");
        let settings = pool.backends().resilience.health_check.clone().expect("has one");
        let mut dice = Dice::new();
        let times: Vec<_> = (0..1_000).map(|_| next(&settings, &mut dice).as_millis()).collect();
        let (least, most) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
        assert!(*least >= 800 && *most <= 1_200, "{least} {most}");
        assert!(*least < 850 && *most > 1_150, "{least} {most}");
    }
}
