//! Revisions, etags and the identity of a store.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A place in the history of a scope (the gateway configuration; a tenant's environment). The first commit
/// makes 1; each further commit makes the next number, without gaps, in the order of the commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(pub i64);

impl Revision {
    /// Before the first commit.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Guards a write against a lost update (AIP-154): it changes with every write of its resource, and a
/// resource that was deleted and made again has another. Opaque to callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etag(String);

impl Etag {
    /// The etag of the resource `uid` as `revision` left it.
    pub fn of(uid: Uuid, revision: Revision) -> Self {
        let (_, low) = uid.as_u64_pair();
        Self(format!("{:x}-{:x}", low & 0xffff_ffff, revision.0))
    }

    /// Whether the caller's etag is this one; an empty one asks for no guard.
    pub fn admits(&self, given: &str) -> bool {
        given.is_empty() || given == self.0
    }

    /// The text that goes over the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The identity of a store. A restored backup gets a new one, so that no token of its former life fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoreId(pub Uuid);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_admits_itself_and_nothing_asked_and_no_other() {
        let etag = Etag::of(Uuid::from_u128(7), Revision(3));
        assert!(etag.admits(etag.as_str()));
        assert!(etag.admits(""));
        assert!(!etag.admits(Etag::of(Uuid::from_u128(7), Revision(4)).as_str()));
        assert!(!etag.admits(Etag::of(Uuid::from_u128(8), Revision(3)).as_str()));
    }
}
