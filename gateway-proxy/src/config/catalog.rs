//! The resources that a configuration is compiled from. It lives on the control thread.

use std::collections::HashMap;
use std::sync::Arc;

use hotswap_core::{PoolName, ResourceName, RouteName};
use hotswap_matcher::{Action, PoolSpec, RouteSpec, RouteTable, Target};
use http::HeaderValue;

use super::{Compiled, PoolEntry, RouteEntry};

/// Routes and pools by name, each in its slot.
#[derive(Debug, Default)]
pub struct Catalog {
    routes: HashMap<RouteName, Arc<RouteEntry>>,
    route_slots: Slots,
    /// By the name of the pool, or of the route whose inline backends they are.
    pools: HashMap<String, Holder>,
    pool_slots: Slots,
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
struct Slots {
    free: Vec<usize>,
    end: usize,
}

impl Catalog {
    /// Puts a route in, or another content in its place.
    pub fn put_route(&mut self, name: &RouteName, spec: Arc<RouteSpec>) {
        let slot = match self.routes.get(name) {
            Some(old) => old.slot,
            None => self.route_slots.take(),
        };
        let old = self.routes.remove(name);
        let (pool, rewrite_host) = match spec.action() {
            Action::Redirect(_) => (None, None),
            Action::Forward(forward) => {
                let pool = match &forward.target {
                    Target::Pool(pool) => self.hold(pool.as_str(), None),
                    Target::Inline(backends) => {
                        let entry = PoolEntry { name: name.to_string(), backends: backends.clone() };
                        self.hold(name.as_str(), Some(entry))
                    }
                };
                let host = forward.rewrite.host.as_ref();
                (Some(pool), host.and_then(|h| HeaderValue::from_str(h).ok()))
            }
        };
        if let Some(old) = old {
            self.release(&old, &spec);
        }
        let entry = RouteEntry { name: name.clone(), spec, slot, pool, rewrite_host };
        self.routes.insert(name.clone(), Arc::new(entry));
    }

    /// Takes a route out.
    pub fn remove_route(&mut self, name: &RouteName) {
        if let Some(old) = self.routes.remove(name) {
            self.route_slots.give_back(old.slot);
            self.drop_hold(&old, true);
        }
    }

    /// Puts a pool in, or another content in its place.
    pub fn put_pool(&mut self, name: &PoolName, spec: &PoolSpec) {
        let entry = PoolEntry { name: name.to_string(), backends: spec.backends().clone() };
        self.holder(name.as_str()).entry = Some(Arc::new(entry));
    }

    /// Takes a pool out. Routes that name it answer 503.
    pub fn remove_pool(&mut self, name: &PoolName) {
        if let Some(holder) = self.pools.get_mut(name.as_str()) {
            holder.entry = None;
        }
        self.sweep(name.as_str());
    }

    /// Compiles what is there.
    pub fn compile(&self, revision: i64) -> Compiled {
        let mut routes = vec![None; self.route_slots.end];
        for entry in self.routes.values() {
            if let Some(place) = routes.get_mut(entry.slot) {
                *place = Some(Arc::clone(entry));
            }
        }
        let mut pools = vec![None; self.pool_slots.end];
        for holder in self.pools.values() {
            if let Some(place) = pools.get_mut(holder.slot) {
                place.clone_from(&holder.entry);
            }
        }
        let table = RouteTable::build(self.routes.values().cloned());
        Compiled { revision: Some(revision), table, routes, pools }
    }

    fn holder(&mut self, name: &str) -> &mut Holder {
        let slots = &mut self.pool_slots;
        self.pools
            .entry(name.to_owned())
            .or_insert_with(|| Holder { slot: slots.take(), ..Holder::default() })
    }

    /// Notes that a route names the pool; inline backends come with it.
    fn hold(&mut self, name: &str, inline: Option<PoolEntry>) -> usize {
        let holder = self.holder(name);
        holder.routes += 1;
        if let Some(entry) = inline {
            holder.entry = Some(Arc::new(entry));
        }
        holder.slot
    }

    /// Lets go of what the former content of a route named.
    fn release(&mut self, old: &RouteEntry, new: &RouteSpec) {
        let still_inline =
            matches!(new.action(), Action::Forward(f) if matches!(f.target, Target::Inline(_)));
        self.drop_hold(old, !still_inline);
    }

