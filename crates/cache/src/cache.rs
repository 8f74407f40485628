//! The handle.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use hotswap_core::Revision;

use crate::flight::{Flights, Landed, Turn};
use crate::link::Link;
use crate::maintenance::Maintenance;
use crate::memory::{KeyRef, Memory};
use crate::metrics::{LearnedBy, Tier};
use crate::shared::Shared;
use crate::{CacheMetrics, CacheOptions, Cached, Change, RedisOptions};

/// A load that a change overtakes is made anew, so often at most: somebody waits for it.
const LOADS: usize = 3;

/// A cache; cheap to clone.
#[derive(Clone, Debug)]
pub struct Cache {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) memory: Memory,
    flights: Flights,
    pub(crate) shared: Option<Shared>,
    pub(crate) metrics: CacheMetrics,
    pub(crate) options: CacheOptions,
}

impl Cache {
    /// A cache in this process alone.
    pub fn in_process(options: CacheOptions, metrics: CacheMetrics) -> (Self, Maintenance) {
        Self::new(options, metrics, None)
    }

    /// A cache in this process, with a Redis that others share. It connects when the maintenance runs.
    pub fn with_redis(
        options: CacheOptions,
        redis: RedisOptions,
        metrics: CacheMetrics,
    ) -> (Self, Maintenance) {
        let (shared, link) = Shared::new(redis, options.ttl, metrics.clone());
        Self::new(options, metrics, Some((shared, link)))
    }

    fn new(
        options: CacheOptions,
        metrics: CacheMetrics,
        redis: Option<(Shared, Link)>,
    ) -> (Self, Maintenance) {
        let (shared, link) = redis.unzip();
        let memory = Memory::new(&options);
        let inner = Inner { memory, flights: Flights::default(), shared, metrics, options };
        let cache = Self { inner: Arc::new(inner) };
        (cache.clone(), Maintenance::new(cache, link))
    }

    /// The value of a name: from memory, else from Redis, else from `load`, which reads it from the database with
    /// the revision of the scope, in one transaction.
    ///
    /// What is given is never older than what was known here when it was asked for. Those who ask for the same name
    /// at once share one load, its error too; an error is not kept. Where a change overtakes the load, `load` is
    /// called again; after three such loads the last value is given and not kept.
    ///
    /// Dropping the future is safe: the load passes to another who waits.
    ///
    /// # Errors
    /// What `load` failed with.
    pub async fn get<F, L, E>(&self, scope: &str, name: &str, load: F) -> Result<Cached, Arc<E>>
    where
        F: Fn() -> L,
        L: Future<Output = Result<Cached, E>>,
        E: Send + Sync + 'static,
    {
        if let Some(hit) = self.peek(scope, name) {
            self.inner.metrics.hit(Tier::Memory);
            return Ok(hit);
        }
        let key = KeyRef { scope, name };
        let mut newest = self.inner.memory.newest(key);
        loop {
            let mut told = match self.inner.flights.join(key) {
                Turn::Lead(lead) => {
                    let fetched = self.fetch(key, &load).await.map_err(Arc::new);
                    lead.land(fetched.clone().map_err(|e| e as Arc<dyn Any + Send + Sync>));
                    return fetched;
                }
                Turn::Wait(told) => told,
            };
            // An error means that the one who loaded gave up.
            let landed = told.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone());
            match landed.and_then(ours) {
                // That load began before a change that was known when we asked. The next one did not.
                Some(Ok(value)) if value.as_of < newest => newest = Revision::ZERO,
                Some(result) => {
                    self.inner.metrics.misses.inc();
                    return result;
                }
                None => {}
            }
        }
    }

    /// What memory has, without any I/O.
    pub fn peek(&self, scope: &str, name: &str) -> Option<Cached> {
        self.inner.memory.get(KeyRef { scope, name })
    }

    /// Stores a value that the caller knows, as after a write. One that is out of date is dropped.
    pub fn put(&self, scope: &str, name: &str, value: &Cached) {
        let inner = &*self.inner;
        let key = KeyRef { scope, name };
        if let Some(stored) = inner.memory.store(&inner.memory.scope(scope), key, value, inner.options.ttl)
            && let Some(shared) = &inner.shared
        {
            shared.offer(key, stored);
        }
    }

    /// Tells that a commit was made. Call it after the commit and before the answer to whoever asked for it: look-ups
    /// here see the new value from then on. The others are told in the background, so this neither waits nor fails.
    pub fn invalidate(&self, change: Change) {
        let after = Revision(change.revision.0 - 1);
        self.learn(&change, after, LearnedBy::Write);
        if let Some(shared) = &self.inner.shared {
            shared.tell(change);
        }
    }

    /// Forgets all of a scope, here and in Redis, and tells the others to. For a history that was set back, as by a
    /// database that fell back to a copy which lagged: there the same revision means something else now.
    pub fn forget(&self, scope: &str) {
        self.inner.memory.forget(scope);
        if let Some(shared) = &self.inner.shared {
            shared.forget(scope);
        }
    }

    /// Applies a change to memory.
    pub(crate) fn learn(&self, change: &Change, after: Revision, by: LearnedBy) {
        let news = self.inner.memory.apply(&change.scope, after, change.revision, &change.names);
        self.inner.metrics.learned(by, news);
    }

    async fn fetch<F, L, E>(&self, key: KeyRef<'_>, load: &F) -> Result<Cached, E>
    where
        F: Fn() -> L,
        L: Future<Output = Result<Cached, E>>,
    {
        let inner = &*self.inner;
        let mut scope = inner.memory.scope(key.scope);
        // Another load may have ended since memory was asked.
        if let Some(hit) = inner.memory.get(key) {
            inner.metrics.hit(Tier::Memory);
            return Ok(hit);
        }
        // The first look-up of a scope is loaded: that tells where the scope stands, and what is too old for it.
        if scope.applied().is_some()
            && let Some(shared) = &inner.shared
            && let Some((found, left)) = shared.get(key).await
            && let Some(stored) = inner.memory.store(&scope, key, &found, left)
        {
            inner.metrics.hit(Tier::Redis);
            return Ok(stored);
        }
        inner.metrics.misses.inc();
        let mut loaded = load().await?;
        for _ in 1..LOADS {
            if let Some(stored) = inner.memory.store(&scope, key, &loaded, inner.options.ttl) {
                if let Some(shared) = &inner.shared {
                    shared.offer(key, stored.clone());
                }
                return Ok(stored);
            }
            // It may have been forgotten meanwhile.
            scope = inner.memory.scope(key.scope);
            loaded = load().await?;
        }
        Ok(inner.memory.store(&scope, key, &loaded, inner.options.ttl).unwrap_or(loaded))
    }
}

/// What another's load came to, where its loader fails as ours does.
fn ours<E: Send + Sync + 'static>(landed: Landed) -> Option<Result<Cached, Arc<E>>> {
    match landed {
        Ok(value) => Some(Ok(value)),
        Err(error) => error.downcast::<E>().ok().map(Err),
    }
}
