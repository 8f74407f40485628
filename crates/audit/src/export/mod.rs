//! Exports: events as JSON lines or CSV, with what proves that they are the log's.
//!
//! ```text
//!   begin    chain, store, filter; what was before the first event: its hash and the tree's frontier
//!   event    an event with its links                                          ┐ in the order of the chain,
//!   omitted  events that the filter left out: their subtrees, no contents     ┘ without gaps
//!   end      a signed checkpoint: how many events, the tree's root, and SHA-256 of every byte before this line
//! ```
//! Whoever has the public key can tell without the store that each event is in the log at its place, that none was
//! changed, and that no byte of the file was. That an event was left out shows; whether the filter wanted it can't
//! be told from its hash.
//!
//! As JSON, each record is an object on a line, with its kind in `record`. As CSV, each is a row; the first column is
//! its kind, and what is no event stands as JSON in the last column, `proof`. A cell that a spreadsheet would run as
//! a formula has a `'` before it, and so does one that begins with `'`.

mod csv;
mod read;
mod write;

use hotswap_core::Revision;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::list::{parse_time, show_time};
use crate::{Caller, Chain, Change, Event, Hash, Outcome, Sealed};

pub use read::{ExportReport, Trust, verify_export};
pub use write::{Export, ExportQuery};

/// The version of the form.
const FORM: &str = "hotswap.audit.export/1";

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    #[default]
    Json,
    /// CSV (RFC 4180), with a head line.
    Csv,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Record {
    Begin(Begin),
    Event(Box<EventRecord>),
    Omitted(Omitted),
    End(End),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Begin {
    form: String,
    store: Uuid,
    chain: String,
    filter: String,
    /// Retention dropped what lies up to this event.
    after: i64,
    /// The hash of that event; zeros: there was none.
    previous_hash: Hash,
    /// The tree up to that event.
    frontier: Vec<Hash>,
    /// The last event that was considered.
    through: i64,
    exported_at: String,
    exported_by: String,
    /// The key that signs the end. It tells which one to ask for; it does not make it one to trust.
    public_key: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct EventRecord {
    sequence: i64,
    time: String,
    actor: String,
    roles: Vec<String>,
    tenant: String,
    method: String,
    resource: String,
    revision: i64,
    outcome: String,
    reason: String,
    attempts: i64,
    source: String,
    request_id: Uuid,
    id: Uuid,
    before_hash: Option<Hash>,
    after_hash: Option<Hash>,
    changes: Vec<Change>,
    previous_hash: Hash,
    hash: Hash,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Omitted {
    first: i64,
    last: i64,
    /// Of the largest subtrees that together are these events.
    subtrees: Vec<Hash>,
    /// The hash of the last of them.
    last_hash: Hash,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct End {
    events: u64,
    omitted: u64,
    note: String,
}

impl EventRecord {
    fn new(sealed: Sealed) -> Self {
        let Sealed { event, previous, hash } = sealed;
        Self {
            sequence: event.sequence,
            time: show_time(event.at),
            actor: event.caller.actor,
            roles: event.caller.roles,
            tenant: event.caller.tenant,
            method: event.caller.method,
            resource: event.resource,
            revision: event.revision.0,
            outcome: event.outcome.as_str().to_owned(),
            reason: event.reason,
            attempts: event.attempts,
            source: event.caller.source,
            request_id: event.caller.request_id,
            id: event.id,
            before_hash: event.before,
            after_hash: event.after,
            changes: event.changes,
            previous_hash: previous,
            hash,
        }
    }

    /// The event in its chain.
    fn into_sealed(self, chain: &Chain) -> Result<Sealed, String> {
        let event = Event {
            chain: chain.clone(),
            sequence: self.sequence,
            id: self.id,
            at: parse_time(&self.time).ok_or("its time is none")?,
            caller: Caller {
                actor: self.actor,
                roles: self.roles,
                tenant: self.tenant,
                method: self.method,
                request_id: self.request_id,
                source: self.source,
            },
            resource: self.resource,
            revision: Revision(self.revision),
            outcome: Outcome::parse(&self.outcome).ok_or("its outcome is none")?,
            reason: self.reason,
            before: self.before_hash,
            after: self.after_hash,
            changes: self.changes,
            attempts: self.attempts,
        };
        Ok(Sealed { event, previous: self.previous_hash, hash: self.hash })
    }
}

/// A record as it stands in a file, its end of line too.
fn line(record: &Record, format: Format) -> Vec<u8> {
    match format {
        Format::Json => {
            // Records hold texts and numbers alone, and those always have a JSON form.
            let mut line = serde_json::to_vec(record).unwrap_or_default();
            line.push(b'\n');
            line
        }
        Format::Csv => csv::row(record).into_bytes(),
    }
}
