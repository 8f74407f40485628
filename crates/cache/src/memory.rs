//! The first tier: entries in this process.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use hotswap_core::Revision;
use moka::Equivalent;
use tokio::time::Instant;

use crate::scope::Scope;
use crate::{CacheOptions, Cached, Names};

/// What an entry takes besides its key and value, about, in bytes.
const OVERHEAD: usize = 160;

/// What an entry is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    scope: Box<str>,
    name: Box<str>,
}

/// The same, borrowed, so that a look-up copies nothing. Its fields hash as those of [`Key`] do.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct KeyRef<'a> {
    pub(crate) scope: &'a str,
    pub(crate) name: &'a str,
}

#[derive(Debug)]
struct Entry {
    as_of: Revision,
    value: Option<Bytes>,
    expires: Instant,
    scope: Arc<Scope>,
}

/// The entries, and what is known of their scopes.
#[derive(Debug)]
pub(crate) struct Memory {
    entries: moka::sync::Cache<Key, Arc<Entry>>,
    scopes: RwLock<HashMap<Arc<str>, Arc<Scope>>>,
    ttl: Duration,
    start: Instant,
}

impl Memory {
    pub(crate) fn new(options: &CacheOptions) -> Self {
        let weigh = |key: &Key, entry: &Arc<Entry>| {
            let value = entry.value.as_ref().map_or(0, Bytes::len);
            let bytes = key.scope.len() + key.name.len() + value + OVERHEAD;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let entries = moka::sync::Cache::builder()
            .max_capacity(options.capacity)
            .weigher(weigh)
            // Only to free memory: what is served goes by the entry.
            .time_to_live(options.ttl)
            .build();
        Self { entries, scopes: RwLock::default(), ttl: options.ttl, start: Instant::now() }
    }

    /// What may be served. No I/O, no lock.
    pub(crate) fn get(&self, key: KeyRef<'_>) -> Option<Cached> {
        let entry = self.entries.get(&key)?;
        let served = entry.scope.serves(entry.as_of) && Instant::now() < entry.expires;
        served.then(|| Cached { as_of: entry.as_of, value: entry.value.clone() })
    }

    /// The scope. Taken before anything is read, it hears of every change from then on.
    pub(crate) fn scope(&self, name: &str) -> Arc<Scope> {
        if let Some(scope) = self.known(name) {
            return scope;
        }
        let mut scopes = self.scopes.write().unwrap_or_else(PoisonError::into_inner);
        let scope = scopes.entry(name.into()).or_default();
        scope.used(self.now());
        Arc::clone(scope)
    }

    fn known(&self, scope: &str) -> Option<Arc<Scope>> {
        self.scopes.read().unwrap_or_else(PoisonError::into_inner).get(scope).map(Arc::clone)
    }

    /// What is older than this is known to be out of date.
    pub(crate) fn newest(&self, key: KeyRef<'_>) -> Revision {
        self.known(key.scope).map(|scope| scope.lock().newest(key.name)).unwrap_or_default()
    }

    /// Stores a value that may be served for `left`, and gives what is stored then: that, or another that is as of
    /// a later revision. `None`: it is out of date.
    pub(crate) fn store(
        &self,
        scope: &Arc<Scope>,
        key: KeyRef<'_>,
        value: &Cached,
        left: Duration,
    ) -> Option<Cached> {
        scope.used(self.now());
        let mut known = scope.lock();
        if let Some(other) = self.get(key).filter(|other| other.as_of > value.as_of) {
            return Some(other);
        }
        let as_of = known.admits(key.name, value.as_of)?;
        let expires = Instant::now() + left.min(self.ttl);
        let entry = Entry { as_of, value: value.value.clone(), expires, scope: Arc::clone(scope) };
        self.entries.insert(key.to_owned(), Arc::new(entry));
        Some(Cached { as_of, value: value.value.clone() })
    }

    /// Applies the changes behind `after` up to `to`; how many of them were news.
    pub(crate) fn apply(&self, scope: &str, after: Revision, to: Revision, names: &Names) -> usize {
        // Nobody looks up anything in a scope that is not known.
        let Some(state) = self.known(scope) else { return 0 };
        let mut known = state.lock();
        match known.apply(&state, after, to, names) {
            None => 0,
            // The floor keeps them from being served.
            Some(Names::All) => 1,
            Some(Names::Some(names)) => {
                for name in names {
                    let key = KeyRef { scope, name };
                    if self.entries.get(&key).is_some_and(|entry| entry.as_of < to) {
                        self.entries.invalidate(&key);
                    }
                }
                names.len()
            }
        }
    }

    /// Forgets a scope and all its entries.
    pub(crate) fn forget(&self, scope: &str) {
        let removed = self.scopes.write().unwrap_or_else(PoisonError::into_inner).remove(scope);
        if let Some(scope) = removed {
            scope.close();
        }
    }

    /// The scopes that have entries, and up to where their changes are applied. Those that nothing was stored in
    /// for the life of an entry have none, and are forgotten.
    pub(crate) fn in_use(&self) -> Vec<(Arc<str>, Revision)> {
        let ttl = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        let now = self.now();
        let mut scopes = self.scopes.write().unwrap_or_else(PoisonError::into_inner);
        scopes.retain(|_, scope| {
            let in_use = now.saturating_sub(scope.last_used()) <= ttl;
            if !in_use {
                scope.close();
            }
            in_use
        });
        scopes.iter().filter_map(|(name, scope)| Some((Arc::clone(name), scope.applied()?))).collect()
    }

    /// Milliseconds after the start.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl KeyRef<'_> {
    pub(crate) fn to_owned(self) -> Key {
        Key { scope: self.scope.into(), name: self.name.into() }
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.name == *key.name && *self.scope == *key.scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: KeyRef<'static> = KeyRef { scope: "s", name: "x" };
    const LONG: Duration = Duration::from_secs(3_600);

    fn value(as_of: i64, text: &'static str) -> Cached {
        Cached { as_of: Revision(as_of), value: Some(Bytes::from_static(text.as_bytes())) }
    }

    fn memory() -> Memory {
        Memory::new(&CacheOptions::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_served_until_its_time_is_over() {
        let memory = memory();
        let scope = memory.scope("s");
        memory.store(&scope, X, &value(1, "a"), LONG).expect("stored");
        tokio::time::advance(Duration::from_secs(299)).await;
        assert_eq!(memory.get(X), Some(value(1, "a")));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(memory.get(X), None, "five minutes are the most");
        memory.store(&scope, X, &value(1, "a"), Duration::from_secs(9)).expect("stored");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(memory.get(X), None, "what is left of its time counts");
    }

    #[tokio::test(start_paused = true)]
    async fn a_scope_that_can_have_no_entries_is_forgotten() {
        let memory = memory();
        let scope = memory.scope("s");
        assert!(memory.in_use().is_empty(), "nothing was stored");
        memory.store(&scope, X, &value(3, "a"), LONG).expect("stored");
        assert_eq!(memory.in_use(), [("s".into(), Revision(3))]);
        tokio::time::advance(Duration::from_secs(301)).await;
        assert!(memory.in_use().is_empty());
        assert!(memory.store(&scope, X, &value(3, "a"), LONG).is_none(), "whoever holds it asks for it anew");
        assert!(memory.store(&memory.scope("s"), X, &value(3, "a"), LONG).is_some());
    }

    #[test]
    fn an_older_value_does_not_replace_a_later_one() {
        let memory = memory();
        let scope = memory.scope("s");
        memory.store(&scope, X, &value(1, "a"), LONG).expect("stored");
        memory.store(&scope, X, &value(9, "b"), LONG).expect("stored");
        assert_eq!(memory.store(&scope, X, &value(5, "a"), LONG), Some(value(9, "b")));
        assert_eq!(memory.get(X), Some(value(9, "b")));
    }

    #[test]
    fn what_is_forgotten_is_not_served() {
        let memory = memory();
        memory.store(&memory.scope("s"), X, &value(9, "b"), LONG).expect("stored");
        memory.forget("s");
        assert_eq!(memory.get(X), None);
        assert_eq!(memory.store(&memory.scope("s"), X, &value(2, "a"), LONG), Some(value(2, "a")));
    }

    #[test]
    fn entries_take_no_more_than_the_capacity() {
        let options = CacheOptions { capacity: 10_000, ..CacheOptions::default() };
        let memory = Memory::new(&options);
        let scope = memory.scope("s");
        for n in 0..1_000 {
            let key = KeyRef { scope: "s", name: &n.to_string() };
            memory.store(&scope, key, &value(1, "a value of some bytes"), LONG).expect("stored");
        }
        memory.entries.run_pending_tasks();
        assert!(memory.entries.weighted_size() <= 10_000);
        assert!(memory.entries.entry_count() > 10);
    }
}
