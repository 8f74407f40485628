//! Routes, pools and certificates in the store. The rows are private; past here only domain types exist.

mod keys;
pub(crate) mod proxies;
pub(crate) mod questions;
pub(crate) mod rollouts;
mod row;
pub(crate) mod sql;

use std::collections::BTreeSet;

use hotswap_core::{PageSize, ResourceName as _, Revision, Timestamp};
use hotswap_store::{Changes, StoreError, Tx, Value};

use crate::domain::{AnyResource, Content, Resource, RevisionRecord};
pub(crate) use keys::{SealedKey, put_key, sealed_key, sealed_keys};
pub(crate) use sql::Order;

/// The scope that counts the gateway configuration's revisions.
pub(crate) const SCOPE: &str = "gateway";

/// The resource of that name, if it is there.
pub(crate) async fn get<C: Content>(tx: &mut Tx, name: &C::Name) -> Result<Option<Resource<C>>, StoreError> {
    let row = tx.fetch_opt(sql::GET, &[name.as_str().into()]).await?;
    row.as_ref().map(row::resource).transpose()
}

/// A resource in the form in which it is cached.
pub(crate) fn to_record<C: Content>(resource: &Resource<C>) -> Result<Vec<u8>, StoreError> {
    row::to_record(resource)
}

/// A resource from the cache.
pub(crate) fn from_record<C: Content>(name: &C::Name, bytes: &[u8]) -> Result<Resource<C>, StoreError> {
    row::from_record(name, bytes)
}

/// Whether a pool is there.
pub(crate) async fn exists(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    Ok(tx.fetch_opt(sql::EXISTS, &[name.into()]).await?.is_some())
}

/// Up to 10 names of routes that send requests, some of them, or copies to a pool.
pub(crate) async fn users_of(tx: &mut Tx, pool: &str) -> Result<Vec<String>, StoreError> {
    let rows = tx.fetch_all(sql::USERS_OF, &[pool.into()]).await?;
    rows.iter().map(|r| r.text("name")).collect()
}

/// Writes a resource and its revision. It takes the place of one of the same name.
pub(crate) async fn put<C: Content>(tx: &mut Tx, r: &Resource<C>, actor: &str) -> Result<(), StoreError> {
    write(tx, r).await?;
    let spec = Some(row::spec(&r.content)?);
    note(tx, r, (r.updated_at, actor), spec, Standing::Live(r.version)).await
}

/// Keeps a revision that is not live, made from the live one.
pub(crate) async fn keep<C: Content>(
    tx: &mut Tx,
    r: &Resource<C>,
    base: Revision,
    actor: &str,
) -> Result<(), StoreError> {
    let spec = Some(row::spec(&r.content)?);
    note(tx, r, (r.updated_at, actor), spec, Standing::Draft(base)).await
}

/// The pools that any of these split requests between, each between commas, so that one can be looked for; `None`: there
/// are none. Names have neither commas nor what LIKE reads otherwise.
pub(crate) fn listed<'a, C: Content>(all: impl IntoIterator<Item = Option<&'a C>>) -> Option<String> {
    let pools = all.into_iter().flatten().flat_map(C::split_pools).collect::<BTreeSet<_>>();
    (!pools.is_empty()).then(|| pools.into_iter().fold(",".to_owned(), |list, pool| list + pool + ","))
}

/// Writes a resource whose content has a revision already: what proxies see of it is of its version.
pub(crate) async fn write<C: Content>(tx: &mut Tx, r: &Resource<C>) -> Result<(), StoreError> {
    let candidate = r.candidate.as_ref().map(|c| &c.content);
    let owned = |pool: Option<&str>| pool.map(str::to_owned);
    let values = [
        r.full_name().into(),
        C::Name::COLLECTION.into(),
        r.uid.to_string().into(),
        r.revision.into(),
        r.version.into(),
        r.created_at.into(),
        r.updated_at.into(),
        owned(r.content.pool()).into(),
        row::spec(&r.content)?.into(),
        r.candidate.as_ref().map(row::spec).transpose()?.into(),
        owned(candidate.and_then(Content::pool)).into(),
        owned(r.content.mirror_pool()).into(),
        owned(candidate.and_then(Content::mirror_pool)).into(),
        listed([Some(&r.content), candidate]).into(),
    ];
    tx.execute(sql::PUT, &values).await?;
    tx.log_change(SCOPE, r.version, r.full_name()).await
}

