//! The resources that a configuration is compiled from. It lives on the control thread.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use hotswap_certificate::CertificateSpec;
use hotswap_core::{CertificateName, PoolName, ResourceName, RouteName, SetDigest};
use hotswap_matcher::{Action, Arm, Backends, CandidateSpec, PoolSpec, RouteSpec, RouteTable, Target};
use http::HeaderValue;

use super::rollouts::Rollouts;
use super::shelf::Shelf;
use super::{Compiled, PoolEntry, RouteEntry, SplitPools};
use crate::backend_state::States;
use crate::balance::cookie::StickyIds;
use crate::keys::KeyRing;
use crate::rollout::{Part, Subject};
use crate::tls::Served;
use crate::traffic::{RouteTraffic, TrafficState};

/// Routes and pools by name, each in its slot, and the table of them, which each change brings up to date: what
/// a change costs depends on the change, and [`Catalog::compile`] costs nothing to speak of.
#[derive(Debug, Default)]
pub struct Catalog {
    routes: HashMap<RouteName, Revisions>,
    route_slots: Slots,
    table: RouteTable<RouteEntry>,
    routes_by_slot: Shelf<RouteEntry>,
    pools_by_slot: Shelf<PoolEntry>,
    /// By the name of the pool, or of the route whose inline backends they are; those of its mirror have [`OF_MIRROR`]
    /// behind, and a candidate's [`BESIDE`].
    pools: HashMap<String, Holder>,
    pool_slots: Slots,
    states: States,
    rollouts: Rollouts,
    /// Of routes that have or had traffic features, while they are there.
    traffic: HashMap<RouteName, Arc<TrafficState>>,
    keys: KeyRing,
    certificates: BTreeMap<CertificateName, CertificateSpec>,
    /// Made of `certificates` when they are asked for.
    served: OnceLock<Arc<Served>>,
}

/// A candidate's content, and who gets it.
pub type Candidate<T> = (T, CandidateSpec);

/// Stands behind the key of a candidate's backends; no name has it.
const BESIDE: &str = "@candidate";

/// Stands behind the name of a route, in the key of its mirror's own backends.
const OF_MIRROR: &str = " (mirror)";

/// What of a route goes to backends.
#[derive(Clone, Copy, Debug)]
enum Use {
    Requests,
    Copies,
}

/// What of a route is resident.
#[derive(Debug)]
struct Revisions {
    baseline: Arc<RouteEntry>,
    candidate: Option<Arc<RouteEntry>>,
}

/// The slot of a pool that exists, or that a route names.
#[derive(Debug, Default)]
struct Holder {
    slot: usize,
    routes: usize,
    entry: Option<Arc<PoolEntry>>,
}

/// Hands out numbers, and hands them out again when they come back.
#[derive(Debug, Default)]
pub(super) struct Slots {
    free: Vec<usize>,
    end: usize,
}

impl Catalog {
    /// The key sets that routes fetch.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Puts a route in, or another content in its place.
    pub fn put_route(&mut self, name: &RouteName, spec: Arc<RouteSpec>) {
        self.put_route_with(name, spec, None);
    }

    /// The same, with the revision that a rollout brings, where there is one.
    pub fn put_route_with(
        &mut self,
        name: &RouteName,
        spec: Arc<RouteSpec>,
        candidate: Option<Candidate<Arc<RouteSpec>>>,
    ) {
        let old = self.routes.remove(name);
        let (was, was_beside) = match &old {
            Some(old) => (Some(&old.baseline), old.candidate.as_ref()),
            None => (None, None),
        };
        let rollout = candidate.as_ref().map(|_| self.rollouts.slot(name.as_str()));
        let part = |arm| rollout.map(|rollout| Part { rollout, arm });
        let baseline = self.entry(name, spec, part(Arm::Baseline), was);
        let beside = match candidate {
            Some((spec, who)) => {
                let entry = self.entry(name, spec, part(Arm::Candidate), was_beside);
                let slot = rollout.unwrap_or_default();
                self.rollouts.put(slot, name.as_str(), Subject::Route(entry.slot), who);
                Some(entry)
            }
            None => {
                self.rollouts.remove(name.as_str());
                None
            }
        };
        for (old, new) in [(was, Some(&baseline)), (was_beside, beside.as_ref())] {
            if let Some(old) = old {
                self.table.remove(old);
                self.release(old, new.map(|new| &*new.spec));
            }
        }
        if let (Some(old), None) = (was_beside, &beside) {
            self.give_back(old);
        }
        for entry in [&baseline].into_iter().chain(&beside) {
            self.table.insert(entry);
            self.routes_by_slot.set(entry.slot, Some(Arc::clone(entry)));
        }
        self.routes.insert(name.clone(), Revisions { baseline, candidate: beside });
    }

