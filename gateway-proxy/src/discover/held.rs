//! What the gateway has of the configuration, and how snapshots and deltas change it. No I/O.
//!
//! Two digests are kept. One is of all that the stream has said: it must agree with the control plane's, or
//! something was lost. The other is of what is applied: it lacks a resource that was refused, which stays at
//! the version last accepted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::gateway::v1::{Delta, Resource, ResourceError, ResumeToken, SnapshotChunk};
use hotswap_core::{PoolName, ResourceName, RouteName, SetDigest, Violations};
use hotswap_matcher::{PoolSpec, RouteSpec};
use hotswap_route_wire::{Unfit, pool_from_wire, route_from_wire};

use crate::config::{Catalog, Compiled};

/// The configuration as the stream has brought it.
#[derive(Debug, Default)]
pub struct Held {
    catalog: Catalog,
    pieces: HashMap<String, Piece>,
    said: SetDigest,
    applied: SetDigest,
    place: Option<ResumeToken>,
    coming: Option<Coming>,
}

/// A resource: the version that the stream brought last, and the one that is applied.
#[derive(Clone, Copy, Debug)]
struct Piece {
    said: i64,
    applied: Option<i64>,
}

/// A snapshot that is not whole yet.
#[derive(Debug)]
struct Coming {
    at: ResumeToken,
    resources: Vec<Resource>,
}

/// A message that was applied.
#[derive(Debug)]
pub struct Applied {
    /// What to serve from now on.
    pub compiled: Compiled,
    /// Where it stands.
    pub at: ResumeToken,
    /// Resources that were left out, each with what is wrong with it.
    pub refused: Vec<ResourceError>,
}

/// Why a message was not applied at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It starts from a place that the gateway is not at.
    #[error("it does not start where the gateway stands")]
    Place,
    /// The result would not be what the control plane has.
    #[error("the digest differs")]
    Digest,
    /// It deletes more than half of what there is, and does not say that it may.
    #[error("it deletes more than half, without leave to")]
    MassDelete,
    /// A part that the contract requires is not there.
    #[error("a required part is missing")]
    Malformed,
}

impl Misfit {
    /// The stable reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Place => "PLACE_MISMATCH",
            Self::Digest => "DIGEST_MISMATCH",
            Self::MassDelete => "MASS_DELETE",
            Self::Malformed => "MALFORMED",
        }
    }
}

enum Content {
    Route(RouteName, Arc<RouteSpec>),
    Pool(PoolName, PoolSpec),
}

impl Held {
    /// Where it stands; `None`: nowhere yet.
    pub fn place(&self) -> Option<&ResumeToken> {
        self.place.as_ref()
    }

    /// The digest of what is applied.
    pub fn digest(&self) -> SetDigest {
        self.applied
    }

    /// Keeps serving what there is, but asks for a snapshot next time.
    pub fn forget_place(&mut self) {
        self.place = None;
        self.coming = None;
    }

    /// A new stream begins, or a snapshot is announced: parts of an older one are void.
    pub fn begin(&mut self) {
        self.coming = None;
    }

    /// Takes a part of a snapshot; `None`: more must come.
    ///
    /// # Errors
    /// Where it can't be applied; what there was stays.
    pub fn snapshot(&mut self, chunk: SnapshotChunk) -> Result<Option<Applied>, Misfit> {
        let at = chunk.at.ok_or(Misfit::Malformed)?;
        let mut coming = match self.coming.take() {
            Some(coming) if coming.at == at => coming,
            _ => Coming { at, resources: Vec::new() },
        };
        coming.resources.extend(chunk.resources);
        if !chunk.last {
            self.coming = Some(coming);
            return Ok(None);
        }
        let mut said = SetDigest::default();
        let mut names = HashSet::new();
        for resource in &coming.resources {
            if !names.insert(resource.name.as_str()) {
                return Err(Misfit::Malformed);
            }
            said.insert(&resource.name, resource.version);
        }
        if said.to_bytes() != *chunk.digest {
            return Err(Misfit::Digest);
        }
        let gone: Vec<String> = self.pieces.keys().filter(|n| !names.contains(n.as_str())).cloned().collect();
        drop(names);
        Ok(Some(self.change(coming.resources, &gone, coming.at)))
    }

    /// Takes a delta.
    ///
    /// # Errors
    /// Where it can't be applied; what there was stays.
    pub fn delta(&mut self, delta: Delta) -> Result<Applied, Misfit> {
        let to = delta.to.ok_or(Misfit::Malformed)?;
        let here = self.place.as_ref().ok_or(Misfit::Place)?;
        if here.store_id != to.store_id || here.revision != delta.from || to.revision < delta.from {
            return Err(Misfit::Place);
        }
        let gone: Vec<String> = delta.removes;
        let known = gone.iter().filter(|n| self.pieces.contains_key(n.as_str())).count();
        if !delta.allow_mass_delete && known * 2 > self.pieces.len() {
            return Err(Misfit::MassDelete);
        }
        if self.said_after(&delta.upserts, &gone)?.to_bytes() != *delta.digest {
            return Err(Misfit::Digest);
        }
        Ok(self.change(delta.upserts, &gone, to))
    }

