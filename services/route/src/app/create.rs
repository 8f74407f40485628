//! Creates a resource.

use hotswap_auth::OpContext;
use hotswap_core::{ResourceName as _, Revision, Violations};
use hotswap_store::Tx;

use super::write::check;
use super::{App, Error, Landing, WriteOptions};
use crate::domain::{Content, Resource};
use crate::store;

/// What to create.
pub(crate) struct Create<C: Content> {
    /// The id to give it.
    pub(crate) id: String,
    /// Its content.
    pub(crate) content: C,
    /// How it is meant.
    pub(crate) options: WriteOptions,
}

impl App {
    pub(crate) async fn create<C: Content>(
        &self,
        ctx: &OpContext,
        input: Create<C>,
    ) -> Result<Resource<C>, Error> {
        let key = input.options.key(ctx);
        let mut tx = self.db.write(store::SCOPE).await?;
        if let Some(done) = self.repeated_write(&mut tx, key.as_ref()).await? {
            return Ok(done);
        }
        let resource = self.new_resource(&mut tx, &input.id, input.content).await?;
        if input.options.landing == Landing::Draft {
            return Err(Error::DraftOfNothing { name: resource.full_name().to_owned() });
        }
        self.land(ctx, tx, (None, resource), &input.options, key.as_ref()).await
    }

    /// A resource that is not there yet, checked and with its identity, and no revision.
    pub(super) async fn new_resource<C: Content>(
        &self,
        tx: &mut Tx,
        id: &str,
        mut content: C,
    ) -> Result<Resource<C>, Error> {
        content.settle(None);
        let mut v = Violations::new();
        let name = v.take(&format!("{}_id", C::FIELD), C::Name::from_id(id));
        match check(tx, &content, None, self.clock.now()).await {
            Err(Error::Invalid(faults)) => v.nest("", faults),
            other => other?,
        }
        let Some(name) = name.filter(|_| v.is_empty()) else { return Err(Error::Invalid(v)) };
        if store::exists(tx, name.as_str()).await? {
            return Err(Error::AlreadyExists { name: name.to_string() });
        }
        let now = self.clock.now();
        let uid = self.ids.uuid();
        Ok(Resource {
            name,
            uid,
            revision: Revision::ZERO,
            live: Revision::ZERO,
            version: Revision::ZERO,
            created_at: now,
            updated_at: now,
            content,
            candidate: None,
        })
    }
}
