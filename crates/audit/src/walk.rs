//! Walks along a chain and tells what is wrong with it. Pure: whether the events come from a store or from an
//! export is all the same to it.

use std::fmt;

use crate::merkle::Frontier;
use crate::{Chain, Hash, Sealed, encode};

/// Most faults that are told one by one; a log that was changed at its beginning has one for each event.
const MAX_FAULTS: usize = 100;

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// An event is not as it was written.
    EventAltered,
    /// Events are not there.
    EventMissing,
    /// An event does not follow the one before it.
    ChainBroken,
    /// The newest events are not there.
    LogTruncated,
    /// A checkpoint is damaged, or not signed by a key that is trusted.
    CheckpointInvalid,
    /// The log is not what a checkpoint says.
    CheckpointMismatch,
    /// An anchor is damaged, or not signed by a key that is trusted.
    AnchorInvalid,
    /// The log is not what was anchored.
    AnchorMismatch,
    /// A trigger that guards the log is not there, or is off.
    GuardMissing,
    /// Events were dropped, and no event tells so.
    RetentionUnrecorded,
    /// An export is not as it was made.
    ExportAltered,
}

impl FaultKind {
    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventAltered => "EVENT_ALTERED",
            Self::EventMissing => "EVENT_MISSING",
            Self::ChainBroken => "CHAIN_BROKEN",
            Self::LogTruncated => "LOG_TRUNCATED",
            Self::CheckpointInvalid => "CHECKPOINT_INVALID",
            Self::CheckpointMismatch => "CHECKPOINT_MISMATCH",
            Self::AnchorInvalid => "ANCHOR_INVALID",
            Self::AnchorMismatch => "ANCHOR_MISMATCH",
            Self::GuardMissing => "GUARD_MISSING",
            Self::RetentionUnrecorded => "RETENTION_UNRECORDED",
            Self::ExportAltered => "EXPORT_ALTERED",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The event that it shows at; 0: none in particular.
    pub sequence: i64,
    /// Its kind.
    pub kind: FaultKind,
    /// For people.
    pub message: String,
}

/// What is wrong, the first of it one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    list: Vec<Fault>,
    count: u64,
}

impl Faults {
    pub(crate) fn add(&mut self, sequence: i64, kind: FaultKind, message: impl Into<String>) {
        self.count += 1;
        if self.list.len() < MAX_FAULTS {
            self.list.push(Fault { sequence, kind, message: message.into() });
        }
    }

    pub(crate) fn append(&mut self, other: &mut Self) {
        self.count += other.count - other.list.len() as u64;
        for Fault { sequence, kind, message } in other.list.drain(..) {
            self.add(sequence, kind, message);
        }
        other.count = 0;
    }

    /// The first 100.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A walk.
pub(crate) struct Walk {
    chain: Chain,
    /// The place of the last event.
    at: i64,
    /// The hash of the last event; `None`: not known.
    previous: Option<Hash>,
    /// The tree so far; `None`: an event is missing, and roots can't be known any more.
    tree: Option<Frontier>,
    events: u64,
    pub(crate) faults: Faults,
}

impl Walk {
    /// From the beginning.
    pub(crate) fn new(chain: Chain) -> Self {
        Self::from(chain, 0, Some(Hash::ZERO), Some(Frontier::default()))
    }

    /// From behind an event.
    pub(crate) fn from(chain: Chain, at: i64, previous: Option<Hash>, tree: Option<Frontier>) -> Self {
        Self { chain, at, previous, tree, events: 0, faults: Faults::default() }
    }

    /// The next event.
    pub(crate) fn step(&mut self, sequence: i64, event: Result<&Sealed, &str>) {
        self.arrive(sequence);
        self.events += 1;
        let sealed = match event {
            Ok(sealed) => sealed,
            Err(damage) => {
                self.faults.add(sequence, FaultKind::EventAltered, damage);
                (self.previous, self.tree) = (None, None);
                return;
            }
        };
        if sealed.event.chain != self.chain {
            self.faults.add(sequence, FaultKind::EventAltered, format!("it is of {}", sealed.event.chain));
        }
        if self.previous.is_some_and(|previous| previous != sealed.previous) {
            let message = "it does not name the hash of the event before it";
            self.faults.add(sequence, FaultKind::ChainBroken, message);
        }
        if encode::chained(&sealed.previous, &sealed.event) != sealed.hash {
            let message = "its content does not have its hash";
            self.faults.add(sequence, FaultKind::EventAltered, message);
        }
        self.previous = Some(sealed.hash);
        if let Some(tree) = &mut self.tree {
            tree.push(sealed.hash);
        }
    }

    /// Comes to a place, and tells what is missing before it.
    fn arrive(&mut self, sequence: i64) {
        let expected = self.at.saturating_add(1);
        if sequence != expected {
            let (kind, message) = if sequence > expected {
                (FaultKind::EventMissing, missing(expected, sequence - 1))
            } else {
                (FaultKind::ChainBroken, format!("event {sequence} stands behind event {}", self.at))
            };
            self.faults.add(expected, kind, message);
            (self.previous, self.tree) = (None, None);
        }
        self.at = sequence;
    }

    /// Events that are left out, of which only subtrees are known.
    pub(crate) fn leave_out(&mut self, last: i64, last_hash: Hash, subtrees: &[(u32, Hash)]) {
        self.at = last;
        self.previous = Some(last_hash);
        let fits =
            |tree: &mut Frontier| subtrees.iter().all(|(level, hash)| tree.push_subtree(*level, *hash));
        if !self.tree.as_mut().is_some_and(fits) {
            self.tree = None;
        }
    }

    /// Whether the log up to here is what somebody says; `true` also where that can't be told any more, because
    /// something is missing, which is a fault of its own.
    pub(crate) fn agrees(&self, root: &Hash, head: &Hash) -> bool {
        self.tree.as_ref().is_none_or(|tree| tree.root() == *root)
            && self.previous.is_none_or(|previous| previous == *head)
    }

    /// The end: there must be no more and no less than `size` events, and the last has this hash.
    pub(crate) fn end(&mut self, size: i64, head: Hash) {
        if self.at < size {
            self.faults.add(self.at + 1, FaultKind::LogTruncated, missing(self.at + 1, size));
        } else if self.at > size || self.previous.is_some_and(|previous| previous != head) {
            let message = "the newest event is not the one that the chain says it is";
            self.faults.add(self.at, FaultKind::ChainBroken, message);
        }
    }

    /// The place of the last event.
    pub(crate) fn at(&self) -> i64 {
        self.at
    }

    /// The hash of the last event, if it is known.
    pub(crate) fn previous(&self) -> Option<Hash> {
        self.previous
    }

    /// The tree so far, if it is whole.
    pub(crate) fn tree(&self) -> Option<&Frontier> {
        self.tree.as_ref()
    }

    /// How many events were looked at.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }
}

fn missing(first: i64, last: i64) -> String {
    if first == last {
        format!("event {first} is missing")
    } else {
        format!("events {first} to {last} are missing")
    }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
