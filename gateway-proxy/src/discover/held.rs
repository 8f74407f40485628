//! What the gateway has of the configuration, and how snapshots and deltas change it. No I/O.
//!
//! Two digests are kept. One is of all that the stream has said: it must agree with the control plane's, or
//! something was lost. The other is of what is applied: it lacks a resource that was refused, which stays at
//! the version last accepted.

use std::collections::{HashMap, HashSet};

use hotswap_api::gateway::v1::{Delta, Resource, ResourceError, ResumeToken, SnapshotChunk};
use hotswap_core::{CertificateName, PoolName, RefusalReason, ResourceName, RouteName, SetDigest};

use super::parse::{Content, parse};
use crate::config::{Catalog, Compiled};
use crate::keys::KeyRing;
use crate::state::{Change, Secrets};

/// A message that deletes fewer needs no leave to, whatever their share.
const FEW: usize = 10;

/// The configuration as the stream has brought it.
#[derive(Debug, Default)]
pub struct Held {
    catalog: Catalog,
    pieces: HashMap<String, Piece>,
    said: SetDigest,
    applied: SetDigest,
    place: Option<ResumeToken>,
    coming: Option<Coming>,
    /// Where the message led that was refused last because it deletes too much.
    spared: Option<ResumeToken>,
    /// How private keys are kept on disk.
    secrets: Secrets,
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
    /// Resources that were left out, each with what is wrong with it.
    pub refused: Vec<ResourceError>,
    /// What is to be kept on disk of it, and where it stands.
    pub change: Change,
}

/// What was on disk.
#[derive(Debug)]
pub struct Restored {
    /// What to serve.
    pub compiled: Compiled,
    /// Resources that this build does not take; one of before did.
    pub refused: Vec<ResourceError>,
}

/// What a bookmark means.
#[derive(Debug, PartialEq)]
pub enum Sign {
    /// Nothing is missing, and the place is the same.
    Here,
    /// Nothing is missing, and the place has moved.
    Moved(Change),
    /// It is about a message that was refused because it deletes too much.
    Spared,
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
            Self::Place => RefusalReason::PlaceMismatch.name(),
            Self::Digest => RefusalReason::DigestMismatch.name(),
            Self::MassDelete => RefusalReason::MassDelete.name(),
            Self::Malformed => RefusalReason::Malformed.name(),
        }
    }
}

impl Held {
    /// What is to be kept of it on disk has its private keys as `secrets` says.
    pub fn seal_with(&mut self, secrets: Secrets) {
        self.secrets = secrets;
    }

    /// The key sets that its routes fetch.
    pub fn keys(&self) -> &KeyRing {
        self.catalog.keys()
    }

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

    /// Begins with what was kept on disk: each resource at the version last accepted.
    ///
    /// `resumable` says that nothing stood refused when it was written. Else what was said differs from what
    /// was accepted, and only the latter is on disk: the gateway then has no place, and gets a snapshot. That
    /// is more than thrift would ask for, but it also gives a newer build the resources that this one's
    /// predecessor refused. So it is, too, where this build refuses what its predecessor took.
    pub fn restore(
        &mut self,
        resources: impl Iterator<Item = Resource>,
        at: ResumeToken,
        resumable: bool,
    ) -> Restored {
        let mut refused = Vec::new();
        for resource in resources {
            if let Err(errors) = self.put(&resource) {
                refused.extend(errors);
            }
        }
        let compiled = self.catalog.compile(at.revision).with_digest(self.applied);
        self.place = (resumable && refused.is_empty()).then_some(at);
        Restored { compiled, refused }
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
        let Coming { at, resources } = coming;
        let mut said = SetDigest::default();
        let mut names = HashSet::new();
        for resource in &resources {
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
        self.spare(gone.len(), chunk.allow_mass_delete, &at)?;
        Ok(Some(self.change(resources, gone, at, true)))
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
        if self.said_after(&delta.upserts, &gone)?.to_bytes() != *delta.digest {
            return Err(Misfit::Digest);
        }
        let known = gone.iter().filter(|n| self.pieces.contains_key(n.as_str())).count();
        self.spare(known, delta.allow_mass_delete, &to)?;
        Ok(self.change(delta.upserts, gone, to, false))
    }

    /// Takes a bookmark: the place moves if nothing is missing.
    ///
    /// # Errors
    /// Where the control plane has something else there.
    pub fn bookmark(&mut self, at: Option<ResumeToken>, digest: &[u8]) -> Result<Sign, Misfit> {
        let at = at.ok_or(Misfit::Malformed)?;
        if self.spared.as_ref() == Some(&at) {
            return Ok(Sign::Spared);
        }
        let here = self.place.as_ref().ok_or(Misfit::Place)?;
        if here.store_id != at.store_id || at.revision < here.revision {
            return Err(Misfit::Place);
        }
        if self.said.to_bytes() != *digest {
            return Err(Misfit::Digest);
        }
        if *here == at {
            return Ok(Sign::Here);
        }
        let mut change = Change::to(at.clone());
        change.resumable = self.is_all_applied();
        self.place = Some(at);
        Ok(Sign::Moved(change))
    }

    /// Refuses what deletes more than half, and not just a few, without leave: a control plane on a wrong or
    /// empty store must not empty its proxies.
    fn spare(&mut self, gone: usize, leave: bool, at: &ResumeToken) -> Result<(), Misfit> {
        if !leave && gone >= FEW && gone * 2 > self.pieces.len() {
            self.spared = Some(at.clone());
            return Err(Misfit::MassDelete);
        }
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

    fn change(&mut self, upserts: Vec<Resource>, gone: Vec<String>, at: ResumeToken, whole: bool) -> Applied {
        let (mut change, mut refused) = (Change::to(at.clone()), Vec::new());
        change.whole = whole;
        for name in gone {
            self.remove(&name);
            change.remove(name);
        }
        for resource in upserts {
            match self.put(&resource) {
                Ok(()) => change.put(&self.secrets.sealed(&resource)),
                Err(errors) => refused.extend(errors),
            }
        }
        change.resumable = self.is_all_applied();
        let compiled = self.catalog.compile(at.revision).with_digest(self.applied);
        self.place = Some(at);
        self.spared = None;
        Applied { compiled, refused, change }
    }

    /// Whether nothing that was said stands refused.
    fn is_all_applied(&self) -> bool {
        self.said == self.applied
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
        } else if let Ok(certificate) = CertificateName::parse(name) {
            self.catalog.remove_certificate(&certificate);
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
        let refused = content.as_ref().err().cloned();
        if let Ok(content) = content {
            if let Some(old) = piece.applied.replace(version) {
                self.applied.remove(name, old);
            }
            self.applied.insert(name, version);
            match content {
                Content::Route(name, spec, beside) => {
                    self.catalog.put_route_with(&name, spec, beside.map(|beside| *beside));
                }
                Content::Pool(name, spec, beside) => {
                    let beside = beside.map(|beside| *beside);
                    let beside = beside.as_ref().map(|(spec, who)| (spec, who.clone()));
                    self.catalog.put_pool_with(&name, &spec, beside);
                }
                Content::Certificate(name, spec) => self.catalog.put_certificate(name, *spec),
            }
        }
        self.pieces.insert(name.to_owned(), piece);
        refused.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