    /// An entry in the slot of the one before it, and its hold of its pool.
    fn entry(
        &mut self,
        name: &RouteName,
        spec: Arc<RouteSpec>,
        part: Option<Part>,
        old: Option<&Arc<RouteEntry>>,
    ) -> Arc<RouteEntry> {
        let slot = old.map_or_else(|| self.route_slots.take(), |old| old.slot);
        let rewrite_host = match spec.action() {
            Action::Redirect(_) => None,
            Action::Forward(forward) => {
                forward.rewrite.host.as_ref().and_then(|h| HeaderValue::from_str(h).ok())
            }
        };
        let [pool, mirror] = Use::ALL.map(|what| {
            let target = what.target(&spec)?;
            let inline = match target {
                Target::Pool(_) => None,
                Target::Inline(backends) => Some(&**backends),
            };
            Some(self.hold(&what.key(target, name, part), inline))
        });
        let split = match spec.action() {
            Action::Redirect(_) => None,
            Action::Forward(forward) => forward.split(),
        };
        let split =
            split.map(|split| split.pools().iter().map(|p| self.hold(p.pool.as_str(), None)).collect());
        let traffic = spec.traffic().map(|traffic| {
            let state = self.traffic.entry(name.clone()).or_default();
            Box::new(RouteTraffic::new(name.as_str(), Arc::clone(traffic), Arc::clone(state), &self.keys))
        });
        Arc::new(RouteEntry {
            name: name.clone(),
            spec,
            slot,
            pool,
            split,
            mirror,
            rewrite_host,
            part,
            traffic,
        })
    }

    /// Takes a route out.
    pub fn remove_route(&mut self, name: &RouteName) {
        let Some(old) = self.routes.remove(name) else { return };
        self.traffic.remove(name);
        self.rollouts.remove(name.as_str());
        for entry in [&old.baseline].into_iter().chain(&old.candidate) {
            self.table.remove(entry);
            self.release(entry, None);
            self.give_back(entry);
        }
    }

    fn give_back(&mut self, entry: &RouteEntry) {
        self.routes_by_slot.set(entry.slot, None);
        self.route_slots.give_back(entry.slot);
    }

    /// Puts a pool in, or another content in its place.
    pub fn put_pool(&mut self, name: &PoolName, spec: &PoolSpec) {
        self.put_pool_with(name, spec, None);
    }

    /// The same, with the revision that a rollout brings, where there is one.
    pub fn put_pool_with(
        &mut self,
        name: &PoolName,
        spec: &PoolSpec,
        candidate: Option<Candidate<&PoolSpec>>,
    ) {
        let (name, beside) = (name.as_str(), beside(name.as_str()));
        let Some((other, who)) = candidate else {
            self.rollouts.remove(name);
            self.fill(name, Some(spec.backends()), None);
            if self.pools.contains_key(&beside) {
                self.fill(&beside, None, None);
                self.sweep(&beside);
            }
            return;
        };
        let rollout = self.rollouts.slot(name);
        let slot = self.holder(&beside).slot;
        self.fill(name, Some(spec.backends()), Some(Part { rollout, arm: Arm::Baseline }));
        self.fill(&beside, Some(other.backends()), Some(Part { rollout, arm: Arm::Candidate }));
        self.rollouts.put(rollout, name, Subject::Pool(slot), who);
    }

    /// Takes a pool out. Routes that name it answer 503.
    pub fn remove_pool(&mut self, name: &PoolName) {
        self.rollouts.remove(name.as_str());
        for key in [beside(name.as_str()), name.as_str().to_owned()] {
            if self.pools.contains_key(&key) {
                self.fill(&key, None, None);
                self.sweep(&key);
            }
        }
    }

    /// Puts a certificate in, or another in its place.
    pub fn put_certificate(&mut self, name: CertificateName, spec: CertificateSpec) {
        self.certificates.insert(name, spec);
        self.served = OnceLock::new();
    }

    /// Takes a certificate out.
    pub fn remove_certificate(&mut self, name: &CertificateName) {
        self.certificates.remove(name);
        self.served = OnceLock::new();
    }

    /// What is there, to be served. It shares its memory with the catalog, which goes on without touching it.
    pub fn compile(&self, revision: i64) -> Compiled {
        Compiled {
            revision: Some(revision),
            digest: SetDigest::default(),
            table: self.table.clone(),
            routes: self.routes_by_slot.clone(),
            pools: self.pools_by_slot.clone(),
            states: self.states.clone(),
            keys: self.keys.clone(),
            certificates: Arc::clone(
                self.served.get_or_init(|| Arc::new(Served::new(self.certificates.iter()))),
            ),
            rollouts: self.rollouts.by_slot(),
            of_routes: self.rollouts.of_routes(),
        }
    }

