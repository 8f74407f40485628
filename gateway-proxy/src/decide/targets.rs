//! What a core keeps of the pools it has used, outside the configuration.

use std::rc::Rc;
use std::sync::Arc;

use hotswap_matcher::Address;

use crate::backend_state::{BackendState, Handle, InFlight};
use crate::balance::Picker;
use crate::config::{Compiled, PoolEntry};

/// Gives the engine's handle of a backend; the same one for the same address.
pub trait Resolve {
    /// The handle.
    type Handle;

    /// The handle of the backend at `address`.
    fn resolve(&mut self, address: &Address) -> Self::Handle;
}

/// Slots that one call of [`Targets::forget_removed`] looks at: some µs, however large the table is.
const LOOK: usize = 1_024;

/// The pools that a core has used: their balance, and the handles of their backends.
#[derive(Debug)]
pub struct Targets<H> {
    core: usize,
    pools: Vec<Option<Bound<H>>>,
    /// The slot that is looked at next, and how many are to be looked at since the configuration changed.
    next: usize,
    left: usize,
}

#[derive(Debug)]
struct Bound<H> {
    entry: Arc<PoolEntry>,
    picker: Picker,
    handles: Vec<H>,
    states: Vec<Handle>,
}

impl<H: Clone> Targets<H> {
    /// Nothing yet, for the core of this number.
    pub fn new(core: usize) -> Self {
        Self { core, pools: Vec::new(), next: 0, left: 0 }
    }

    /// Chooses a backend of the pool in `slot`, at `now` in ms, and begins a request there; `None`: none takes
    /// requests.
    pub fn pick<R: Resolve<Handle = H>>(
        &mut self,
        slot: usize,
        entry: &Arc<PoolEntry>,
        resolve: &mut R,
        now: u64,
    ) -> Option<(H, InFlight)> {
        if self.pools.len() <= slot {
            self.pools.resize_with(slot + 1, || None);
        }
        let place = self.pools.get_mut(slot)?;
        if !place.as_ref().is_some_and(|b| Arc::ptr_eq(&b.entry, entry)) {
            *place = Some(Bound::new(place.as_ref(), entry, self.core, resolve));
        }
        let bound = place.as_mut()?;
        let Bound { picker, handles, states, .. } = bound;
        // Once more for each backend that another core was faster to fill.
        for _ in 0..=states.len() {
            let chosen = picker.pick(|place| states.get(place).is_some_and(|s| s.usable(now)))?;
            if let Some(in_flight) = states.get(chosen).and_then(|s| BackendState::begin(s, now)) {
                return Some((handles.get(chosen)?.clone(), in_flight));
            }
        }
        None
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.pools.iter().flatten().count()
    }

    /// The configuration has changed: every pool is to be looked at again.
    pub fn changed(&mut self) {
        self.left = self.pools.len();
    }

    /// Lets go of pools that the configuration does not have any more; the handles of backends that are in no
    /// pool go with them. A call looks at a part of the pools, so that no request waits for a large table; the
    /// next one goes on there.
    pub fn forget_removed(&mut self, config: &Compiled) {
        for _ in 0..self.left.min(LOOK) {
            self.left -= 1;
            let slot = if self.next < self.pools.len() { self.next } else { 0 };
            self.next = slot + 1;
            let gone = |b: &Bound<H>| config.pool(slot).is_none_or(|now| now.name() != b.entry.name());
            if let Some(place) = self.pools.get_mut(slot)
                && place.as_ref().is_some_and(gone)
            {
                *place = None;
            }
        }
    }
}

impl<H> Bound<H> {
    fn new<R: Resolve<Handle = H>>(
        old: Option<&Self>,
        entry: &Arc<PoolEntry>,
        core: usize,
        resolve: &mut R,
    ) -> Self {
        let backends = entry.backends();
        let picker = match old {
            Some(old) if old.entry.name() == entry.name() => {
                Picker::carry(&old.picker, old.entry.backends(), backends)
            }
            _ => Picker::new(backends, core),
        };
        let handles = backends.backends.iter().map(|b| resolve.resolve(&b.address)).collect();
        let states = entry.states().members().iter().map(|s| Rc::new(Arc::clone(s))).collect();
        Self { entry: Arc::clone(entry), picker, handles, states }
    }
}
