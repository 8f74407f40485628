//! What a node knows of one scope: how far it has heard, and what changed lately. No I/O and no values.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hotswap_core::Revision;

use crate::Names;

/// So many names are remembered for a scope. Past it the oldest are forgotten, which costs loads under way a
/// second turn.
const REMEMBERED: usize = 4_096;

/// A scope. Its entries hold it, so a look-up sees [`Scope::serves`] without searching for it.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// Entries as of an earlier revision are not served.
    floor: AtomicI64,
    /// When a value was last stored, or is about to be, by the clock of whoever says it.
    used: AtomicU64,
    known: Mutex<Known>,
}

/// What is known, under the scope's lock.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Every change up to here was applied to the entries; `None` before the first entry.
    applied: Option<Revision>,
    /// Of the changes up to here it is not known which names they touched.
    base: Revision,
    /// The last changes behind `base`, by the latest revision that each name is known to be as of. Hints may have
    /// skipped some.
    changed: HashMap<Box<str>, Revision>,
    /// Forgotten: another stands in its place.
    closed: bool,
}

impl Scope {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an entry as of a revision may be served.
    pub(crate) fn serves(&self, as_of: Revision) -> bool {
        as_of.0 >= self.floor.load(Ordering::Acquire)
    }

    pub(crate) fn used(&self, now: u64) {
        self.used.fetch_max(now, Ordering::Relaxed);
    }

    pub(crate) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Every change up to here was applied; `None` where there is nothing to apply any to.
    pub(crate) fn applied(&self) -> Option<Revision> {
        self.lock().applied
    }

    /// Ends it: nothing of it is served or stored any more.
    pub(crate) fn close(&self) {
        let mut known = self.lock();
        known.closed = true;
        known.applied = None;
        self.floor.store(i64::MAX, Ordering::Release);
    }
}

impl Known {
    /// The latest revision at which a change of `name` is known, or can't be excluded.
    pub(crate) fn newest(&self, name: &str) -> Revision {
        self.changed.get(name).copied().unwrap_or_default().max(self.base)
    }

    /// Judges a value of `name` as of a revision: the latest revision that it is known to be as of, or `None` where
    /// a later change of it is known or can't be excluded.
    pub(crate) fn admits(&mut self, name: &str, as_of: Revision) -> Option<Revision> {
        if self.closed || as_of < self.newest(name) {
            return None;
        }
        match self.applied {
            // All changes up to there are known, and none of them is of this name.
            Some(applied) if as_of <= applied => Some(applied),
            // It may show a change that was not told yet. Remembered, because the entry may be evicted, and what is
            // older must not come after it even so.
            Some(_) => {
                self.changed.insert(name.into(), as_of);
                self.forget_oldest();
                Some(as_of)
            }
            // The first value: what changed before it is not known, and there is no entry that it matters to.
            None => {
                self.applied = Some(as_of);
                self.base = self.base.max(as_of);
                Some(as_of)
            }
        }
    }

