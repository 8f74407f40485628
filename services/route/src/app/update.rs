//! Changes a resource.

use hotswap_auth::OpContext;
use hotswap_core::{ResourceName as _, Violations};

use super::write::check;
use super::{App, Error, Landing, WriteOptions};
use crate::domain::{Content, Mask, Resource};
use crate::store;

/// What to change.
pub(crate) struct Update<C: Content> {
    /// Its full name.
    pub(crate) name: String,
    /// The etag it must have; empty: any.
    pub(crate) etag: String,
    /// The new values.
    pub(crate) patch: C,
    /// The fields to change, as sent.
    pub(crate) mask: Option<Vec<String>>,
    /// Whether it is created where it is not there.
    pub(crate) allow_missing: bool,
    /// How it is meant.
    pub(crate) options: WriteOptions,
}

impl App {
    pub(crate) async fn update<C: Content>(
        &self,
        ctx: &OpContext,
        input: Update<C>,
    ) -> Result<Resource<C>, Error> {
        let mut v = Violations::new();
        let name = v.take(&format!("{}.name", C::FIELD), C::Name::parse(&input.name));
        let mask = Mask::parse::<C>(input.mask).map_err(|e| v.nest("", e)).ok();
        let (Some(name), Some(mask)) = (name, mask) else { return Err(Error::Invalid(v)) };

        let key = input.options.key(ctx);
        let mut tx = self.db.write(store::SCOPE).await?;
        if let Some(done) = self.repeated_write(&mut tx, key.as_ref()).await? {
            return Ok(done);
        }
        let Some(current) = store::get::<C>(&mut tx, &name).await? else {
            if !input.allow_missing {
                return Err(Error::NotFound { name: name.to_string() });
            }
            let resource = self.new_resource(&mut tx, name.id(), input.patch).await?;
            if input.options.landing == Landing::Draft {
                return Err(Error::DraftOfNothing { name: name.to_string() });
            }
            return self.land(ctx, tx, (None, resource), &input.options, key.as_ref()).await;
        };
        let etag = current.etag();
        if !etag.admits(&input.etag) {
            return Err(Error::StaleEtag { name: name.to_string(), current: etag.as_str().to_owned() });
        }
        let mut content = mask.apply(&current.content, &input.patch)?;
        content.settle(Some(&current.content));
        check(&mut tx, &content, Some(&current.content), self.clock.now()).await?;
        self.leave_known_secret(&mut tx, &current, &mut content).await?;
        // What changes nothing makes no revision: applying the same file again moves no proxy.
        if content == current.content {
            return Ok(current);
        }
        let changed = current.revised(content, current.revision, self.clock.now());
        match input.options.landing {
            Landing::Live | Landing::Operator => {
                self.land(ctx, tx, (Some(current), changed), &input.options, key.as_ref()).await
            }
            Landing::Draft => self.keep(ctx, tx, (current, changed), &input.options, key.as_ref()).await,
        }
    }
}
