//! All pools and their backends, by name.

use std::collections::{HashMap, HashSet};
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
    pools: Mutex<HashMap<String, Pool>>,
    /// Counts the changes of pools that are checked.
    checks: watch::Sender<u64>,
}

/// A pool, and the revision of it that a rollout brings.
#[derive(Debug, Default)]
struct Pool {
    live: Option<Arc<PoolStates>>,
    beside: Option<Arc<PoolStates>>,
    /// What of that the live one has not.
    own: Option<Arc<PoolStates>>,
}

/// The states of one pool's backends, in the order of its backends.
#[derive(Debug)]
pub struct PoolStates {
    members: Vec<Arc<BackendState>>,
    settings: Arc<Resilience>,
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

impl Pool {
    /// Finds out what the candidate has for itself.
    fn settle(&mut self) {
        let live = self.live.as_ref().map_or(&[][..], |live| &live.members);
        self.own = self.beside.as_ref().map(|beside| Arc::new(beside.without(live)));
    }
}

impl States {
    /// A pool has this content now. An address that it had before keeps its state, and one that its candidate had, too.
    pub fn put(&self, name: &str, backends: &Backends) -> Arc<PoolStates> {
        let mut pools = self.lock();
        let pool = pools.entry(name.to_owned()).or_default();
        let old = pool.live.take();
        let brought = pool.beside.as_deref().filter(|beside| beside.settings == backends.resilience);
        // What was the candidate a moment ago goes on with what is known of it.
        let known = if old.as_ref().is_some_and(|old| old.settings == backends.resilience) {
            [old.as_deref(), brought]
        } else {
            [brought, old.as_deref()]
        };
        let first = known.iter().flatten().next();
        let quota = first.map_or_else(Arc::default, |p| Arc::clone(&p.quota));
        let budget = first.map_or_else(Arc::default, |p| Arc::clone(&p.budget));
        let known = by_address(known.into_iter().flatten());
        let live = Arc::new(PoolStates::new(backends, &known, quota, budget, &HashMap::new()));
        let changed = live.checked || old.is_some_and(|p| p.checked);
        pool.live = Some(Arc::clone(&live));
        pool.settle();
        drop(pools);
        if changed {
            self.checks_changed();
        }
        live
    }

    /// A candidate of the pool has this content. Where it has an address of the pool with the same settings, it is the
    /// same state; with others it has one of its own, so that nobody who does not get it notices. What an operator has
    /// decided about an address holds for both.
    pub fn put_beside(&self, name: &str, backends: &Backends) -> Arc<PoolStates> {
        let mut pools = self.lock();
        let pool = pools.entry(name.to_owned()).or_default();
        let old = pool.beside.take();
        let live = pool.live.as_deref();
        let same = live.filter(|live| live.settings == backends.resilience);
        let shared = by_address(same.into_iter());
        let mut known = by_address(pool.own.as_deref().into_iter());
        known.extend(&shared);
        let held = live.map(|l| l.members.iter().map(|m| (m.address().as_str(), m.hold())).collect());
        let quota = old.as_ref().map_or_else(Arc::default, |p| Arc::clone(&p.quota));
        let budget = old.as_ref().map_or_else(Arc::default, |p| Arc::clone(&p.budget));
        let beside = PoolStates::new(backends, &known, quota, budget, &held.unwrap_or_default());
        let changed = beside.checked || old.is_some_and(|p| p.checked);
        let beside = Arc::new(beside);
        pool.beside = Some(Arc::clone(&beside));
        pool.settle();
        drop(pools);
        if changed {
            self.checks_changed();
        }
        beside
    }

    /// A pool is gone, and what was known of it.
    pub fn remove(&self, name: &str) {
        self.change(name, |pool| pool.live.take());
    }

    /// A pool has no candidate any more.
    pub fn remove_beside(&self, name: &str) {
        self.change(name, |pool| pool.beside.take());
    }

    fn change(&self, name: &str, take: impl FnOnce(&mut Pool) -> Option<Arc<PoolStates>>) {
        let mut pools = self.lock();
        let Some(pool) = pools.get_mut(name) else { return };
        let gone = take(pool);
        pool.settle();
        if pool.live.is_none() && pool.beside.is_none() {
            pools.remove(name);
        }
        drop(pools);
        if gone.is_some_and(|p| p.checked) {
            self.checks_changed();
        }
    }

    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Option<Arc<PoolStates>> {
        self.lock().get(name).and_then(|pool| pool.live.clone())
    }

    /// Every pool of which `keep` holds, by name. What a candidate of a pool has for itself stands behind it, as a pool
    /// named "{name} (candidate)".
    pub fn pools(&self, keep: impl Fn(&PoolStates) -> bool) -> Vec<(String, Arc<PoolStates>)> {
        let pools = self.lock();
        let all = pools.iter().flat_map(|(name, pool)| {
            let live = pool.live.iter().map(move |live| (name.clone(), live));
            let own = pool.own.iter().filter(|own| !own.members.is_empty());
            live.chain(own.map(move |own| (format!("{name} (candidate)"), own)))
        });
        let mut kept: Vec<_> =
            all.filter(|(_, pool)| keep(pool)).map(|(name, pool)| (name, Arc::clone(pool))).collect();
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

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pool>> {
        self.0.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn by_address<'a>(
    pools: impl Iterator<Item = &'a PoolStates>,
) -> HashMap<&'a Address, &'a Arc<BackendState>> {
    let mut known = HashMap::new();
    for state in pools.flat_map(|pool| &pool.members) {
        known.entry(state.address()).or_insert(state);
    }
    known
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
    /// Of these backends, with what is `known` of them; `held` is what an operator has decided elsewhere.
    fn new(
        backends: &Backends,
        known: &HashMap<&Address, &Arc<BackendState>>,
        quota: Arc<Quota>,
        budget: Arc<Budget>,
        held: &HashMap<&str, Hold>,
    ) -> Self {
        let state = |address: &Address| {
            let new = || Arc::new(BackendState::new(address, &quota));
            known.get(address).map_or_else(new, |state| Arc::clone(state))
        };
        let members: Vec<_> = backends.backends.iter().map(|b| state(&b.address)).collect();
        quota.size.store(u32::try_from(members.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        let holds: Vec<Hold> = backends
            .backends
            .iter()
            .map(|b| held.get(b.address.as_str()).copied().unwrap_or_else(|| hold(b.state)))
            .collect();
        for (member, hold) in members.iter().zip(&holds) {
            member.configure(&backends.resilience, *hold);
        }
        let Resilience { health_check, circuit_breaker, outlier_ejection } = &*backends.resilience;
        Self {
            members,
            settings: Arc::clone(&backends.resilience),
            quota,
            budget,
            checked: health_check.is_some(),
            judged: circuit_breaker.is_some() || outlier_ejection.is_some(),
            held: holds.iter().any(|hold| *hold != Hold::None),
        }
    }

    /// The same without the states that another has.
    fn without(&self, others: &[Arc<BackendState>]) -> Self {
        let others: HashSet<_> = others.iter().map(Arc::as_ptr).collect();
        let is_own = |m: &&Arc<BackendState>| !others.contains(&Arc::as_ptr(m));
        let members: Vec<_> = self.members.iter().filter(is_own).cloned().collect();
        Self {
            settings: Arc::clone(&self.settings),
            quota: Arc::clone(&self.quota),
            budget: Arc::clone(&self.budget),
            checked: self.checked && !members.is_empty(),
            members,
            ..*self
        }
    }

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
