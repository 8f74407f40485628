//! The global switch.

use hotswap_auth::OpContext;
use hotswap_core::Violations;
use serde_json::json;

use super::{Rollouts, check_reason};
use crate::store;
use crate::{Error, Freeze};

impl Rollouts {
    /// The global switch: while it is on, no rollout begins or grows, and no write is live at once.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn freeze(&self, _ctx: &OpContext) -> Result<Freeze, Error> {
        Ok(store::freeze(&mut self.parts.db.read().await?).await?)
    }

    /// Turns the switch. What it holds up goes on as soon as it is off.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Store`].
    pub async fn set_freeze(&self, ctx: &OpContext, on: bool, reason: &str) -> Result<Freeze, Error> {
        let mut v = Violations::new();
        check_reason(&mut v, "reason", reason);
        v.into_result()?;
        let mut tx = self.parts.db.write_unscoped().await?;
        let now = tx.now().await?;
        let before = store::freeze(&mut tx).await?;
        let freeze =
            Freeze { on, reason: reason.to_owned(), actor: ctx.actor().to_owned(), changed_at: Some(now) };
        store::set_freeze(&mut tx, &freeze).await?;
        store::call_all(&mut tx, now).await?;
        let told = |f: &Freeze| Some(json!({ "on": f.on, "reason": f.reason }));
        self.record(&mut tx, ctx, "rolloutFreeze", (told(&before), told(&freeze))).await?;
        tx.announce();
        tx.commit().await?;
        Ok(freeze)
    }
}
