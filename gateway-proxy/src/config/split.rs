//! The pools that a route splits its requests between, in their slots.

use std::sync::Arc;

use hotswap_matcher::{RequestHead, Split, WeightedPool};

use super::{Compiled, PoolEntry, RouteEntry};
use crate::balance::wish::with_cookie;
use crate::rollout::Subject;

/// Pools, of which each request of a route goes to one.
#[derive(Clone, Copy, Debug)]
pub struct SplitPools<'a> {
    split: &'a Split,
    /// Of each pool, in the order of the split.
    slots: &'a [usize],
}

impl RouteEntry {
    /// The pools that it splits requests between; `None`: it does not.
    pub fn split(&self) -> Option<SplitPools<'_>> {
        let slots = self.split.as_deref()?;
        Some(SplitPools { split: self.forward()?.split()?, slots })
    }

    /// The slots of all pools that it names for its requests, those of no weight, too.
    pub fn pools(&self) -> impl Iterator<Item = usize> {
        self.pool.into_iter().chain(self.split.iter().flatten().copied())
    }
}

impl<'a> SplitPools<'a> {
    /// The pools with their slots, in the order of the route.
    pub fn iter(self) -> impl Iterator<Item = (usize, &'a WeightedPool)> {
        self.slots.iter().copied().zip(self.split.pools())
    }

    /// Those that get requests.
    pub fn taking(self) -> impl Iterator<Item = usize> {
        self.iter().filter(|(_, pool)| pool.weight > 0).map(|(slot, _)| slot)
    }

    /// As the route has it.
    pub fn split(self) -> &'a Split {
        self.split
    }

    /// The slot of the pool that takes all requests; `None`: several do.
    pub fn only(self) -> Option<usize> {
        self.slots.get(self.split.only()?).copied()
    }

    /// The slot of the pool that `number` falls to, of all there are.
    pub fn drawn(self, number: u64) -> Option<usize> {
        self.slots.get(self.split.place(number)).copied()
    }

    /// The slot of the first pool that gets requests and that the request shows a sticky cookie of; `None`: it shows none.
    pub fn kept(self, config: &Compiled, head: &impl RequestHead) -> Option<usize> {
        self.taking().find(|slot| {
            let Some(entry) = config.pool(*slot) else { return false };
            keeps(entry, head) || candidate(config, entry).is_some_and(|entry| keeps(entry, head))
        })
    }
}

/// Whether the request shows the cookie of a backend of the pool.
fn keeps(entry: &PoolEntry, head: &impl RequestHead) -> bool {
    let mut found = false;
    if let (Some(cookie), Some(ids)) = (&entry.backends().balancing.sticky, entry.sticky()) {
        with_cookie(head, &cookie.name, |value| found |= ids.place(value).is_some());
    }
    found
}

/// The other revision of a pool under a rollout: it may have set the cookie.
fn candidate<'a>(config: &'a Compiled, entry: &PoolEntry) -> Option<&'a Arc<PoolEntry>> {
    match config.rollout(entry.part()?.rollout)?.subject() {
        Subject::Pool(slot) => config.pool(slot),
        Subject::Route(_) => None,
    }
}
