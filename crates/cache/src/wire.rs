//! What nodes tell each other, and how things are named in Redis.

use std::borrow::Cow;

use hotswap_core::Revision;
use serde::{Deserialize, Serialize};

use crate::memory::KeyRef;
use crate::{Change, Names};

/// A message between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    Changed(Change),
    Forget(String),
}

/// The same as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Json<'a> {
    scope: Cow<'a, str>,
    /// Absent: all of the scope is to be forgotten.
    revision: Option<i64>,
    /// Absent: every name.
    names: Option<Cow<'a, [String]>>,
}

impl Hint {
    /// The message for a change. It fails for nothing that a change can hold; an empty one tells nobody anything.
    pub(crate) fn changed(change: &Change) -> String {
        let names = match &change.names {
            Names::Some(names) => Some(Cow::Borrowed(names.as_slice())),
            Names::All => None,
        };
        let revision = Some(change.revision.0);
        serde_json::to_string(&Json { scope: change.scope.as_str().into(), revision, names })
            .unwrap_or_default()
    }

    /// The message that a scope is to be forgotten.
    pub(crate) fn forget(scope: &str) -> String {
        serde_json::to_string(&Json { scope: scope.into(), revision: None, names: None }).unwrap_or_default()
    }

    /// Reads a message; one that is not understood is lost, which is allowed.
    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        let json: Json<'_> = serde_json::from_slice(message).ok()?;
        let scope = json.scope.into_owned();
        let Some(revision) = json.revision else { return Some(Self::Forget(scope)) };
        let names = json.names.map_or(Names::All, |names| Names::Some(names.into_owned()));
        Some(Self::Changed(Change { scope, revision: Revision(revision), names }))
    }
}

/// The names of keys and of the channel under a namespace.
#[derive(Debug)]
pub(crate) struct Naming {
    namespace: String,
}

impl Naming {
    pub(crate) fn new(namespace: String) -> Self {
        Self { namespace }
    }

    /// The braces keep a scope and its names in one slot of a cluster; the length keeps scopes apart whatever they
    /// hold.
    pub(crate) fn scope(&self, scope: &str) -> String {
        format!("{}:{}:{{{scope}}}", self.namespace, scope.len())
    }

    pub(crate) fn name(&self, key: KeyRef<'_>) -> String {
        format!("{}:{}", self.scope(key.scope), key.name)
    }

    pub(crate) fn channel(&self) -> String {
        format!("{}:changes", self.namespace)
    }
}

/// A revision as it stands in Redis: later ones are later as text too.
pub(crate) fn digits(revision: Revision) -> String {
    format!("{:019}", revision.0.max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_meant() {
        let change = |names| Change { scope: "a".into(), revision: Revision(7), names };
        for change in [change(Names::All), change(Names::Some(vec!["x".into(), "\"".into()]))] {
            let message = Hint::changed(&change);
            assert_eq!(Hint::read(message.as_bytes()), Some(Hint::Changed(change)));
        }
        assert_eq!(Hint::read(Hint::forget("a").as_bytes()), Some(Hint::Forget("a".into())));
        assert_eq!(Hint::read(b"?"), None);
    }

    #[test]
    fn no_two_names_share_a_key() {
        let naming = Naming::new("h".into());
        let key = |scope, name| naming.name(KeyRef { scope, name });
        assert_ne!(key("a", "b}:x"), key("a}:b", "x"));
        assert_ne!(naming.scope("a"), key("", "{a}"));
    }

    #[test]
    fn a_later_revision_is_later_as_text() {
        let texts = [0, 9, 10, 1_000_000, i64::MAX].map(|n| digits(Revision(n)));
        assert!(texts.is_sorted() && texts.iter().all(|t| t.len() == 19));
    }
}
