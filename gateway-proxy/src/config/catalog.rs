//! The resources that a configuration is compiled from. It lives on the control thread.

use std::collections::HashMap;
use std::sync::Arc;

use hotswap_core::{PoolName, ResourceName, RouteName, SetDigest};
use hotswap_matcher::{Action, Backends, PoolSpec, RouteSpec, RouteTable, Target};
use http::HeaderValue;

use super::shelf::Shelf;
use super::{Compiled, PoolEntry, RouteEntry};
use crate::backend_state::States;
use crate::balance::cookie::StickyIds;

/// Routes and pools by name, each in its slot, and the table of them, which each change brings up to date: what
/// a change costs depends on the change, and [`Catalog::compile`] costs nothing to speak of.
#[derive(Debug, Default)]
pub struct Catalog {
    routes: HashMap<RouteName, Arc<RouteEntry>>,
    route_slots: Slots,
    table: RouteTable<RouteEntry>,
    routes_by_slot: Shelf<RouteEntry>,
    pools_by_slot: Shelf<PoolEntry>,
    /// By the name of the pool, or of the route whose inline backends they are.
    pools: HashMap<String, Holder>,
    pool_slots: Slots,
    states: States,
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
                    Target::Inline(backends) => self.hold(name.as_str(), Some(backends)),
                };
                let host = forward.rewrite.host.as_ref();
                (Some(pool), host.and_then(|h| HeaderValue::from_str(h).ok()))
            }
        };
        if let Some(old) = old {
            self.release(&old, &spec);
            self.table.remove(&old);
        }
        let entry = Arc::new(RouteEntry { name: name.clone(), spec, slot, pool, rewrite_host });
        self.table.insert(&entry);
        self.routes_by_slot.set(slot, Some(Arc::clone(&entry)));
        self.routes.insert(name.clone(), entry);
    }

    /// Takes a route out.
    pub fn remove_route(&mut self, name: &RouteName) {
        if let Some(old) = self.routes.remove(name) {
            self.table.remove(&old);
            self.routes_by_slot.set(old.slot, None);
            self.route_slots.give_back(old.slot);
            self.drop_hold(&old, true);
        }
    }

    /// Puts a pool in, or another content in its place.
    pub fn put_pool(&mut self, name: &PoolName, spec: &PoolSpec) {
        self.fill(name.as_str(), Some(spec.backends()));
    }

    /// Takes a pool out. Routes that name it answer 503.
    pub fn remove_pool(&mut self, name: &PoolName) {
        if self.pools.contains_key(name.as_str()) {
            self.fill(name.as_str(), None);
            self.sweep(name.as_str());
        }
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
        }
    }

    fn holder(&mut self, name: &str) -> &mut Holder {
        let slots = &mut self.pool_slots;
        self.pools
            .entry(name.to_owned())
            .or_insert_with(|| Holder { slot: slots.take(), ..Holder::default() })
    }

    /// Gives a pool its content, or takes it away.
    fn fill(&mut self, name: &str, backends: Option<&Backends>) {
        let entry = backends.map(|backends| {
            let states = self.states.put(name, backends);
            let cookie = backends.balancing.sticky.as_ref();
            let sticky = cookie.map(|cookie| StickyIds::new(cookie, name, &backends.backends));
            Arc::new(PoolEntry { name: name.to_owned(), backends: backends.clone(), states, sticky })
        });
        if entry.is_none() {
            self.states.remove(name);
        }
        let holder = self.holder(name);
        holder.entry.clone_from(&entry);
        let slot = holder.slot;
        self.pools_by_slot.set(slot, entry);
    }

    /// Notes that a route names the pool; inline backends come with it.
    fn hold(&mut self, name: &str, inline: Option<&Backends>) -> usize {
        if inline.is_some() {
            self.fill(name, inline);
        }
        let holder = self.holder(name);
        holder.routes += 1;
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
                self.fill(&name, None);
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
    use hotswap_matcher::{
        BackendDraft, BackendsDraft, ForwardDraft, MatchDraft, PathMatchDraft, PoolDraft, RouteDraft,
    };

    use super::*;

    fn name(id: &str) -> RouteName {
        RouteName::from_id(id).expect("id")
    }

    fn pool_name(id: &str) -> PoolName {
        PoolName::from_id(id).expect("id")
    }

    fn backend(address: &str) -> BackendDraft {
        BackendDraft { address: address.into(), weight: None, ..BackendDraft::default() }
    }

    fn draft_to(pool: &str) -> RouteDraft {
        let forward = ForwardDraft { pool: Some(pool.into()), ..ForwardDraft::default() };
        RouteDraft { forward: Some(forward), ..RouteDraft::default() }
    }

    fn to_pool(pool: &str) -> Arc<RouteSpec> {
        Arc::new(RouteSpec::parse(&draft_to(pool)).expect("valid"))
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
    fn one_route_or_pool_of_ten_thousand_recompiles_a_bounded_part() {
        let mut catalog = Catalog::default();
        for n in 0..10_000 {
            let mut draft =
                RouteDraft { hosts: vec![format!("h{}.example", n % 100)], ..draft_to("pools/p") };
            let path = Some(PathMatchDraft::Prefix(format!("/p{n}")));
            draft.matches = vec![MatchDraft { path, ..MatchDraft::default() }];
            catalog.put_route(&name(&format!("r{n}")), Arc::new(RouteSpec::parse(&draft).expect("valid")));
            catalog.put_pool(&pool_name(&format!("p{n}")), &pool("a:1"));
        }
        let before = catalog.compile(1);
        catalog.put_route(&name("r4711"), inline("b:1"));
        let after = catalog.compile(2);
        let table = after.table().unshared(before.table());
        assert!(table.hosts <= 2 && table.entries <= 128 && table.slots <= 128, "{table:?}");
        assert!(after.routes.unshared(&before.routes) <= 64);
        assert!(after.pools.unshared(&before.pools) <= 64);

        catalog.put_pool(&pool_name("p4711"), &pool("c:1"));
        let last = catalog.compile(3);
        assert_eq!(last.table().unshared(after.table()), Default::default(), "a pool touches no route");
        assert_eq!(last.routes.unshared(&after.routes), 0);
        assert_eq!(last.pools.unshared(&after.pools), 64);
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
