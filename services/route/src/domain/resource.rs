//! Resources and their history.

use hotswap_core::{Etag, ResourceName as _, Revision, Timestamp};
use uuid::Uuid;

use super::{AnyContent, Content};

/// A route or pool as it is, or as a revision left it.
#[derive(Clone)]
pub struct Resource<C: Content> {
    /// Its name.
    pub name: C::Name,
    /// Its identity; made again after a deletion it has another.
    pub uid: Uuid,
    /// The revision that wrote this content; 0: none yet (a validated, unwritten one).
    pub revision: Revision,
    /// When it was created.
    pub created_at: Timestamp,
    /// When this content was written.
    pub updated_at: Timestamp,
    /// Its content.
    pub content: C,
}

impl<C: Content> Resource<C> {
    /// Its etag.
    pub fn etag(&self) -> Etag {
        Etag::of(self.uid, self.revision)
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
    /// When it was written.
    pub written_at: Timestamp,
    /// Who wrote it.
    pub actor: String,
}

/// A resource of either kind, as the watch sends it.
#[derive(Clone, Debug, PartialEq)]
pub struct AnyResource {
    /// The full name.
    pub name: String,
    /// The revision that wrote its content.
    pub revision: Revision,
    /// The content.
    pub content: AnyContent,
}
