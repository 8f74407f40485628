//! The compiled table: for each host pattern a table of its own, found by hash; in it, exact paths and
//! prefixes by hash and regexes in order. A look-up costs a few hashes, whatever the number of routes.
//!
//! A change costs what changed: a clone shares all its memory with the table it was made from, and putting a
//! route in or taking one out copies the few nodes on the way to its hosts and its paths (see `shared`).

mod host;
mod shared;

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use self::host::HostTable;
use self::shared::SharedTable;
use crate::spec::HostPattern;
use crate::{Arm, RequestHead, Routed};

/// Routes, ready to be looked up. `T` is what the caller keeps of a route.
pub struct RouteTable<T> {
    hasher: DefaultHashBuilder,
    exact: SharedTable<Host<T>>,
    below: SharedTable<Host<T>>,
    any: Option<Arc<HostTable<T>>>,
}

/// The route that takes a request.
pub struct Found<'a, T> {
    /// The route.
    pub route: &'a Arc<T>,
    /// How many bytes of the path its prefix took; `None` where it matched by exact path or regex.
    pub prefix_len: Option<usize>,
}

/// How much of a table is not shared with another: what was made or copied to get from that to this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unshared {
    /// Host tables that were changed or made.
    pub hosts: usize,
    /// Entries copied or made within them, one for each match of a route.
    pub entries: usize,
    /// Places of host tables that were copied or made.
    pub slots: usize,
}

struct Host<T> {
    name: Arc<str>,
    table: Arc<HostTable<T>>,
}

impl<T: Routed> RouteTable<T> {
    /// Compiles a table. The order of `routes` does not count; each name stands once.
    pub fn build(routes: impl IntoIterator<Item = Arc<T>>) -> Self {
        let mut table = Self::default();
        routes.into_iter().for_each(|route| table.insert(&route));
        table
    }

    /// Puts a route in. The caller sees to it that none of its name and arm is there. Clones stay as they are.
    pub fn insert(&mut self, route: &Arc<T>) {
        self.for_each_host(route, |hasher, host| host.insert(hasher, route));
    }

    /// Takes a route out, with the spec that it was put in with. The caller sees to it that it is there. Clones
    /// stay as they are.
    pub fn remove(&mut self, route: &T) {
        self.for_each_host(route, |hasher, host| host.remove(hasher, route));
    }

    /// The route that takes a request, by the rules of precedence; `None`: no route does. Of routes under a rollout
    /// only the baseline is seen.
    pub fn find(&self, head: &impl RequestHead) -> Option<Found<'_, T>> {
        self.find_where(head, &mut |route| route.arm() == Some(Arm::Baseline))
    }

    /// The same, where `admits` says which entries of routes under a rollout the request sees. It is asked about no
    /// other, and only about those whose conditions hold; it must give the same answer each time.
    pub fn find_where(
        &self,
        head: &impl RequestHead,
        admits: &mut impl FnMut(&T) -> bool,
    ) -> Option<Found<'_, T>> {
        let host = head.host();
        if let Some(found) = self.lookup(&self.exact, host).and_then(|t| t.find(&self.hasher, head, admits)) {
            return Some(found);
        }
        if !self.below.is_empty() {
            let mut rest = host;
            while let Some((_, parent)) = rest.split_once('.') {
                let table = self.lookup(&self.below, parent);
                if let Some(found) = table.and_then(|t| t.find(&self.hasher, head, admits)) {
                    return Some(found);
                }
                rest = parent;
            }
        }
        self.any.as_ref().and_then(|t| t.find(&self.hasher, head, admits))
    }

    /// What it does not share with `former`, for tests and for those who look after its cost.
    pub fn unshared(&self, former: &Self) -> Unshared {
        let mut count = Unshared::default();
        let none = Arc::new(HostTable::new());
        let mut compare = |now: &Arc<HostTable<T>>, then: &Arc<HostTable<T>>| {
            if !Arc::ptr_eq(now, then) {
                count.hosts += 1;
                now.unshared(then, &mut || count.entries += 1);
            }
        };
        let mut slots = 0;
        for (now, then) in [(&self.exact, &former.exact), (&self.below, &former.below)] {
            now.unshared(then, &mut |hash, host| {
                slots += 1;
                let same = then.get(hash, |h| h.name == host.name);
                compare(&host.table, same.map_or(&none, |h| &h.table));
            });
        }
        if let Some(any) = &self.any {
            compare(any, former.any.as_ref().unwrap_or(&none));
        }
        count.slots = slots;
        count
    }

    fn lookup<'a>(&self, hosts: &'a SharedTable<Host<T>>, name: &str) -> Option<&'a HostTable<T>> {
        if hosts.is_empty() {
            return None;
        }
        hosts.get(self.hasher.hash_one(name), |h| *h.name == *name).map(|h| &*h.table)
    }

    /// Changes the table of each host of a route. One that is empty afterwards goes.
    fn for_each_host(&mut self, route: &T, mut change: impl FnMut(&DefaultHashBuilder, &mut HostTable<T>)) {
        let hosts = route.spec().hosts();
        if hosts.is_empty() {
            let any = self.any.get_or_insert_with(|| Arc::new(HostTable::new()));
            let table = Arc::make_mut(any);
            change(&self.hasher, table);
            if table.is_empty() {
                self.any = None;
            }
        }
        for (i, host) in hosts.iter().enumerate() {
            // A host that the route names twice counts once.
            if hosts.iter().take(i).any(|h| h == host) {
                continue;
            }
            let (tables, name) = match host {
                HostPattern::Exact(name) => (&mut self.exact, name),
                HostPattern::Below(name) => (&mut self.below, name),
            };
            let hash = self.hasher.hash_one(name.as_str());
            let is = |h: &Host<T>| *h.name == **name;
            if tables.get(hash, is).is_none() {
                tables.insert(hash, Host { name: name.as_str().into(), table: Arc::new(HostTable::new()) });
            }
            let Some(host) = tables.get_mut(hash, is) else { continue };
            let table = Arc::make_mut(&mut host.table);
            change(&self.hasher, table);
            if table.is_empty() {
                tables.remove(hash, is);
            }
        }
    }
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            exact: SharedTable::new(),
            below: SharedTable::new(),
            any: None,
        }
    }
}

// Not derived: that would ask for `T: Clone`, and an Arc does not.
impl<T> Clone for RouteTable<T> {
    fn clone(&self) -> Self {
        Self {
            hasher: self.hasher.clone(),
            exact: self.exact.clone(),
            below: self.below.clone(),
            any: self.any.clone(),
        }
    }
}

impl<T> Clone for Host<T> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), table: Arc::clone(&self.table) }
    }
}

impl<T> fmt::Debug for RouteTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hosts = usize::from(self.any.is_some());
        self.exact.for_each(&mut |_| hosts += 1);
        self.below.for_each(&mut |_| hosts += 1);
        f.debug_struct("RouteTable").field("hosts", &hosts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