/// Deletes a resource, and writes the revision that did it.
pub(crate) async fn delete<C: Content>(
    tx: &mut Tx,
    r: &Resource<C>,
    revision: Revision,
    at: Timestamp,
    actor: &str,
) -> Result<(), StoreError> {
    tx.execute(sql::DELETE, &[r.full_name().into()]).await?;
    if C::SECRET.is_some() {
        tx.execute(sql::DELETE_KEY, &[r.full_name().into()]).await?;
    }
    note(tx, &Resource { revision, ..r.clone() }, (at, actor), None, Standing::Live(revision)).await?;
    tx.log_change(SCOPE, revision, r.full_name()).await
}

/// Notes that a revision that was written before is live from another one on.
pub(crate) async fn land(tx: &mut Tx, name: &str, which: Revision, at: Revision) -> Result<(), StoreError> {
    tx.execute(sql::LAND, &[name.into(), which.into(), at.into()]).await.map(drop)
}

/// How a revision is written.
enum Standing {
    /// Live from this revision of the configuration on.
    Live(Revision),
    /// As a draft, from this live one.
    Draft(Revision),
}

async fn note<C: Content>(
    tx: &mut Tx,
    r: &Resource<C>,
    (at, actor): (Timestamp, &str),
    spec: Option<String>,
    standing: Standing,
) -> Result<(), StoreError> {
    let (landed, base) = match standing {
        Standing::Live(at) => (Some(at.0), None),
        Standing::Draft(from) => (None, Some(from.0)),
    };
    let values = [
        r.full_name().into(),
        r.revision.into(),
        r.uid.to_string().into(),
        r.created_at.into(),
        at.into(),
        actor.into(),
        spec.into(),
        landed.into(),
        base.into(),
    ];
    tx.execute(sql::PUT_REVISION, &values).await.map(drop)
}

/// Rows of a list behind a key, in an order.
pub(crate) async fn list<C: Content>(
    tx: &mut Tx,
    order: Order,
    after: Option<(i64, String)>,
    limit: usize,
) -> Result<Vec<Resource<C>>, StoreError> {
    let (number, name) = after.unwrap_or_else(|| order.start());
    let limit = Value::Int(i64::try_from(limit).unwrap_or(i64::MAX));
    let values = [C::Name::COLLECTION.into(), number.into(), name.into(), limit];
    let rows = tx.fetch_all(order.sql(), &values).await?;
    rows.iter().map(row::resource).collect()
}

/// Revisions of a name before `before`, newest first.
pub(crate) async fn revisions<C: Content>(
    tx: &mut Tx,
    name: &C::Name,
    before: Revision,
    size: PageSize,
) -> Result<Vec<RevisionRecord<C>>, StoreError> {
    let limit = i64::try_from(size.get() + 1).unwrap_or(i64::MAX);
    let rows = tx.fetch_all(sql::REVISIONS, &[name.as_str().into(), before.into(), limit.into()]).await?;
    rows.iter().map(row::revision).collect()
}

/// What a name was at a revision of the configuration.
pub(crate) async fn live_at<C: Content>(
    tx: &mut Tx,
    name: &C::Name,
    at: Revision,
) -> Result<Option<RevisionRecord<C>>, StoreError> {
    let row = tx.fetch_opt(sql::LANDED_AT, &[name.as_str().into(), at.into()]).await?;
    row.as_ref().map(row::revision).transpose()
}

