//! What an event holds.

use hotswap_core::{Reason, Revision, Timestamp};
use uuid::Uuid;

use crate::{Chain, Change, Diff, Hash};

/// Longest texts of an event, in bytes; what is longer is cut.
const MAX_NAME: usize = 512;
const MAX_WORD: usize = 128;

/// Who calls, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The subject of the token; "-" where there was no valid one.
    pub actor: String,
    /// The roles of the token.
    pub roles: Vec<String>,
    /// The tenant that the caller acts for; empty: the platform.
    pub tenant: String,
    /// The method's full name, as "hotswap.route.v1.RouteService/CreateRoute".
    pub method: String,
    /// The id of the request in logs and traces.
    pub request_id: Uuid,
    /// From where, as "192.0.2.7"; empty: not known.
    pub source: String,
}

impl Caller {
    /// Who stands in where there is no valid token.
    pub const NOBODY: &'static str = "-";
    /// The program itself, as when retention drops events.
    pub const ITSELF: &'static str = "hotswap";
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The caller may not.
    Denied,
    /// It was refused for another reason, or failed.
    Failed,
}

impl Outcome {
    /// Its word, in the store and in exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }

    /// From its word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Done, Self::Denied, Self::Failed].into_iter().find(|o| o.as_str() == word)
    }
}

/// What is to be recorded. A call that touches several resources makes an entry for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub caller: Caller,
    /// To what: a resource name; empty: not known, as where the call was denied before it was read.
    pub resource: String,
    /// The revision that it made; 0: none.
    pub revision: Revision,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not end well: the reason that the caller was told. Empty where it did.
    pub(crate) reason: &'static str,
    /// What it changed.
    pub diff: Diff,
    /// How many attempts alike this entry stands for; 1, but for those that were counted and not told one by one.
    pub attempts: i64,
}

impl Entry {
    /// Something that was done.
    pub fn done(caller: Caller, resource: impl Into<String>, revision: Revision, diff: Diff) -> Self {
        Self {
            caller,
            resource: resource.into(),
            revision,
            outcome: Outcome::Done,
            reason: "",
            diff,
            attempts: 1,
        }
    }

    /// Something that was not done.
    pub fn refused(caller: Caller, resource: impl Into<String>, outcome: Outcome, reason: Reason) -> Self {
        let done = Self::done(caller, resource, Revision::ZERO, Diff::default());
        Self { outcome, reason: reason.name(), ..done }
    }
}

/// An event: an entry in its place in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its chain.
    pub chain: Chain,
    /// Its place, from 1, without gaps.
    pub sequence: i64,
    /// Its identity.
    pub id: Uuid,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who.
    pub caller: Caller,
    /// To what.
    pub resource: String,
    /// The revision that it made; 0: none.
    pub revision: Revision,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not end well.
    pub reason: String,
    /// Hash of the content before; `None`: there was none.
    pub before: Option<Hash>,
    /// Hash of the content after; `None`: there is none.
    pub after: Option<Hash>,
    /// What differs between the two.
    pub changes: Vec<Change>,
    /// How many attempts it stands for.
    pub attempts: i64,
}

impl Event {
    pub(crate) fn new(chain: Chain, sequence: i64, id: Uuid, at: Timestamp, entry: Entry) -> Self {
        let Entry { caller, resource, revision, outcome, reason, diff, attempts } = entry;
        let roles = caller.roles.iter().map(|role| word(role).replace(',', "")).collect();
        let caller = Caller {
            actor: name(&caller.actor),
            roles,
            tenant: word(&caller.tenant),
            method: name(&caller.method),
            request_id: caller.request_id,
            source: word(&caller.source),
        };
        Self {
            chain,
            sequence,
            id,
            at,
            caller,
            resource: name(&resource),
            revision,
            outcome,
            reason: word(reason),
            before: diff.before,
            after: diff.after,
            changes: diff.changes,
            attempts,
        }
    }
}

/// An event with its links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The event.
    pub event: Event,
    /// The hash of the event before it.
    pub previous: Hash,
    /// Its own hash.
    pub hash: Hash,
}

fn name(text: &str) -> String {
    clean(text, MAX_NAME)
}

fn word(text: &str) -> String {
    clean(text, MAX_WORD)
}

/// At most `limit` bytes, on one line, and nothing that a database or a terminal would not take.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let end = text.floor_char_boundary(limit.min(text.len()));
    text[..end].chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_callers_are_cut_and_cleaned() {
        assert_eq!(clean("a\0b\nc", 10), "a\u{fffd}b\u{fffd}c");
        assert_eq!(clean("äää", 3), "ä");
        assert_eq!(clean("abc", 3), "abc");
        let caller = Caller { actor: "x".repeat(9_999), roles: vec!["a,b\r".into()], ..Caller::default() };
        let entry = Entry::refused(caller, "r".repeat(9_999), Outcome::Denied, Reason::RoleMissing);
        let event = Event::new(Chain::Platform, 1, Uuid::nil(), Timestamp(0), entry);
        assert_eq!((event.caller.actor.len(), event.resource.len()), (MAX_NAME, MAX_NAME));
        assert_eq!(event.caller.roles, ["ab\u{fffd}"]);
    }

    #[test]
    fn outcomes_come_back_from_their_words() {
        for outcome in [Outcome::Done, Outcome::Denied, Outcome::Failed] {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
        }
        assert_eq!(Outcome::parse("Done"), None);
    }
}
