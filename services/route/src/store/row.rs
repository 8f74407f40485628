//! Rows to domain types. A row that no version of this program writes is an error that names it.

use hotswap_core::{ResourceName as _, Revision, Timestamp};
use hotswap_store::{Row, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{AnyContent, AnyResource, Candidate, Content, Resource, RevisionRecord};

const RESOURCES: &str = "gateway_resources";
const REVISIONS: &str = "gateway_revisions";

pub(super) fn spec<C: Serialize>(content: &C) -> Result<String, StoreError> {
    serde_json::to_string(content).map_err(|_| StoreError::inconsistent(RESOURCES, "spec", "(to be written)"))
}

/// What is cached of a resource.
#[derive(Serialize, Deserialize)]
struct Record<C> {
    uid: Uuid,
    revision: i64,
    version: i64,
    created_at: i64,
    updated_at: i64,
    content: C,
    candidate: Option<Candidate<C>>,
}

pub(super) fn to_record<C: Content>(r: &Resource<C>) -> Result<Vec<u8>, StoreError> {
    let record = Record {
        uid: r.uid,
        revision: r.revision.0,
        version: r.version.0,
        created_at: r.created_at.0,
        updated_at: r.updated_at.0,
        content: r.content.clone(),
        candidate: r.candidate.clone(),
    };
    serde_json::to_vec(&record).map_err(|_| StoreError::inconsistent(RESOURCES, "spec", "(to be cached)"))
}

pub(super) fn from_record<C: Content>(name: &C::Name, bytes: &[u8]) -> Result<Resource<C>, StoreError> {
    let damaged = |_| StoreError::inconsistent("(cache)", "record", name.as_str());
    let record: Record<C> = serde_json::from_slice(bytes).map_err(damaged)?;
    Ok(Resource {
        name: name.clone(),
        uid: record.uid,
        revision: Revision(record.revision),
        live: Revision(record.revision),
        version: Revision(record.version),
        created_at: Timestamp(record.created_at),
        updated_at: Timestamp(record.updated_at),
        content: record.content,
        candidate: record.candidate,
    })
}

pub(super) fn resource<C: Content>(row: &Row) -> Result<Resource<C>, StoreError> {
    let name = row.text("name")?;
    Ok(Resource {
        uid: uid(RESOURCES, row, &name)?,
        revision: Revision(row.int("revision")?),
        live: Revision(row.int("revision")?),
        version: Revision(row.int("version")?),
        created_at: Timestamp(row.int("created_at")?),
        updated_at: Timestamp(row.int("updated_at")?),
        content: content(RESOURCES, "spec", &row.text("spec")?, &name)?,
        candidate: candidate(row, &name)?,
        name: C::Name::parse(&name).map_err(|_| StoreError::inconsistent(RESOURCES, "name", &name))?,
    })
}

pub(super) fn revision<C: Content>(row: &Row) -> Result<RevisionRecord<C>, StoreError> {
    let name = row.text("name")?;
    let revision = Revision(row.int("revision")?);
    let written_at = Timestamp(row.int("written_at")?);
    let landed = row.opt_int("landed")?.map(Revision);
    let parsed = C::Name::parse(&name).map_err(|_| StoreError::inconsistent(REVISIONS, "name", &name))?;
    let resource = match row.opt_text("spec")? {
        None => None,
        Some(text) => Some(Resource {
            uid: uid(REVISIONS, row, &name)?,
            revision,
            // A draft shows that it never was live.
            live: landed.map_or(Revision::ZERO, |_| revision),
            version: landed.unwrap_or_default(),
            created_at: Timestamp(row.int("created_at")?),
            updated_at: written_at,
            content: content(REVISIONS, "spec", &text, &name)?,
            candidate: None,
            name: parsed,
        }),
    };
    Ok(RevisionRecord { revision, resource, landed, written_at, actor: row.text("actor")? })
}

pub(super) fn any(row: &Row) -> Result<AnyResource, StoreError> {
    let name = row.text("name")?;
    let spec = row.text("spec")?;
    let version = Revision(row.int("version")?);
    let (content, candidate) = match row.text("collection")?.as_str() {
        "routes" => (
            AnyContent::Route(Box::new(content(RESOURCES, "spec", &spec, &name)?)),
            candidate(row, &name)?.map(|c| c.map(|route| AnyContent::Route(Box::new(route)))),
        ),
        "pools" => (
            AnyContent::Pool(Box::new(content(RESOURCES, "spec", &spec, &name)?)),
            candidate(row, &name)?.map(|c| c.map(|pool| AnyContent::Pool(Box::new(pool)))),
        ),
        "certificates" => {
            (AnyContent::Certificate(Box::new(content(RESOURCES, "spec", &spec, &name)?)), None)
        }
        _ => return Err(StoreError::inconsistent(RESOURCES, "collection", name)),
    };
    let uid = row.text("uid")?;
    Ok(AnyResource { version, content, candidate, uid, name })
}

fn uid(table: &'static str, row: &Row, name: &str) -> Result<Uuid, StoreError> {
    row.text("uid")?.parse().map_err(|_| StoreError::inconsistent(table, "uid", name))
}

fn candidate<C: DeserializeOwned>(row: &Row, name: &str) -> Result<Option<Candidate<C>>, StoreError> {
    let text = row.opt_text("candidate")?;
    text.map(|text| content(RESOURCES, "candidate", &text, name)).transpose()
}

fn content<T: DeserializeOwned>(
    table: &'static str,
    column: &'static str,
    text: &str,
    name: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::inconsistent(table, column, name))
}
