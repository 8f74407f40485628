//! The second tier: values in Redis, which all nodes share.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use hotswap_core::Revision;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, ScriptInvocation};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::link::Link;
use crate::memory::KeyRef;
use crate::wire::{Hint, Naming, digits};
use crate::{CacheMetrics, Cached, Change, Names, RedisOptions, scripts};

/// So much may wait to be written to Redis. What comes on top is dropped: values are only worth having, and
/// changes are found by the next round.
const QUEUE: usize = 1_024;
/// So many names a step, so that no other waits long for Redis.
const STEP: usize = 500;

/// Something to be written, in the background.
#[derive(Debug)]
pub(crate) enum Job {
    Put { scope: String, name: String, value: Cached, stored: Instant },
    Tell(Change),
}

/// Where a scope stands in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Redis is away.
    Unreachable,
    /// It has nothing of the scope that may be served.
    Nothing,
    /// Its values are right as of this revision.
    At(Revision),
}

/// Redis, for look-ups and writes.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) state: Arc<State>,
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) redis: RedisOptions,
    pub(crate) naming: Naming,
    pub(crate) metrics: CacheMetrics,
    ttl: Duration,
    /// `None`: it is away, and nobody waits for it.
    pub(crate) connection: ArcSwapOption<MultiplexedConnection>,
    /// Told when a round is due before its time.
    pub(crate) round: Notify,
    /// Scopes to be forgotten, kept until that is done, and told when there are any.
    forget: Mutex<BTreeSet<String>>,
    pub(crate) to_forget: Notify,
}

impl Shared {
    pub(crate) fn new(redis: RedisOptions, ttl: Duration, metrics: CacheMetrics) -> (Self, Link) {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let naming = Naming::new(redis.namespace.clone());
        let state = Arc::new(State {
            redis,
            naming,
            metrics,
            ttl,
            connection: ArcSwapOption::empty(),
            round: Notify::new(),
            forget: Mutex::default(),
            to_forget: Notify::new(),
        });
        (Self { state: Arc::clone(&state), jobs }, Link::new(state, queue))
    }

    /// A value, and what is left of its time.
    pub(crate) async fn get(&self, key: KeyRef<'_>) -> Option<(Cached, Duration)> {
        let state = &*self.state;
        let mut call = scripts::GET.key(state.naming.scope(key.scope));
        call.key(state.naming.name(key));
        let found: Option<(i64, i64, i64, String, Vec<u8>)> = state.call(&call).await?;
        let (as_of, scope, left, letter, value) = found?;
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        let value = (letter == "v").then(|| Bytes::from(value));
        // Nothing of that name changed between the two.
        Some((Cached { as_of: Revision(as_of.max(scope)), value }, left))
    }

    /// Writes a value in the background.
    pub(crate) fn offer(&self, key: KeyRef<'_>, value: Cached) {
        let (scope, name) = (key.scope.to_owned(), key.name.to_owned());
        self.queue(Job::Put { scope, name, value, stored: Instant::now() });
    }

    /// Tells a change in the background.
    pub(crate) fn tell(&self, change: Change) {
        if !self.queue(Job::Tell(change)) {
            self.state.round.notify_one();
        }
    }

    /// Forgets a scope in the background, when Redis is there.
    pub(crate) fn forget(&self, scope: &str) {
        self.state.forget.lock().unwrap_or_else(PoisonError::into_inner).insert(scope.to_owned());
        self.state.to_forget.notify_one();
    }

    /// Whether the job found room. While Redis is away nothing waits for it: a round comes before all else then.
    fn queue(&self, job: Job) -> bool {
        self.state.connection.load().is_none() || self.jobs.try_send(job).is_ok()
    }

    /// Where a scope stands.
    pub(crate) async fn place(&self, scope: &str) -> Place {
        let mut get = redis::cmd("HGET");
        get.arg(self.state.naming.scope(scope)).arg("s");
        let asked = self.state.with(async |connection| get.query_async(connection).await);
        match asked.await {
            None => Place::Unreachable,
            Some(None) => Place::Nothing,
            Some(Some(revision)) => Place::At(Revision(revision)),
        }
    }