    fn drop_hold(&mut self, old: &RouteEntry, inline_too: bool) {
        let name = match old.action() {
            Action::Redirect(_) => return,
            Action::Forward(forward) => match &forward.target {
                Target::Pool(pool) => pool.to_string(),
                Target::Inline(_) => old.name.to_string(),
            },
        };
        let inline = name == old.name.as_str();
        if let Some(holder) = self.pools.get_mut(&name) {
            holder.routes = holder.routes.saturating_sub(1);
            if inline && inline_too {
                holder.entry = None;
            }
        }
        self.sweep(&name);
    }

    fn sweep(&mut self, name: &str) {
        if let Some(holder) = self.pools.get(name)
            && holder.routes == 0
            && holder.entry.is_none()
        {
            self.pool_slots.give_back(holder.slot);
            self.pools.remove(name);
        }
    }
}

impl Slots {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.end += 1;
            self.end - 1
        })
    }

    fn give_back(&mut self, slot: usize) {
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use hotswap_matcher::{BackendDraft, BackendsDraft, ForwardDraft, PoolDraft, RouteDraft};

    use super::*;

    fn name(id: &str) -> RouteName {
        RouteName::from_id(id).expect("id")
    }

    fn pool_name(id: &str) -> PoolName {
        PoolName::from_id(id).expect("id")
    }

    fn backend(address: &str) -> BackendDraft {
        BackendDraft { address: address.into(), weight: None }
    }

    fn to_pool(pool: &str) -> Arc<RouteSpec> {
        let forward = ForwardDraft { pool: Some(pool.into()), ..ForwardDraft::default() };
        let draft = RouteDraft { forward: Some(forward), ..RouteDraft::default() };
        Arc::new(RouteSpec::parse(&draft).expect("valid"))
    }

    fn inline(address: &str) -> Arc<RouteSpec> {
        let backends = BackendsDraft { backends: vec![backend(address)], ..BackendsDraft::default() };
        let forward = ForwardDraft { inline: Some(backends), ..ForwardDraft::default() };
        let draft = RouteDraft { forward: Some(forward), ..RouteDraft::default() };
        Arc::new(RouteSpec::parse(&draft).expect("valid"))
    }

    fn pool(address: &str) -> PoolSpec {
        PoolSpec::parse(&PoolDraft { backends: vec![backend(address)], ..PoolDraft::default() }).expect("ok")
    }

    fn address_of(compiled: &Compiled, route: usize) -> Option<String> {
        let slot = compiled.route(route)?.pool()?;
        Some(compiled.pool(slot)?.backends().backends.first()?.address.to_string())
    }

    #[test]
    fn a_route_finds_its_pool_whichever_came_first() {
        let mut catalog = Catalog::default();
        catalog.put_route(&name("a"), to_pool("pools/p"));
        let compiled = catalog.compile(1);
        assert!(compiled.route(0).is_some() && address_of(&compiled, 0).is_none(), "the pool is missing");
        catalog.put_pool(&pool_name("p"), &pool("a:1"));
        assert_eq!(address_of(&catalog.compile(2), 0).as_deref(), Some("a:1"));
        catalog.remove_pool(&pool_name("p"));
        assert_eq!(address_of(&catalog.compile(3), 0), None);
    }

    #[test]
    fn what_did_not_change_keeps_its_slot_and_its_entry() {
        let mut catalog = Catalog::default();
        catalog.put_pool(&pool_name("p"), &pool("a:1"));
        catalog.put_route(&name("a"), to_pool("pools/p"));
        let before = catalog.compile(1);
        catalog.put_route(&name("b"), inline("b:1"));
        let after = catalog.compile(2);
        let entry = |c: &Compiled| (c.route(0).cloned().expect("a"), c.pool(0).cloned().expect("p"));
        assert!(Arc::ptr_eq(&entry(&before).0, &entry(&after).0));
        assert!(Arc::ptr_eq(&entry(&before).1, &entry(&after).1));
    }

    #[test]
    fn slots_come_back_when_nobody_names_them() {
        let mut catalog = Catalog::default();
        for round in 0..100 {
            catalog.put_route(&name("a"), inline(&format!("a:{}", round + 1)));
            assert_eq!(address_of(&catalog.compile(round), 0), Some(format!("a:{}", round + 1)));
            catalog.put_route(&name("a"), to_pool("pools/p"));
            catalog.put_route(&name("a"), to_pool("pools/q"));
            if round % 2 == 0 {
                catalog.remove_route(&name("a"));
            }
        }
        assert!(catalog.pools.len() <= 1 && catalog.pool_slots.end <= 2, "{catalog:?}");
        assert_eq!(catalog.route_slots.end, 1);
    }
}
