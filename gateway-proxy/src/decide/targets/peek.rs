//! What a core would choose, without choosing.

use std::rc::Rc;
use std::sync::Arc;

use super::{Bound, Seen, Targets};
use crate::balance::Wish;
use crate::config::PoolEntry;

impl<H: Clone> Targets<H> {
    /// The place of the backend that a request would get at `now`, in ms; `None`: none takes requests. No turn moves,
    /// and nothing is counted.
    pub fn peek(&self, slot: usize, entry: &Arc<PoolEntry>, wish: &Wish, now: u64) -> Option<usize> {
        let bound = self.pools.get(slot).and_then(Option::as_ref);
        let mut picker = match bound {
            Some(bound) if Arc::ptr_eq(&bound.entry, entry) => bound.picker.clone(),
            bound => Bound::picker_after(bound, entry, self.core),
        };
        let states: Vec<_> = entry.states().members().iter().map(|s| Rc::new(Arc::clone(s))).collect();
        let view = Seen { states: &states, tried: &|_| false, now };
        picker.pick(wish, &entry.backends().balancing.strategy, &view, now).map(|picked| picked.place)
    }
}
