//! Choosing a backend. The state lives with the core, outside the configuration: a change of a pool keeps the
//! place in the round and, by address, the balance of the weights and the slow start.
//!
//! ```text
//!   decide ──► Wish (cookie, hash or group: what the request asks for; a retry asks the same)
//!                │
//!   Picker::pick(wish, view, now)
//!     1. the backend of the sticky cookie, while it takes requests
//!     2. header rules: the rule's backends, the default ones
//!     3. a level (priority), by how many of each take requests; in panic all of it
//!     4. in it, the strategy ──► rotation · weighted · least · two · rendezvous
//! ```
//!
//! A [`View`] tells what is known of the backends now. Who takes requests is looked up once for each tick of the
//! core (25 ms) and again for the one that was chosen, so that what a pick costs does not grow with the pool where the
//! strategy itself does not look at all of it. Nothing is allocated.

pub mod client;
pub mod cookie;
pub(crate) mod hash;
mod least;
mod level;
mod place;
mod random;
mod rendezvous;
mod rotation;
mod two;
mod weighted;
pub mod wish;

use std::collections::HashMap;

use hotswap_matcher::{Address, Backends, HashKey, LoadBalancing};

use self::level::Level;
use self::place::Place;
use self::random::Random;
pub use self::wish::Wish;

/// What is known of the backends of a pool now, by their places.
pub trait View {
    /// Whether health and breaker let it take a request.
    fn usable(&self, place: usize) -> bool;
    /// Whether this request was there before.
    fn tried(&self, place: usize) -> bool;
    /// Requests in flight, of all cores.
    fn active(&self, place: usize) -> u32;
    /// The time that it takes to answer, in µs; `None`: not known yet.
    fn latency(&self, place: usize) -> Option<f64>;
}

/// A backend that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    /// Its place in the pool.
    pub place: usize,
    /// So few take requests that this one gets one whatever its health.
    pub panic: bool,
}

/// Chooses among the backends of one pool, on one core. A clone chooses the same, and leaves the turns as they are.
#[derive(Clone, Debug)]
pub struct Picker {
    kind: Kind,
    places: Vec<Place>,
    levels: Vec<Level>,
    /// Cursors of the groups of header rules.
    groups: Vec<usize>,
    random: Random,
    slow_start_ms: u64,
    panic_threshold: u64,
    /// When the view was last looked through, in ms; 0: never.
    seen: u64,
    /// The places are all new: the pool is as it was found.
    fresh: bool,
    /// A slow start is under way.
    ramping: bool,
}

/// The strategy, as far as it does not come with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    InTurn,
    Weighted,
    Least,
    Two,
    /// By a hash; the most in flight, in percent of the fair share.
    Hash(Option<u32>),
}

impl Picker {
    /// A picker for a pool that this core has not seen. Each `core` starts at another place, so that many
    /// cores do not all begin with the first backend.
    pub fn new(backends: &Backends, core: usize) -> Self {
        let places: Vec<Place> = backends.backends.iter().map(Place::new).collect();
        let mut levels = Level::of(&places);
        for level in &mut levels {
            level.cursor = if level.all.is_empty() { 0 } else { core % level.all.len() };
        }
        let (kind, groups) = match &backends.balancing.strategy {
            LoadBalancing::RoundRobin => (Kind::InTurn, 0),
            LoadBalancing::WeightedRoundRobin => (Kind::Weighted, 0),
            LoadBalancing::LeastConnections => (Kind::Least, 0),
            LoadBalancing::PowerOfTwo => (Kind::Two, 0),
            LoadBalancing::IpHash => (Kind::Hash(None), 0),
            LoadBalancing::Hash(HashKey { load_limit, .. }) => (Kind::Hash(*load_limit), 0),
            LoadBalancing::Header(rules) => (Kind::InTurn, rules.groups.len()),
        };
        let mut picker = Self {
            kind,
            places,
            levels,
            groups: vec![core; groups],
            random: Random::new(core as u64),
            slow_start_ms: u64::try_from(backends.balancing.slow_start.as_millis()).unwrap_or(u64::MAX),
            panic_threshold: u64::from(backends.balancing.panic_threshold),
            seen: 0,
            fresh: true,
            ramping: false,
        };
        if kind == Kind::Weighted {
            for level in &picker.levels {
                for _ in 0..core.min(1_024) {
                    weighted::pick(&level.all, &mut picker.places, true, |_| true);
                }
            }
        }
        picker
    }

