//! Sets what an operator lets a backend do.

use hotswap_auth::OpContext;
use hotswap_core::{PoolName, ResourceName as _, Revision, Violations};
use hotswap_matcher::{BackendState, PoolDraft};
use hotswap_store::{RequestKey, Tx};

use super::audit::Changed;
use super::{App, Error, WriteOptions};
use crate::domain::Resource;
use crate::store;

/// What to set where.
pub(crate) struct SetBackendState {
    /// The pool's full name.
    pub(crate) pool: String,
    /// The backend's address.
    pub(crate) address: String,
    /// The state; `None`: it was not said.
    pub(crate) state: Option<BackendState>,
    /// How it is meant.
    pub(crate) options: WriteOptions,
}

impl App {
    /// Gives the revision that carries it.
    pub(crate) async fn set_backend_state(
        &self,
        ctx: &OpContext,
        input: SetBackendState,
    ) -> Result<Revision, Error> {
        let mut v = Violations::new();
        let name = v.take("pool", PoolName::parse(&input.pool));
        if input.address.is_empty() {
            v.add("address", "must be set");
        }
        let state = v.take("state", input.state.ok_or("must be set"));
        let (Some(name), Some(state), true) = (name, state, v.is_empty()) else {
            return Err(Error::Invalid(v));
        };

        let key = input.options.key(ctx);
        let mut tx = self.db.write(store::SCOPE).await?;
        if let Some(kept) = self.repeated(&mut tx, key.as_ref()).await? {
            return Ok(kept.revision);
        }
        let current = store::get::<PoolDraft>(&mut tx, &name).await?;
        let current = current.ok_or_else(|| Error::NotFound { name: name.to_string() })?;
        let mut content = current.content.clone();
        let mut candidate = current.candidate.clone();
        // A rollout does not stand in the way of an emergency: both revisions have the backend in the new state.
        let baseline = set(&mut content, &input.address, state);
        let beside = candidate.as_mut().and_then(|c| set(&mut c.content, &input.address, state));
        match (baseline, beside) {
            (None, None) => Err(Error::NoSuchBackend { pool: name.to_string(), address: input.address }),
            (Some(true), _) => {
                let at = self.clock.now();
                let changed = Resource { candidate, ..current.revised(content, current.revision, at) };
                let landed =
                    self.land(ctx, tx, (Some(current), changed), &input.options, key.as_ref()).await?;
                Ok(landed.revision)
            }
            (_, Some(true)) => {
                let changed = Resource { candidate, ..current };
                self.set_beside(ctx, tx, changed, key.as_ref()).await
            }
            _ => Ok(current.version),
        }
    }

    /// Writes a state that the candidate alone has: what is live keeps its revision.
    async fn set_beside(
        &self,
        ctx: &OpContext,
        mut tx: Tx,
        mut changed: Resource<PoolDraft>,
        key: Option<&RequestKey>,
    ) -> Result<Revision, Error> {
        let revision = tx.next_revision(store::SCOPE).await?;
        changed.version = revision;
        store::write(&mut tx, &changed).await?;
        if let Some(key) = key {
            tx.keep_request(key, changed.full_name(), revision, self.clock.now()).await?;
        }
        let after = changed.candidate.as_ref().map(|c| &c.content);
        let name = changed.full_name();
        self.record(&mut tx, ctx, Changed { name, revision, before: after, after }).await?;
        tx.commit().await?;
        self.changed(revision, changed.full_name());
        Ok(revision)
    }
}

/// Sets the state of a backend; tells whether that changed something. `None`: there is no such backend.
fn set(content: &mut PoolDraft, address: &str, state: BackendState) -> Option<bool> {
    let backend = content.backends.iter_mut().find(|b| b.address.eq_ignore_ascii_case(address))?;
    Some(std::mem::replace(&mut backend.state, state) != state)
}
