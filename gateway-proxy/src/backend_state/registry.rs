//! All pools and their backends, by name.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hotswap_matcher::{Address, Backends, Resilience};
use tokio::sync::watch;

use super::{BackendState, Budget, Hold};

/// The states of every pool; cheap to clone. The configuration points into it and does not own it.
#[derive(Clone, Debug)]
pub struct States(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    pools: Mutex<HashMap<String, Arc<PoolStates>>>,
    /// Counts the changes of pools that are checked.
    checks: watch::Sender<u64>,
}

/// The states of one pool's backends, in the order of its backends.
#[derive(Debug)]
pub struct PoolStates {
    members: Vec<Arc<BackendState>>,
    quota: Arc<Quota>,
    budget: Arc<Budget>,
    checked: bool,
    judged: bool,
    held: bool,
}

/// How many of a pool's backends are ejected.
#[derive(Debug, Default)]
pub(super) struct Quota {
    size: AtomicU32,
    out: AtomicU32,
}

impl Default for States {
    fn default() -> Self {
        Self(Arc::new(Registry { pools: Mutex::default(), checks: watch::channel(0).0 }))
    }
}

impl States {
    /// A pool has this content now. An address that it had before keeps its state.
    pub fn put(&self, name: &str, backends: &Backends) -> Arc<PoolStates> {
        let mut pools = self.lock();
        let old = pools.get(name);
        let known: HashMap<&Address, &Arc<BackendState>> =
            old.map(|p| p.members.iter().map(|m| (m.address(), m)).collect()).unwrap_or_default();
        let quota = old.map_or_else(Arc::default, |p| Arc::clone(&p.quota));
        let budget = old.map_or_else(Arc::default, |p| Arc::clone(&p.budget));
        let state = |address: &Address| {
            let new = || Arc::new(BackendState::new(address, &quota));
            known.get(address).map_or_else(new, |state| Arc::clone(state))
        };
        let members: Vec<_> = backends.backends.iter().map(|b| state(&b.address)).collect();
        quota.size.store(u32::try_from(members.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        for (member, backend) in members.iter().zip(&backends.backends) {
            member.configure(&backends.resilience, hold(backend.state));
        }
        let checked = backends.resilience.health_check.is_some();
        let changed = checked || old.is_some_and(|p| p.checked);
        let Resilience { circuit_breaker, outlier_ejection, .. } = &*backends.resilience;
        let held = backends.backends.iter().any(|b| hold(b.state) != Hold::None);
        let judged = circuit_breaker.is_some() || outlier_ejection.is_some();
        let pool = Arc::new(PoolStates { members, quota, budget, checked, judged, held });
        pools.insert(name.to_owned(), Arc::clone(&pool));
        drop(pools);
        if changed {
            self.checks_changed();
        }
        pool
    }

    /// A pool is gone, and what was known of it.
    pub fn remove(&self, name: &str) {
        let gone = self.lock().remove(name);
        if gone.is_some_and(|p| p.checked) {
            self.checks_changed();
        }
    }

    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Option<Arc<PoolStates>> {
        self.lock().get(name).cloned()
    }

    /// Every pool of which `keep` holds, by name.
    pub fn pools(&self, keep: impl Fn(&PoolStates) -> bool) -> Vec<(String, Arc<PoolStates>)> {
        let pools = self.lock();
        let mut kept: Vec<_> = pools
            .iter()
            .filter(|(_, pool)| keep(pool))
            .map(|(name, pool)| (name.clone(), Arc::clone(pool)))
            .collect();
        drop(pools);
        kept.sort_by(|a, b| a.0.cmp(&b.0));
        kept
    }

    /// Changes whenever a pool that is checked does.
    pub(crate) fn checks(&self) -> watch::Receiver<u64> {
        self.0.checks.subscribe()
    }

    /// Whether it is the same registry.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn checks_changed(&self) {
        self.0.checks.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<PoolStates>>> {
        self.0.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hold(state: hotswap_matcher::BackendState) -> Hold {
    match state {
        hotswap_matcher::BackendState::Enabled => Hold::None,
        hotswap_matcher::BackendState::Drained => Hold::Drained,
        hotswap_matcher::BackendState::ForcedOpen => Hold::ForcedOpen,
        hotswap_matcher::BackendState::ForcedClosed => Hold::ForcedClosed,
    }
}

impl PoolStates {
    /// Its backends, each at its place.
    pub fn members(&self) -> &[Arc<BackendState>] {
        &self.members
    }

    /// Whether its backends are checked.
    pub fn is_checked(&self) -> bool {
        self.checked
    }

    /// Whether a backend of it may be out of order: something looks after them, or an operator has decided about one.
    pub fn is_watched(&self) -> bool {
        self.checked || self.judged || self.held
    }

    /// Whether one more retry may go to it at `now`, in ms; it is noted. `percent` of the requests may be retries.
    pub fn take_retry(&self, percent: u32, now: u64) -> bool {
        let requests = self.members.iter().fold(0_u64, |sum, m| sum.wrapping_add(m.requests()));
        self.budget.take(percent, requests, now)
    }
}

impl Quota {
    /// Whether one more may be out, of `percent` of all; it is noted. One always may, where there is another.
    pub(super) fn take(&self, percent: u32) -> bool {
        let size = self.size.load(Ordering::Relaxed);
        let most = u32::try_from(u64::from(size) * u64::from(percent) / 100).unwrap_or(u32::MAX);
        let most = if size > 1 { most.max(1) } else { most };
        let one_more = |out: u32| (out < most).then_some(out + 1);
        self.out.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    pub(super) fn give_back(&self) {
        let one_less = |out: u32| Some(out.saturating_sub(1));
        let _ = self.out.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }
}
