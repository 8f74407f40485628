//! Deletes a resource.

use hotswap_auth::OpContext;
use hotswap_core::{ResourceName as _, Revision, Violations};
use hotswap_telemetry::trace;

use super::audit::Changed;
use super::{App, Error, Landing, WriteOptions};
use crate::domain::Content;
use crate::store;

/// What to delete.
pub(crate) struct Delete {
    /// Its full name.
    pub(crate) name: String,
    /// The etag it must have; empty: any.
    pub(crate) etag: String,
    /// Whether its absence is no error.
    pub(crate) allow_missing: bool,
    /// How it is meant.
    pub(crate) options: WriteOptions,
}

impl App {
    /// Gives the revision without it; where nothing was to be done, the current one.
    pub(crate) async fn delete<C: Content>(&self, ctx: &OpContext, input: Delete) -> Result<Revision, Error> {
        let name = C::Name::parse(&input.name).map_err(|e| Violations::one("name", e.to_string()))?;
        let key = input.options.key(ctx);
        let mut tx = self.db.write(store::SCOPE).await?;
        if let Some(kept) = self.repeated(&mut tx, key.as_ref()).await? {
            return Ok(kept.revision);
        }
        let Some(current) = store::get::<C>(&mut tx, &name).await? else {
            if input.allow_missing {
                return Ok(tx.revision(store::SCOPE).await?);
            }
            return Err(Error::NotFound { name: name.to_string() });
        };
        let etag = current.etag();
        if !etag.admits(&input.etag) {
            return Err(Error::StaleEtag { name: name.to_string(), current: etag.as_str().to_owned() });
        }
        let users = self.users_of(&mut tx, name.as_str()).await?;
        if !users.is_empty() {
            return Err(Error::PoolInUse { name: name.to_string(), users });
        }
        if input.options.landing != Landing::Operator {
            self.may_go(&mut tx, name.as_str()).await?;
        }
        if input.options.validate_only {
            return Ok(tx.revision(store::SCOPE).await?);
        }
        let now = self.clock.now();
        tx.belongs_to(trace::current().map(|context| context.to_string()));
        let revision = tx.next_revision(store::SCOPE).await?;
        store::delete(&mut tx, &current, revision, now, ctx.actor()).await?;
        if let Some(key) = &key {
            tx.keep_request(key, name.as_str(), revision, now).await?;
        }
        let before = Some(&current.content);
        self.record(&mut tx, ctx, Changed { name: name.as_str(), revision, before, after: None }).await?;
        tx.commit().await?;
        self.changed(revision, name.as_str());
        Ok(revision)
    }
}
