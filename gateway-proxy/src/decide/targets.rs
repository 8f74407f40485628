//! What a core keeps of the pools it has used, outside the configuration.

mod peek;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use hotswap_matcher::Address;
use http::HeaderValue;

use crate::backend_state::{BackendState, Handle, InFlight};
use crate::balance::{Picked, Picker, View, Wish};
use crate::config::{Compiled, PoolEntry};
use crate::reason::Reason;

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

/// A backend that was chosen, with the request begun there.
#[derive(Debug)]
pub struct Chosen<H> {
    /// The engine's handle.
    pub backend: H,
    /// Its place in the pool.
    pub place: usize,
    /// The request, counted there.
    pub in_flight: InFlight,
    /// The cookie that leads the client back to it, where it has no such yet.
    pub set_cookie: Option<HeaderValue>,
}

/// The states of a pool's backends, as one request sees them.
struct Seen<'a, T> {
    states: &'a [Handle],
    tried: &'a T,
    now: u64,
}

impl<T: Fn(usize) -> bool> View for Seen<'_, T> {
    fn usable(&self, place: usize) -> bool {
        self.states.get(place).is_some_and(|s| s.usable(self.now))
    }

    fn tried(&self, place: usize) -> bool {
        (self.tried)(place)
    }

    fn active(&self, place: usize) -> u32 {
        self.states.get(place).map_or(0, |s| s.active())
    }

    fn latency(&self, place: usize) -> Option<f64> {
        self.states.get(place).and_then(|s| s.observed().latency(self.now))
    }
}

impl<H: Clone> Targets<H> {
    /// Nothing yet, for the core of this number.
    pub fn new(core: usize) -> Self {
        Self { core, pools: Vec::new(), next: 0, left: 0 }
    }

    /// Chooses a backend of the pool in `slot`, at `now` in ms, and begins a request there. What the request was
    /// `tried` on, by places in the pool, is left out.
    ///
    /// # Errors
    /// Why there is none.
    pub fn pick<R: Resolve<Handle = H>>(
        &mut self,
        slot: usize,
        entry: &Arc<PoolEntry>,
        wish: &Wish,
        tried: &impl Fn(usize) -> bool,
        resolve: &mut R,
        now: u64,
    ) -> Result<Chosen<H>, Reason> {
        self.bound(slot, entry, resolve)?.begin(wish, tried, now).ok_or(Reason::NoHealthyBackend)
    }

    /// Any backend of the pool, for a request that is to be begun later: nobody's turn moves.
    ///
    /// # Errors
    /// There is none that may take requests.
    pub fn any<R: Resolve<Handle = H>>(
        &mut self,
        slot: usize,
        entry: &Arc<PoolEntry>,
        resolve: &mut R,
    ) -> Result<H, Reason> {
        self.bound(slot, entry, resolve)?.handles.first().cloned().ok_or(Reason::NoBackend)
    }

    /// What is kept of the pool in `slot`, which has backends that may take requests.
    fn bound<R: Resolve<Handle = H>>(
        &mut self,
        slot: usize,
        entry: &Arc<PoolEntry>,
        resolve: &mut R,
    ) -> Result<&mut Bound<H>, Reason> {
        if self.pools.len() <= slot {
            self.pools.resize_with(slot + 1, || None);
        }
        let place = self.pools.get_mut(slot).ok_or(Reason::NoBackend)?;
        if !place.as_ref().is_some_and(|b| Arc::ptr_eq(&b.entry, entry)) {
            *place = Some(Bound::new(place.as_ref(), entry, self.core, resolve));
        }
        let bound = place.as_mut().ok_or(Reason::NoBackend)?;
        if !bound.picker.has_enabled() {
            return Err(Reason::NoBackend);
        }
        Ok(bound)
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

impl<H: Clone> Bound<H> {
    fn begin(&mut self, wish: &Wish, tried: &impl Fn(usize) -> bool, now: u64) -> Option<Chosen<H>> {
        let Self { entry, picker, handles, states } = self;
        let rules = &entry.backends().balancing.strategy;
        let full = Cell::new(None);
        let view = Seen { states, tried: &|place| full.get() == Some(place) || tried(place), now };
        // Once more for each backend that another core was faster to fill.
        for _ in 0..=states.len() {
            let Picked { place, panic } = picker.pick(wish, rules, &view, now)?;
            let state = states.get(place)?;
            let in_flight =
                if panic { Some(BackendState::begin_anyway(state)) } else { BackendState::begin(state, now) };
            let Some(in_flight) = in_flight else {
                full.set(Some(place));
                continue;
            };
            let moved = wish.sticky != Some(place);
            let set_cookie = entry.sticky().filter(|_| moved).and_then(|ids| ids.cookie(place)).cloned();
            return Some(Chosen { backend: handles.get(place)?.clone(), place, in_flight, set_cookie });
        }
        None
    }
}

impl<H> Bound<H> {
    fn new<R: Resolve<Handle = H>>(
        old: Option<&Self>,
        entry: &Arc<PoolEntry>,
        core: usize,
        resolve: &mut R,
    ) -> Self {
        let picker = Self::picker_after(old, entry, core);
        let handles = entry.backends().backends.iter().map(|b| resolve.resolve(&b.address)).collect();
        let states = entry.states().members().iter().map(|s| Rc::new(Arc::clone(s))).collect();
        Self { entry: Arc::clone(entry), picker, handles, states }
    }

    /// A picker that goes on where the pool's former content stood.
    fn picker_after(old: Option<&Self>, entry: &PoolEntry, core: usize) -> Picker {
        match old {
            Some(old) if old.entry.name() == entry.name() => {
                Picker::carry(&old.picker, old.entry.backends(), entry.backends())
            }
            _ => Picker::new(entry.backends(), core),
        }
    }
}
