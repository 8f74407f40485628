//! Resources and their history.

use hotswap_core::{Etag, ResourceName as _, Revision, Timestamp};
use uuid::Uuid;

use super::{AnyContent, Candidate, Content};

/// A route, pool or certificate as it is, or as a revision left it.
#[derive(Clone)]
pub struct Resource<C: Content> {
    /// Its name.
    pub name: C::Name,
    /// Its identity; made again after a deletion it has another.
    pub uid: Uuid,
    /// The revision that wrote this content; 0: none yet (a validated, unwritten one).
    pub revision: Revision,
    /// The revision that is live: this one, but for a draft. 0: none is.
    pub live: Revision,
    /// The revision of the last commit that changed anything that proxies see of it.
    pub version: Revision,
    /// When it was created.
    pub created_at: Timestamp,
    /// When this content was written.
    pub updated_at: Timestamp,
    /// Its content.
    pub content: C,
    /// Its other revision, where a rollout has one ready.
    pub candidate: Option<Candidate<C>>,
}

impl<C: Content> Resource<C> {
    /// Its etag: writes are guarded by what is live.
    pub fn etag(&self) -> Etag {
        Etag::of(self.uid, self.live)
    }

    /// The same, live under a revision that wrote its content.
    pub fn landed(self, revision: Revision) -> Self {
        Self { revision, live: revision, version: revision, ..self }
    }

    /// The same resource with other content.
    pub fn revised(&self, content: C, revision: Revision, at: Timestamp) -> Self {
        Self { content, revision, updated_at: at, ..self.clone() }
    }

    /// The full name.
    pub fn full_name(&self) -> &str {
        self.name.as_str()
    }
}

/// A revision of a resource.
#[derive(Clone)]
pub struct RevisionRecord<C: Content> {
    /// The revision.
    pub revision: Revision,
    /// The resource as it left it; `None`: it deleted it.
    pub resource: Option<Resource<C>>,
    /// The revision of the configuration that last made it live; `None`: it never was, it is a draft.
    pub landed: Option<Revision>,
    /// When it was written.
    pub written_at: Timestamp,
    /// Who wrote it.
    pub actor: String,
}

/// A resource of any kind, as the watch sends it.
#[derive(Clone, Debug, PartialEq)]
pub struct AnyResource {
    /// The full name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// The revision of the last commit that changed anything of it.
    pub version: Revision,
    /// The content.
    pub content: AnyContent,
    /// Its other revision.
    pub candidate: Option<Candidate<AnyContent>>,
}
