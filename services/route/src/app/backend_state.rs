//! Sets what an operator lets a backend do.

use hotswap_auth::OpContext;
use hotswap_core::{PoolName, ResourceName as _, Revision, Violations};
use hotswap_matcher::{BackendState, PoolDraft};

use super::{App, Error, WriteOptions};
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
        let backend = content.backends.iter_mut().find(|b| b.address.eq_ignore_ascii_case(&input.address));
        let Some(backend) = backend else {
            return Err(Error::NoSuchBackend { pool: name.to_string(), address: input.address });
        };
        if backend.state == state {
            return Ok(current.revision);
        }
        backend.state = state;
        let changed = current.revised(content, current.revision, self.clock.now());
        let landed = self.land(ctx, tx, (Some(current), changed), &input.options, key.as_ref()).await?;
        Ok(landed.revision)
    }
}
