//! What keeps a cache right: the change log, asked again and again.

use std::fmt::Display;
use std::future::Future;

use hotswap_core::Revision;
use tokio::time::MissedTickBehavior;

use crate::link::Link;
use crate::metrics::LearnedBy;
use crate::shared::Place;
use crate::{Cache, Change, Names};

/// Tells what changed: the change log of the database that the values come from. It must not lag: a replica for
/// reads will not do.
pub trait ChangeSource: Send + Sync {
    /// Why it could not tell.
    type Error: Display + Send;

    /// What changed in `scope` behind `after`.
    fn changes_after(
        &self,
        scope: &str,
        after: Revision,
    ) -> impl Future<Output = Result<Changes, Self::Error>> + Send;
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The newest revision of the scope.
    pub to: Revision,
    /// The names that changed on the way there; [`Names::All`] where the log does not reach back so far.
    pub names: Names,
}

/// The background work of a cache. Without it the cache serves, and only learns of the changes that are made
/// through it.
#[derive(Debug)]
pub struct Maintenance {
    cache: Cache,
    link: Option<Link>,
}

impl Maintenance {
    pub(crate) fn new(cache: Cache, link: Option<Link>) -> Self {
        Self { cache, link }
    }

    /// Keeps the connection to Redis and asks `source`, until `stop` is ready. A source that fails is asked again
    /// at the next interval; meanwhile look-ups are answered.
    pub async fn run<S: ChangeSource>(self, source: S, stop: impl Future<Output = ()>) {
        let Self { cache, mut link } = self;
        let connected = async {
            match &mut link {
                Some(link) => link.run(&cache).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            () = connected => {}
            () = rounds(&cache, &source) => {}
        }
        if let Some(shared) = &cache.inner.shared {
            shared.state.connection.store(None);
            cache.inner.metrics.redis_connected.set(0);
        }
    }
}

async fn rounds<S: ChangeSource>(cache: &Cache, source: &S) {
    let mut ticks = tokio::time::interval(cache.inner.options.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = false;
    loop {
        let early = async {
            match &cache.inner.shared {
                Some(shared) => shared.state.round.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = ticks.tick() => {}
            () = early => {}
        }
        let asked = cache.reconcile(source).await;
        cache.inner.metrics.round(asked.is_ok());
        tell(asked.as_ref().err(), failed);
        failed = asked.is_err();
    }
}

/// Logs how a round ended where that is news.
fn tell<E: Display>(error: Option<&E>, failed_before: bool) {
    match (error, failed_before) {
        (None, true) => tracing::info!("the cache hears of changes again"),
        (Some(error), false) => tracing::warn!(%error, "the cache can't ask what changed"),
        (None, false) | (Some(_), true) => {}
    }
}

impl Cache {
    /// Asks what changed in each scope in use, once, and applies it here and in Redis. The maintenance does it by
    /// itself; an owner that knows of a change may do it at once.
    ///
    /// # Errors
    /// The source's; what it told before is applied.
    pub async fn reconcile<S: ChangeSource>(&self, source: &S) -> Result<(), S::Error> {
        for (scope, applied) in self.inner.memory.in_use() {
            let place = match &self.inner.shared {
                Some(shared) => shared.place(&scope).await,
                None => Place::Unreachable,
            };
            let after = match place {
                Place::At(at) => applied.min(at),
                Place::Nothing | Place::Unreachable => applied,
            };
            let Changes { to, names } = source.changes_after(&scope, after).await?;
            if to < applied {
                // The history was set back: what is known here is of another.
                self.inner.memory.forget(&scope);
            }
            let change = Change { scope: scope.as_ref().to_owned(), revision: to, names };
            self.learn(&change, after, LearnedBy::Source);
            if let Some(shared) = &self.inner.shared {
                shared.catch_up(&scope, place, to, &change.names).await;
            }
        }
        Ok(())
    }
}