    /// Brings a scope from where it stands to a later revision. Where the history was set back, or it is not known
    /// what changed, the scope starts anew.
    pub(crate) async fn catch_up(
        &self,
        scope: &str,
        place: Place,
        to: Revision,
        names: &Names,
    ) -> Option<()> {
        match (place, names) {
            (Place::Unreachable, _) => None,
            (Place::At(at), _) if at == to => Some(()),
            (Place::At(at), Names::Some(names)) if at < to => {
                self.state.changed(scope, (at, to), names, "").await
            }
            (Place::At(at), _) => self.state.start_anew(scope, to, at > to, "").await,
            (Place::Nothing, _) => self.state.start_anew(scope, to, false, "").await,
        }
    }
}

impl State {
    /// Does a job; `None`: Redis is away.
    pub(crate) async fn work(&self, job: Job) -> Option<()> {
        match job {
            Job::Put { scope, name, value, stored } => {
                let left = self.ttl.saturating_sub(stored.elapsed());
                self.put(KeyRef { scope: &scope, name: &name }, &value, left).await
            }
            Job::Tell(change) => {
                let (to, message) = (change.revision, Hint::changed(&change));
                match &change.names {
                    Names::Some(names) => {
                        self.changed(&change.scope, (Revision(to.0 - 1), to), names, &message).await
                    }
                    Names::All => self.start_anew(&change.scope, to, false, &message).await,
                }
            }
        }
    }

    /// Forgets what is to be forgotten.
    pub(crate) async fn forget_all(&self) -> Option<()> {
        loop {
            let next = self.forget.lock().unwrap_or_else(PoisonError::into_inner).first().cloned();
            let Some(scope) = next else { return Some(()) };
            let mut call = scripts::FORGET.key(self.naming.scope(&scope));
            call.arg(self.naming.channel()).arg(Hint::forget(&scope));
            self.call::<()>(&call).await?;
            self.forget.lock().unwrap_or_else(PoisonError::into_inner).remove(&scope);
        }
    }

    async fn put(&self, key: KeyRef<'_>, value: &Cached, left: Duration) -> Option<()> {
        if left.is_zero() {
            return Some(());
        }
        let (letter, bytes) = value.value.as_ref().map_or(("n", &[][..]), |bytes| ("v", bytes));
        let mut call = scripts::PUT.key(self.naming.scope(key.scope));
        call.key(self.naming.name(key)).arg(digits(value.as_of)).arg(letter).arg(bytes);
        call.arg(millis(left)).arg(millis(self.scope_ttl()));
        self.call(&call).await
    }

    async fn changed(
        &self,
        scope: &str,
        (after, to): (Revision, Revision),
        names: &[String],
        message: &str,
    ) -> Option<()> {
        // One step at least: a commit may touch no name, and the revision moves all the same.
        let steps = names.len().div_ceil(STEP).max(1);
        for step in 0..steps {
            let last = step + 1 == steps;
            let mut call = scripts::CHANGED.key(self.naming.scope(scope));
            for name in names.iter().skip(step * STEP).take(STEP) {
                call.key(self.naming.name(KeyRef { scope, name }));
            }
            call.arg(digits(after)).arg(digits(to)).arg(millis(self.ttl)).arg(millis(self.scope_ttl()));
            call.arg(u8::from(last)).arg(self.naming.channel()).arg(if last { message } else { "" });
            self.call::<()>(&call).await?;
        }
        Some(())
    }

    async fn start_anew(&self, scope: &str, to: Revision, always: bool, message: &str) -> Option<()> {
        let mut call = scripts::START_ANEW.key(self.naming.scope(scope));
        call.arg(digits(to)).arg(u8::from(always)).arg(millis(self.scope_ttl()));
        call.arg(self.naming.channel()).arg(message);
        self.call(&call).await
    }

    /// A scope outlives its values.
    fn scope_ttl(&self) -> Duration {
        self.ttl.saturating_mul(2)
    }

    async fn call<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Option<T> {
        self.with(async |connection| script.invoke_async(connection).await).await
    }

    /// Asks Redis, for the time allowed and no longer. `None`: it is away, or does not do it.
    async fn with<T>(
        &self,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Option<T> {
        let connection = self.connection.load_full()?;
        let mut own = MultiplexedConnection::clone(&connection);
        let dead = match tokio::time::timeout(self.redis.timeout, ask(&mut own)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => {
                tracing::debug!(%error, "redis");
                error.is_io_error() || error.is_unrecoverable_error() || error.is_connection_dropped()
            }
            // An answer that comes too late comes in vain; only a new connection is worth another try.
            Err(_) => true,
        };
        self.metrics.redis_errors.inc();
        if dead {
            // Unless another has done it, and there is a new one. The link learns of it when the last hold is gone.
            self.connection.compare_and_swap(&connection, None);
        }
        None
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