    fn holder(&mut self, key: &str) -> &mut Holder {
        let slots = &mut self.pool_slots;
        self.pools.entry(key.to_owned()).or_insert_with(|| Holder { slot: slots.take(), ..Holder::default() })
    }

    /// Gives a pool its content, or takes it away.
    fn fill(&mut self, key: &str, backends: Option<&Backends>, part: Option<Part>) {
        let name = key.strip_suffix(BESIDE);
        let entry = backends.map(|backends| {
            let states = match name {
                Some(name) => self.states.put_beside(name, backends),
                None => self.states.put(key, backends),
            };
            // Clients keep their ids in both revisions.
            let (name, is_live) = (name.unwrap_or(key), name.is_none());
            let cookie = backends.balancing.sticky.as_ref();
            let sticky = cookie.map(|cookie| StickyIds::new(cookie, name, &backends.backends));
            let name = name.to_owned();
            Arc::new(PoolEntry { name, backends: backends.clone(), states, sticky, part, is_live })
        });
        match (&entry, name) {
            (Some(_), _) => {}
            (None, Some(name)) => self.states.remove_beside(name),
            (None, None) => self.states.remove(key),
        }
        let holder = self.holder(key);
        holder.entry.clone_from(&entry);
        let slot = holder.slot;
        self.pools_by_slot.set(slot, entry);
    }

    /// Notes that a route names the pool; inline backends come with it.
    fn hold(&mut self, key: &str, inline: Option<&Backends>) -> usize {
        if inline.is_some() {
            self.fill(key, inline, None);
        }
        let holder = self.holder(key);
        holder.routes += 1;
        holder.slot
    }

    /// Lets go of what the former content of a route named; `new`: what is in its place.
    fn release(&mut self, old: &RouteEntry, new: Option<&RouteSpec>) {
        for what in Use::ALL {
            let Some(target) = what.target(&old.spec) else { continue };
            let key = what.key(target, &old.name, old.part);
            if let Some(holder) = self.pools.get_mut(&key) {
                holder.routes = holder.routes.saturating_sub(1);
                let is_inline = |target: &Target| matches!(target, Target::Inline(_));
                if is_inline(target) && !new.and_then(|new| what.target(new)).is_some_and(is_inline) {
                    self.fill(&key, None, None);
                }
            }
            self.sweep(&key);
        }
        for (_, weighted) in old.split().into_iter().flat_map(SplitPools::iter) {
            let key = weighted.pool.as_str();
            if let Some(holder) = self.pools.get_mut(key) {
                holder.routes = holder.routes.saturating_sub(1);
            }
            self.sweep(key);
        }
    }

    fn sweep(&mut self, key: &str) {
        if let Some(holder) = self.pools.get(key)
            && holder.routes == 0
            && holder.entry.is_none()
        {
            self.pool_slots.give_back(holder.slot);
            self.pools.remove(key);
        }
    }
}

// === impl Use ===

impl Use {
    const ALL: [Self; 2] = [Self::Requests, Self::Copies];

    /// Where they go; `None`: there are none, or they are split.
    fn target(self, spec: &RouteSpec) -> Option<&Target> {
        match (self, spec.action()) {
            (Self::Requests, Action::Forward(forward)) => forward.target(),
            (Self::Requests, Action::Redirect(_)) => None,
            (Self::Copies, _) => Some(&spec.traffic()?.mirror.as_ref()?.target),
        }
    }

    /// Where these backends are kept.
    fn key(self, target: &Target, name: &RouteName, part: Option<Part>) -> String {
        let own = match (target, self) {
            (Target::Pool(pool), _) => return pool.to_string(),
            (Target::Inline(_), Self::Requests) => name.to_string(),
            (Target::Inline(_), Self::Copies) => format!("{name}{OF_MIRROR}"),
        };
        match part.map(|part| part.arm) {
            Some(Arm::Candidate) => beside(&own),
            Some(Arm::Baseline) | None => own,
        }
    }
}

/// Where the backends of a candidate are kept.
fn beside(name: &str) -> String {
    format!("{name}{BESIDE}")
}

impl Slots {
    pub(super) fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.end += 1;
            self.end - 1
        })
    }

    pub(super) fn give_back(&mut self, slot: usize) {
        self.free.push(slot);
    }
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
