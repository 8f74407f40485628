//! Follows one rollout: each state that it is seen in, with the newest measurement, until it ends.

use std::time::Duration;

use hotswap_auth::OpContext;
use hotswap_rollout::RolloutId;
use hotswap_store::Db;
use tokio::sync::watch;

use super::{Rollouts, found, parse_name};
use crate::store;
use crate::{Error, Measured, View};

/// How often is looked where nothing hints at a change.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A state of a watched rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// The rollout.
    pub view: View,
    /// The newest measurement; `None`: none yet.
    pub measurement: Option<Measured>,
}

/// A rollout that is watched.
#[derive(Debug)]
pub struct Watching {
    db: Db,
    id: RolloutId,
    hints: watch::Receiver<u64>,
    last: Option<Watched>,
}

impl Rollouts {
    /// Begins to watch a rollout.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Store`].
    pub async fn watch(&self, _ctx: &OpContext, name: &str) -> Result<Watching, Error> {
        let id = parse_name(name)?;
        let hints = self.parts.db.watch_commits();
        found(&mut self.parts.db.read().await?, id).await?;
        Ok(Watching { db: self.parts.db.clone(), id, hints, last: None })
    }
}

impl Watching {
    /// Waits for the next state: the first one at once, then each that differs from the one before. Fast ones may be
    /// passed over. `None`: it has ended, and its end was given. It may be dropped and called again.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn next(&mut self) -> Result<Option<Watched>, Error> {
        if self.last.as_ref().is_some_and(|last| last.view.record.state.is_ended()) {
            return Ok(None);
        }
        loop {
            self.hints.mark_unchanged();
            let now = self.look().await?;
            if self.last.as_ref() != Some(&now) {
                self.last = Some(now.clone());
                return Ok(Some(now));
            }
            let _ = tokio::time::timeout(LOOK_EVERY, self.hints.changed()).await;
        }
    }

    async fn look(&self) -> Result<Watched, Error> {
        let mut tx = self.db.read().await?;
        let view = found(&mut tx, self.id).await?;
        let newest = store::measurements(&mut tx, self.id, i64::MAX, 1).await?;
        Ok(Watched { view, measurement: newest.into_iter().next() })
    }
}