/// A revision of a name, a draft too.
pub(crate) async fn revision<C: Content>(
    tx: &mut Tx,
    name: &C::Name,
    which: Revision,
) -> Result<Option<RevisionRecord<C>>, StoreError> {
    let row = tx.fetch_opt(sql::REVISION, &[name.as_str().into(), which.into()]).await?;
    row.as_ref().map(row::revision).transpose()
}

/// The live revision of a name; `None`: there is no such resource.
pub(crate) async fn live(tx: &mut Tx, name: &str) -> Result<Option<Revision>, StoreError> {
    let row = tx.fetch_opt(sql::LIVE, &[name.into()]).await?;
    row.map(|row| Ok(Revision(row.int("revision")?))).transpose()
}

/// The live revision that a draft was made from; `None`: it is no draft, or nobody knows.
pub(crate) async fn base(tx: &mut Tx, name: &str, draft: Revision) -> Result<Option<Revision>, StoreError> {
    let row = tx.fetch_opt(sql::BASE, &[name.into(), draft.into()]).await?;
    Ok(row.map(|row| row.opt_int("base")).transpose()?.flatten().map(Revision))
}

/// Drafts made from a live revision are as good as made from the one behind it.
pub(crate) async fn rebase(tx: &mut Tx, name: &str, from: Revision, to: Revision) -> Result<(), StoreError> {
    tx.execute(sql::REBASE, &[name.into(), from.into(), to.into()]).await.map(drop)
}

/// What somebody wrote as a revision.
pub(crate) struct Written {
    /// The identity of the resource.
    pub(crate) uid: String,
    /// The content as JSON.
    pub(crate) spec: String,
    pub(crate) actor: String,
}

/// A revision of a resource that is still there, a draft too.
pub(crate) async fn written(
    tx: &mut Tx,
    name: &str,
    revision: Revision,
) -> Result<Option<Written>, StoreError> {
    let row = tx.fetch_opt(sql::WRITTEN, &[name.into(), revision.into()]).await?;
    let written = |row: hotswap_store::Row| {
        Ok(Written { uid: row.text("uid")?, spec: row.text("spec")?, actor: row.text("actor")? })
    };
    row.map(written).transpose()
}

/// Every resource, and the revision they are at.
pub(crate) async fn everything(tx: &mut Tx) -> Result<(Revision, Vec<AnyResource>), StoreError> {
    let revision = tx.revision(SCOPE).await?;
    let rows = tx.fetch_all(sql::EVERYTHING, &[]).await?;
    Ok((revision, rows.iter().map(row::any).collect::<Result<_, _>>()?))
}

/// The names touched behind a revision, and each resource that is still there.
pub(crate) async fn changes_after(
    tx: &mut Tx,
    after: Revision,
) -> Result<(Changes, Vec<AnyResource>), StoreError> {
    let changes = tx.changes_after(SCOPE, after).await?;
    let mut resources = Vec::new();
    for name in &changes.names {
        if let Some(row) = tx.fetch_opt(sql::GET, &[name.as_str().into()]).await? {
            resources.push(row::any(&row)?);
        }
    }
    Ok((changes, resources))
}

/// An entry of the change log.
pub(crate) struct Logged {
    pub(crate) revision: i64,
    /// What it touched.
    pub(crate) name: String,
    /// The trace of the write, as a W3C traceparent, where it was recorded.
    pub(crate) trace_context: Option<String>,
}

/// What was logged behind `after`, oldest first.
pub(crate) async fn log_after(tx: &mut Tx, after: Revision) -> Result<Vec<Logged>, StoreError> {
    let rows = tx.fetch_all(sql::LOG_AFTER, &[SCOPE.into(), after.into()]).await?;
    let logged = rows.iter().map(|r| {
        let (revision, name) = (r.int("revision")?, r.text("name")?);
        Ok(Logged { revision, name, trace_context: r.opt_text("trace_context")? })
    });
    logged.collect()
}
