//! What all writes share: options, repeated requests, and the check that a needed pool is there.

use hotswap_auth::OpContext;
use hotswap_core::{PoolName, ResourceName as _, Revision, Timestamp, Violations};
use hotswap_store::{RequestKey, Tx};
use hotswap_telemetry::trace;
use uuid::Uuid;

use super::audit::Changed;
use super::{App, Error};
use crate::domain::{Content, Resource};
use crate::store;

/// How a write lands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Landing {
    /// It is live at once.
    #[default]
    Live,
    /// It is kept, and a rollout exposes it later.
    Draft,
    /// An operator's word in an emergency: it is live at once, and no rollout, policy or freeze holds it up.
    Operator,
}

/// How a write is meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    /// How it lands.
    pub(crate) landing: Landing,
    /// Checked, not written.
    pub(crate) validate_only: bool,
    /// Makes a repeated call safe.
    pub(crate) request_id: Option<Uuid>,
    /// Hash of the request without its id.
    pub(crate) fingerprint: String,
}

impl WriteOptions {
    pub(super) fn key(&self, ctx: &OpContext) -> Option<RequestKey> {
        let request_id = self.request_id?.to_string();
        let fingerprint = format!("{} {}", ctx.method, self.fingerprint);
        Some(RequestKey { actor: ctx.actor().to_owned(), request_id, fingerprint })
    }
}

impl App {
    /// The revision that the same request made before, if it did.
    pub(super) async fn repeated(
        &self,
        tx: &mut Tx,
        key: Option<&RequestKey>,
    ) -> Result<Option<hotswap_store::KeptRequest>, Error> {
        let Some(key) = key else { return Ok(None) };
        match tx.kept_request(key, self.clock.now()).await? {
            Some(kept) if kept.fingerprint != key.fingerprint => {
                Err(Error::RequestIdReused { request_id: key.request_id.clone() })
            }
            kept => Ok(kept),
        }
    }

    /// The resource as the same request left it before, if it did.
    pub(super) async fn repeated_write<C: Content>(
        &self,
        tx: &mut Tx,
        key: Option<&RequestKey>,
    ) -> Result<Option<Resource<C>>, Error> {
        let Some(kept) = self.repeated(tx, key).await? else { return Ok(None) };
        let gone = || Error::NotFound { name: kept.name.clone() };
        let name = C::Name::parse(&kept.name).map_err(|_| gone())?;
        let record = store::revision::<C>(tx, &name, kept.revision).await?.ok_or_else(gone)?;
        let (resource, is_draft) = (record.resource.ok_or_else(gone)?, record.landed.is_none());
        if !is_draft {
            return Ok(Some(resource));
        }
        let live = store::get::<C>(tx, &name).await?.map_or(Revision::ZERO, |live| live.revision);
        Ok(Some(Resource { live, ..resource }))
    }

    /// Writes a new content under the next revision, unless it is only to be checked: the resource as it was, if it
    /// was there, and as it is to be.
    pub(super) async fn land<C: Content>(
        &self,
        ctx: &OpContext,
        mut tx: Tx,
        (before, mut resource): (Option<Resource<C>>, Resource<C>),
        options: &WriteOptions,
        key: Option<&RequestKey>,
    ) -> Result<Resource<C>, Error> {
        if options.landing == Landing::Live {
            self.may_land(&mut tx, resource.full_name(), before.is_none()).await?;
        }
        self.can_keep(&resource.content)?;
        if options.validate_only {
            return Ok(resource);
        }
        tx.belongs_to(trace::current().map(|context| context.to_string()));
        let revision = tx.next_revision(store::SCOPE).await?;
        resource = resource.landed(revision);
        store::put(&mut tx, &resource, ctx.actor()).await?;
        self.keep_secret(&mut tx, &resource).await?;
        if options.landing == Landing::Live {
            self.landed(&mut tx, ctx, before.as_ref(), &resource).await?;
        } else if let Some(before) = &before {
            store::rebase(&mut tx, resource.full_name(), before.revision, revision).await?;
        }
        if let Some(key) = key {
            tx.keep_request(key, resource.full_name(), resource.revision, self.clock.now()).await?;
        }
        let changed = Changed {
            name: resource.full_name(),
            revision: resource.revision,
            before: before.as_ref().map(|r| &r.content),
            after: Some(&resource.content),
        };
        self.record(&mut tx, ctx, changed).await?;
        tx.commit().await?;
        self.changed(resource.revision, resource.full_name());
        Ok(resource)
    }
}

impl App {
    /// Keeps a new content of a resource under the next revision, unless it is only to be checked; what is live stays.
    pub(super) async fn keep<C: Content>(
        &self,
        ctx: &OpContext,
        mut tx: Tx,
        (live, mut draft): (Resource<C>, Resource<C>),
        options: &WriteOptions,
        key: Option<&RequestKey>,
    ) -> Result<Resource<C>, Error> {
        if options.validate_only {
            return Ok(draft);
        }
        draft.revision = tx.next_revision(store::SCOPE).await?;
        store::keep(&mut tx, &draft, live.revision, ctx.actor()).await?;
        if let Some(key) = key {
            tx.keep_request(key, draft.full_name(), draft.revision, self.clock.now()).await?;
        }
        let changed = Changed {
            name: draft.full_name(),
            revision: draft.revision,
            before: Some(&live.content),
            after: Some(&draft.content),
        };
        self.record(&mut tx, ctx, changed).await?;
        tx.commit().await?;
        Ok(draft)
    }
}

/// Faults of content that takes the place of `before`, the absence of its pools among them.
pub(crate) async fn check<C: Content>(
    tx: &mut Tx,
    content: &C,
    before: Option<&C>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut v = Violations::new();
    if let Err(faults) = content.validate(before, now) {
        v.nest(C::FIELD, faults);
    }
    let of_split = content.split_pools().enumerate();
    let of_split = of_split.map(|(i, pool)| (format!("forward.split[{i}].pool"), pool));
    let of_requests =
        content.pool().map(|pool| ("forward.pool".to_owned(), pool)).into_iter().chain(of_split);
    let of_copies = content.mirror_pool().map(|pool| ("traffic.mirror.pool".to_owned(), pool));
    let needed: Vec<_> = of_requests.chain(of_copies).collect();
    for (field, pool) in needed {
        if PoolName::parse(pool).is_ok() && !store::exists(tx, pool).await? {
            v.add(format!("{}.{field}", C::FIELD), format!("{pool} does not exist"));
        }
    }
    v.into_result().map_err(Error::Invalid)
}
