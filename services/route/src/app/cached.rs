//! Look-ups by name, from memory.

use std::sync::Arc;

use hotswap_cache::{Cached, ChangeSource, Changes, Names};
use hotswap_core::{ResourceName as _, Revision};
use hotswap_store::StoreError;

use super::{App, Error};
use crate::domain::{Content, Resource};
use crate::store;

impl App {
    /// The resource of a name; `None`: there is none.
    pub(super) async fn look_up<C: Content>(&self, name: &C::Name) -> Result<Option<Resource<C>>, Error> {
        let load = || self.load::<C>(name);
        let cached = self.cache.get(store::SCOPE, name.as_str(), load).await.map_err(Error::Store)?;
        let Some(bytes) = cached.value else { return Ok(None) };
        match store::from_record(name, &bytes) {
            Ok(resource) => Ok(Some(resource)),
            // What lies in Redis may be of another build. The database knows.
            Err(_) => {
                let mut tx = self.db.read().await?;
                Ok(store::get(&mut tx, name).await?)
            }
        }
    }

    async fn load<C: Content>(&self, name: &C::Name) -> Result<Cached, StoreError> {
        let mut tx = self.db.read().await?;
        let as_of = tx.revision(store::SCOPE).await?;
        let found = store::get::<C>(&mut tx, name).await?;
        let value = found.as_ref().map(store::to_record).transpose()?;
        Ok(Cached { as_of, value: value.map(Into::into) })
    }

    /// A commit touched a name: look-ups here see it from now on, and others are told.
    pub(crate) fn changed(&self, revision: Revision, name: &str) {
        let names = Names::Some(vec![name.to_owned()]);
        self.cache.invalidate(hotswap_cache::Change { scope: store::SCOPE.to_owned(), revision, names });
    }

    /// The store has other changes than those made here. What a caller who went away committed is among them.
    pub(crate) async fn catch_up_cache(&self) {
        if let Err(error) = self.cache.reconcile(self).await {
            tracing::debug!(%error, "the cache could not ask what changed; it asks again");
        }
    }

    /// The store was set back: what is cached is of another history.
    pub(crate) fn forget_cache(&self) {
        self.cache.forget(store::SCOPE);
    }
}

impl ChangeSource for App {
    type Error = Arc<StoreError>;

    async fn changes_after(&self, scope: &str, after: Revision) -> Result<Changes, Self::Error> {
        let mut tx = self.db.read().await?;
        let changes = tx.changes_after(scope, after).await?;
        let whole = after >= changes.floor;
        let names = if whole { Names::Some(changes.names.into_iter().collect()) } else { Names::All };
        Ok(Changes { to: changes.to, names })
    }
}