    /// Takes a bookmark: the place moves if nothing is missing.
    ///
    /// # Errors
    /// Where the control plane has something else there.
    pub fn bookmark(&mut self, at: Option<ResumeToken>, digest: &[u8]) -> Result<(), Misfit> {
        let at = at.ok_or(Misfit::Malformed)?;
        let here = self.place.as_ref().ok_or(Misfit::Place)?;
        if here.store_id != at.store_id || at.revision < here.revision {
            return Err(Misfit::Place);
        }
        if self.said.to_bytes() != *digest {
            return Err(Misfit::Digest);
        }
        self.place = Some(at);
        Ok(())
    }

    /// The digest of what the stream will have said.
    fn said_after(&self, upserts: &[Resource], gone: &[String]) -> Result<SetDigest, Misfit> {
        let mut said = self.said;
        let mut touched = HashSet::new();
        for name in upserts.iter().map(|r| r.name.as_str()).chain(gone.iter().map(String::as_str)) {
            if !touched.insert(name) {
                return Err(Misfit::Malformed);
            }
            if let Some(piece) = self.pieces.get(name) {
                said.remove(name, piece.said);
            }
        }
        upserts.iter().for_each(|r| said.insert(&r.name, r.version));
        Ok(said)
    }

    fn change(&mut self, upserts: Vec<Resource>, gone: &[String], at: ResumeToken) -> Applied {
        let mut refused = Vec::new();
        for name in gone {
            self.remove(name);
        }
        for resource in upserts {
            if let Err(errors) = self.put(&resource) {
                refused.extend(errors);
            }
        }
        self.place = Some(at.clone());
        Applied { compiled: self.catalog.compile(at.revision), at, refused }
    }

    fn remove(&mut self, name: &str) {
        let Some(piece) = self.pieces.remove(name) else { return };
        self.said.remove(name, piece.said);
        if let Some(version) = piece.applied {
            self.applied.remove(name, version);
        }
        if let Ok(route) = RouteName::parse(name) {
            self.catalog.remove_route(&route);
        } else if let Ok(pool) = PoolName::parse(name) {
            self.catalog.remove_pool(&pool);
        }
    }

    fn put(&mut self, resource: &Resource) -> Result<(), Vec<ResourceError>> {
        let (name, version) = (resource.name.as_str(), resource.version);
        let before = self.pieces.get(name).copied();
        if let Some(piece) = before {
            self.said.remove(name, piece.said);
        }
        self.said.insert(name, version);
        let mut piece = Piece { said: version, applied: before.and_then(|p| p.applied) };
        let content = parse(resource);
        if let Ok(content) = &content {
            if let Some(old) = piece.applied.replace(version) {
                self.applied.remove(name, old);
            }
            self.applied.insert(name, version);
            match content {
                Content::Route(name, spec) => self.catalog.put_route(name, Arc::clone(spec)),
                Content::Pool(name, spec) => self.catalog.put_pool(name, spec),
            }
        }
        self.pieces.insert(name.to_owned(), piece);
        content.map(drop)
    }
}

fn parse(resource: &Resource) -> Result<Content, Vec<ResourceError>> {
    let error = |field: &str, reason: &str, message: String| ResourceError {
        name: resource.name.clone(),
        version: resource.version,
        field: field.to_owned(),
        reason: reason.to_owned(),
        message,
    };
    let invalid = |violations: Violations| -> Vec<ResourceError> {
        violations.iter().map(|v| error(&v.field, "INVALID_INPUT", v.message.clone())).collect()
    };
    let unfit = |unfit: Unfit| match unfit {
        Unfit::Invalid(violations) => invalid(violations),
        Unfit::NotBuilt(n) => {
            vec![error(&n.field, "FEATURE_NOT_BUILT", format!("{} are not built yet", n.what))]
        }
    };
    let misnamed = |e: hotswap_core::InvalidName| vec![error("name", "INVALID_INPUT", e.to_string())];
    match &resource.spec {
        Some(Spec::Route(route)) => {
            let name = RouteName::parse(&resource.name).map_err(misnamed)?;
            let draft = route_from_wire(route).map_err(unfit)?;
            Ok(Content::Route(name, Arc::new(RouteSpec::parse(&draft).map_err(invalid)?)))
        }
        Some(Spec::Pool(pool)) => {
            let name = PoolName::parse(&resource.name).map_err(misnamed)?;
            let draft = pool_from_wire(pool).map_err(unfit)?;
            Ok(Content::Pool(name, PoolSpec::parse(&draft).map_err(invalid)?))
        }
        None => Err(vec![error("spec", "FEATURE_NOT_BUILT", "this build does not know the kind".into())]),
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