    /// A picker for the changed content of a pool, which goes on where the old one stood.
    pub fn carry(old: &Self, old_backends: &Backends, backends: &Backends) -> Self {
        let mut picker = Self::new(backends, 0);
        let place_of: HashMap<&Address, usize> =
            backends.backends.iter().enumerate().map(|(i, b)| (&b.address, i)).collect();
        let now_at = |before: usize| place_of.get(&old_backends.backends.get(before)?.address).copied();
        let sum: i64 = picker.places.iter().map(Place::most).sum();
        for place in &mut picker.places {
            place.gained = 0;
        }
        for (before, was) in old.places.iter().enumerate() {
            if let Some(place) = now_at(before).and_then(|at| picker.places.get_mut(at)) {
                place.keep(was, sum);
            }
        }
        for level in &mut picker.levels {
            let was = old.levels.iter().find(|l| l.priority == level.priority);
            level.cursor = was.map_or(0, |was| level.carry(was, now_at));
        }
        for (cursor, was) in picker.groups.iter_mut().zip(&old.groups) {
            *cursor = *was;
        }
        picker.random = old.random.clone();
        // Whoever was not there yet comes new into a pool that serves.
        picker.fresh = old.fresh;
        picker
    }

    /// Whether there is a backend that the configuration lets take requests.
    pub fn has_enabled(&self) -> bool {
        !self.levels.is_empty()
    }

    /// Chooses a backend, at `now` in ms; `None`: none takes requests.
    pub fn pick(&mut self, wish: &Wish, rules: &LoadBalancing, view: &impl View, now: u64) -> Option<Picked> {
        if now != self.seen {
            self.look(view, now);
        }
        if let Some(place) = wish.sticky
            && self.may(place, view)
        {
            return Some(Picked { place, panic: false });
        }
        if let LoadBalancing::Header(rules) = rules {
            for group in [wish.group, rules.default_group()] {
                let (Some(members), Some(cursor)) = (rules.groups.get(group), self.groups.get(group)) else {
                    continue;
                };
                let mut cursor = *cursor;
                let found = rotation::pick(members, &mut cursor, |place| self.may(place, view));
                if let Some(place) = found {
                    if let Some(kept) = self.groups.get_mut(group) {
                        *kept = cursor;
                    }
                    return Some(Picked { place, panic: false });
                }
            }
        }
        // Once more for each that has gone out since the last look.
        for _ in 0..=self.places.len() {
            let picked = self.by_level(wish, view)?;
            if picked.panic || view.usable(picked.place) {
                return Some(picked);
            }
            self.look(view, now);
        }
        None
    }

    /// Whether a backend can be taken by itself.
    fn may(&self, place: usize, view: &impl View) -> bool {
        self.places.get(place).is_some_and(|p| p.enabled) && view.usable(place) && !view.tried(place)
    }

    /// Chooses a level, and a backend in it.
    fn by_level(&mut self, wish: &Wish, view: &impl View) -> Option<Picked> {
        let first = match self.levels.as_slice() {
            [] => return None,
            [_] => 0,
            levels => {
                // What is hashed stays on its level.
                let drawn = wish.hash.map_or_else(|| self.random.next(), hash::mixed);
                level::at(levels, drawn)
            }
        };
        for at in std::iter::once(first).chain((0..self.levels.len()).filter(|i| *i != first)) {
            if let Some(place) = self.in_level(at, wish, view) {
                let panic = self.levels.get(at).is_some_and(|l| l.panic);
                return Some(Picked { place, panic });
            }
        }
        None
    }

    fn in_level(&mut self, at: usize, wish: &Wish, view: &impl View) -> Option<usize> {
        let Self { kind, places, levels, random, ramping, .. } = self;
        let Level { takers, cursor, .. } = levels.get_mut(at)?;
        let free = |place: usize| !view.tried(place);
        match (*kind, wish.hash) {
            (Kind::InTurn, _) | (Kind::Hash(_), None) if *ramping => {
                weighted::pick(takers, places, false, free)
            }
            (Kind::InTurn, _) | (Kind::Hash(_), None) => rotation::pick(takers, cursor, free),
            (Kind::Weighted, _) => weighted::pick(takers, places, true, free),
            (Kind::Least, _) => least::pick(takers, places, cursor, view),
            (Kind::Two, _) => two::pick(takers, places, random, view),
            (Kind::Hash(limit), Some(key)) => rendezvous::pick(takers, places, key, limit, view),
        }
    }

    /// Looks through the view: who takes requests, since when, and what each level gets.
    fn look(&mut self, view: &impl View, now: u64) {
        let Self { places, levels, fresh, slow_start_ms, .. } = self;
        for (at, place) in places.iter_mut().enumerate() {
            place.look(place.enabled && view.usable(at), *fresh, now);
            place.lead_up(*slow_start_ms, now);
        }
        self.ramping = places.iter().any(Place::is_ramping);
        for level in levels.iter_mut() {
            level.look(places);
        }
        level::share(levels, self.panic_threshold);
        self.fresh = false;
        self.seen = now;
    }
}

#[cfg(test)]
mod tests;
