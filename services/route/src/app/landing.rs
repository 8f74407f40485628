//! What rollouts have to say about a write: whether it may be live at once, and that it was.

use hotswap_auth::OpContext;
use hotswap_rollout_host::{Error as Refusal, Live};
use hotswap_store::Tx;

use super::{App, Error};
use crate::domain::{Content, Resource};
use crate::store;
use crate::target::DOMAIN;

impl App {
    /// Whether a write may be live at once. What is not there yet has no baseline that could carry its traffic
    /// meanwhile, so no policy holds its first revision up; the freeze does.
    pub(super) async fn may_land(&self, tx: &mut Tx, name: &str, is_new: bool) -> Result<(), Error> {
        if is_new {
            return self.is_thawed(tx).await;
        }
        Ok(self.rollouts.check_live(tx, name).await?)
    }

    /// Whether a resource may be deleted now.
    pub(super) async fn may_go(&self, tx: &mut Tx, name: &str) -> Result<(), Error> {
        self.rollouts.check_delete(tx, name).await?;
        self.is_thawed(tx).await
    }

    /// Routes that need a pool, up to ten: those that send requests or copies to it, and those whose rollout may
    /// yet bring back a revision
    /// that does.
    pub(super) async fn users_of(&self, tx: &mut Tx, pool: &str) -> Result<Vec<String>, Error> {
        let mut users = store::users_of(tx, pool).await?;
        for (rollout, name) in store::rollouts::committed_from(tx, pool).await? {
            let active = self.rollouts.active(tx, &name).await?;
            if active.is_some_and(|view| view.rollout.id == rollout) && !users.contains(&name) {
                users.push(name);
            }
        }
        Ok(users)
    }

    async fn is_thawed(&self, tx: &mut Tx) -> Result<(), Error> {
        let freeze = self.rollouts.is_frozen(tx).await?;
        if freeze.on { Err(Refusal::Frozen { why: freeze.reason }.into()) } else { Ok(()) }
    }

    /// Records a write that is live at once, as a rollout that has ended.
    pub(super) async fn landed<C: Content>(
        &self,
        tx: &mut Tx,
        ctx: &OpContext,
        before: Option<&Resource<C>>,
        after: &Resource<C>,
    ) -> Result<(), Error> {
        let from = before.map(|resource| resource.revision);
        let live = Live { domain: DOMAIN, subject: after.full_name(), from, to: after.revision };
        self.rollouts.record_live(tx, ctx, live).await?;
        Ok(())
    }
}