    /// Applies the changes behind `after` up to `to`. The result says what the entries must lose: those names as of
    /// less than `to`, or all as of less than `to`; `None` where all of it was known.
    pub(crate) fn apply<'a>(
        &mut self,
        scope: &Scope,
        after: Revision,
        to: Revision,
        names: &'a Names,
    ) -> Option<&'a Names> {
        if self.closed || self.applied.is_some_and(|applied| to <= applied) {
            return None;
        }
        match names {
            Names::All => {
                self.base = self.base.max(to);
                self.changed.retain(|_, at| *at > to);
                self.applied = self.applied.map(|_| to);
                scope.floor.fetch_max(to.0, Ordering::AcqRel);
            }
            Names::Some(names) => {
                for name in names {
                    let at = self.changed.entry(name.as_str().into()).or_default();
                    *at = to.max(*at);
                }
                // Only where nothing was skipped is everything up to there known.
                self.applied = self.applied.map(|applied| if after <= applied { to } else { applied });
                self.forget_oldest();
            }
        }
        Some(names)
    }

    fn forget_oldest(&mut self) {
        if self.changed.len() > REMEMBERED {
            let newest = self.changed.values().max().copied().unwrap_or_default();
            self.base = self.base.max(newest);
            self.changed.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: fn(i64) -> Revision = Revision;

    fn names(names: &[&str]) -> Names {
        Names::Some(names.iter().map(|n| (*n).to_owned()).collect())
    }

    #[test]
    fn a_value_older_than_a_change_of_it_is_not_admitted_and_one_of_another_name_is() {
        let scope = Scope::default();
        let mut known = scope.lock();
        assert_eq!(known.admits("a", R(5)), Some(R(5)));
        assert!(known.apply(&scope, R(5), R(6), &names(&["a"])).is_some());
        assert_eq!(known.admits("a", R(5)), None);
        assert_eq!(known.admits("a", R(6)), Some(R(6)));
        assert_eq!(known.admits("b", R(5)), Some(R(6)), "no change up to 6 was of it");
    }

    #[test]
    fn a_change_told_before_the_first_value_counts() {
        let scope = Scope::default();
        let mut known = scope.lock();
        known.apply(&scope, R(5), R(6), &names(&["a"]));
        assert_eq!(known.admits("a", R(5)), None);
        assert_eq!(known.admits("a", R(7)), Some(R(7)));
    }

    #[test]
    fn what_is_older_than_the_first_value_is_not_admitted() {
        let scope = Scope::default();
        let mut known = scope.lock();
        known.admits("a", R(5));
        assert_eq!(known.admits("b", R(4)), None, "whether 5 was of it is not known");
    }

    #[test]
    fn a_skipped_revision_is_not_taken_as_applied() {
        let scope = Scope::default();
        let mut known = scope.lock();
        known.admits("a", R(5));
        known.apply(&scope, R(6), R(7), &names(&["b"]));
        assert_eq!(known.applied, Some(R(5)));
        assert!(known.apply(&scope, R(5), R(7), &names(&["a", "b"])).is_some());
        assert_eq!(known.applied, Some(R(7)));
        assert!(known.apply(&scope, R(6), R(7), &names(&["b"])).is_none(), "it is no news");
    }

    #[test]
    fn a_change_of_everything_raises_the_floor_and_keeps_later_changes() {
        let scope = Scope::default();
        let mut known = scope.lock();
        known.admits("a", R(5));
        known.apply(&scope, R(8), R(9), &names(&["b"]));
        known.apply(&scope, R(5), R(7), &Names::All);
        assert!(!scope.serves(R(6)) && scope.serves(R(7)));
        assert_eq!(known.admits("a", R(6)), None);
        assert_eq!(known.admits("b", R(8)), None);
        assert_eq!(known.applied, Some(R(7)));
    }

    #[test]
    fn nothing_older_comes_after_a_value_that_was_stored() {
        let scope = Scope::default();
        let mut known = scope.lock();
        known.admits("a", R(1));
        assert_eq!(known.admits("b", R(5)), Some(R(5)));
        assert_eq!(known.admits("b", R(3)), None, "a change between may have been of it");
        assert_eq!(known.admits("a", R(3)), Some(R(3)));
    }

    #[test]
    fn names_that_were_forgotten_count_as_changed() {
        let scope = Scope::default();
        let mut known = scope.lock();
        known.admits("a", R(1));
        let many: Vec<String> = (0..=REMEMBERED).map(|n| n.to_string()).collect();
        known.apply(&scope, R(1), R(2), &Names::Some(many));
        assert!(known.changed.is_empty());
        assert_eq!(known.admits("a", R(1)), None);
        assert_eq!(known.admits("a", R(2)), Some(R(2)));
    }

    #[test]
    fn a_closed_scope_serves_and_admits_nothing() {
        let scope = Scope::default();
        scope.lock().admits("a", R(1));
        scope.close();
        assert!(!scope.serves(R(1_000)));
        assert_eq!(scope.lock().admits("a", R(1_000)), None);
        assert_eq!(scope.applied(), None);
    }
}
