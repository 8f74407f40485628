//! What is kept, in memory: every resource in the form in which it is written, which is a fraction of what it
//! takes decoded.

use std::collections::HashMap;

use hotswap_api::gateway::v1::{Resource, ResumeToken};
use hotswap_core::SetDigest;
use prost::Message as _;

/// A configuration as it is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) at: ResumeToken,
    /// Whether the stream can go on from there.
    pub(super) resumable: bool,
    resources: HashMap<Box<str>, Kept>,
    digest: SetDigest,
}

/// What leads from one configuration to another: of each name the last, so that any number of changes is no
/// larger than the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Where it leads.
    pub at: ResumeToken,
    /// Whether a gateway that starts with this can go on from there: nothing stands refused.
    pub resumable: bool,
    /// A snapshot is in it: time for a checkpoint.
    pub whole: bool,
    /// `None`: it is gone.
    pub(super) names: HashMap<Box<str>, Option<Kept>>,
}

/// A resource.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    version: i64,
    encoded: Box<[u8]>,
}

impl Image {
    /// Nothing, at a place.
    pub(super) fn new(at: ResumeToken, resumable: bool) -> Self {
        Self { at, resumable, ..Self::default() }
    }

    pub(super) fn digest(&self) -> SetDigest {
        self.digest
    }

    pub(super) fn len(&self) -> usize {
        self.resources.len()
    }

    /// Each resource, encoded. The order is the same while nothing changes.
    pub(super) fn encoded(&self) -> impl Iterator<Item = &[u8]> {
        self.resources.values().map(|kept| &*kept.encoded)
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = Resource> {
        // They were encoded here, or decoded when they were read.
        self.encoded().filter_map(|bytes| Resource::decode(bytes).ok())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.resources.contains_key(name)
    }

    pub(super) fn put(&mut self, name: Box<str>, kept: Kept) {
        self.digest.insert(&name, kept.version);
        if let Some(old) = self.resources.get(&name) {
            self.digest.remove(&name, old.version);
        }
        self.resources.insert(name, kept);
    }

    /// The digest that a change leads to.
    pub(super) fn digest_after(&self, change: &Change) -> SetDigest {
        let mut digest = self.digest;
        for (name, kept) in &change.names {
            if let Some(old) = self.resources.get(name) {
                digest.remove(name, old.version);
            }
            if let Some(kept) = kept {
                digest.insert(name, kept.version);
            }
        }
        digest
    }

    pub(super) fn apply(&mut self, change: Change) {
        for (name, kept) in change.names {
            match kept {
                Some(kept) => self.put(name, kept),
                None => {
                    if let Some(old) = self.resources.remove(&name) {
                        self.digest.remove(&name, old.version);
                    }
                }
            }
        }
        self.at = change.at;
        self.resumable = change.resumable;
    }
}

impl Change {
    /// Nothing but another place.
    pub fn to(at: ResumeToken) -> Self {
        Self { at, resumable: true, ..Self::default() }
    }

    /// A resource was accepted.
    pub fn put(&mut self, resource: &Resource) {
        let kept = Kept::new(resource.version, resource.encode_to_vec().into());
        self.names.insert(resource.name.as_str().into(), Some(kept));
    }

    /// A resource is gone.
    pub fn remove(&mut self, name: String) {
        self.names.insert(name.into(), None);
    }

    /// Goes on with a later one.
    pub(super) fn then(&mut self, later: Self) {
        self.at = later.at;
        self.resumable = later.resumable;
        self.whole |= later.whole;
        self.names.extend(later.names);
    }

    pub(super) fn removes(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter(|(_, kept)| kept.is_none()).map(|(name, _)| &**name)
    }

    /// Each resource that is put in, encoded.
    pub(super) fn encoded(&self) -> impl Iterator<Item = &[u8]> {
        self.names.values().flatten().map(|kept| &*kept.encoded)
    }
}

impl Kept {
    pub(super) fn new(version: i64, encoded: Box<[u8]>) -> Self {
        Self { version, encoded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(revision: i64, upserts: &[(&str, i64)], removes: &[&str]) -> Change {
        let mut change = Change::to(ResumeToken { store_id: "s".into(), revision });
        removes.iter().for_each(|name| change.remove((*name).to_owned()));
        for &(name, version) in upserts {
            change.put(&Resource { name: name.into(), version, spec: None, candidate: None });
        }
        Change { resumable: revision % 2 == 0, whole: revision == 2, ..change }
    }

    #[test]
    fn changes_that_wait_become_one_with_the_last_of_each_name() {
        let mut one = change(1, &[("a", 1), ("b", 1)], &["c"]);
        one.then(change(2, &[("a", 2), ("c", 2)], &["d"]));
        one.then(change(3, &[("d", 3)], &["b"]));
        assert_eq!(one.names.len(), 4, "one entry a name");
        let want = Change { whole: true, ..change(3, &[("a", 2), ("c", 2), ("d", 3)], &["b"]) };
        assert_eq!(one, want);
    }

    #[test]
    fn a_change_leads_where_it_says() {
        let mut image = Image::default();
        for change in [
            change(1, &[("a", 1), ("b", 1)], &["none"]),
            change(2, &[("a", 2)], &["b"]),
            change(3, &[("b", 3)], &["b"]),
        ] {
            let digest = image.digest_after(&change);
            image.apply(change);
            assert_eq!(image.digest(), digest);
        }
        let mut whole = SetDigest::default();
        [("a", 2), ("b", 3)].iter().for_each(|(name, version)| whole.insert(name, *version));
        assert_eq!((image.digest(), image.len()), (whole, 2));
    }
}
