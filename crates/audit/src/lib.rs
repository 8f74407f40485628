//! The audit log: who did what, to what, when, from where, and how it ended; and the proof that nobody changed it
//! since.
//!
//! ```text
//!   use case ──► record(tx) ──┐  in the transaction of what it tells: both are there, or neither is
//!   AuthLayer ─► Attempts ────┤  denied and failed calls: gathered and bounded, written soon
//!                             ▼
//!   chain (platform, or a tenant)     1 ◄── 2 ◄── 3 ◄── …   each event holds the hash of the one before;
//!                                      └──┬──┘     │         their hashes are the leaves of a Merkle tree
//!                                         └───┬────┘
//!   every 60 s or 1,000 events            checkpoint          the tree's root, signed (C2SP signed note)
//!                                             │
//!   audit-anchors.jsonl                    anchored           outside of the database, better yet on another machine
//! ```
//!
//! Prevention is the database's: triggers refuse to update, delete or truncate. Who owns the database can take them
//! away, so detection is everybody's: [`AuditLog::verify`] against the store, [`verify_export`] on an export, without
//! the store. What each finds:
//!
//! | changed | found by |
//! |---|---|
//! | a bit of an event | its hash |
//! | an event deleted, inserted or moved | the chain |
//! | a hash, and all behind it made anew | the next checkpoint |
//! | the newest events cut off | the chain's own count and hash; where those were set back too, the anchors |
//! | the checkpoints made anew | their signatures |
//! | everything, by somebody who has the signing key too | the anchors, if they lie where that one can't write |
//!
//! What is written behind the newest anchor and cut off together with the chain's count is not found: a minute, or
//! 1,000 events.
//!
//! The bytes that hashes are taken over are in [`encode`]'s module, the form of checkpoints in [`Checkpoint`]'s, the
//! form of exports in [`verify_export`]'s. Secrets are masked before anything is written ([`Diff`]). Events are
//! dropped on one path ([`AuditLog::retain`]), which tells of itself, and which a [`LegalHold`] closes.

mod anchors;
mod attempts;
mod chain;
mod checkpoint;
mod checkpoints;
mod diff;
mod encode;
mod error;
mod event;
mod export;
mod hash;
mod list;
mod log;
mod merkle;
mod metrics;
mod note;
mod retention;
mod row;
mod sql;
mod upkeep;
mod verify;
mod walk;

pub use anchors::AnchorSet;
pub use attempts::{Attempts, TOO_MANY_ATTEMPTS};
pub use chain::Chain;
pub use checkpoint::Checkpoint;
pub use diff::{Change, Diff};
pub use encode::{chained, encode};
pub use error::AuditError;
pub use event::{Caller, Entry, Event, Outcome, Sealed};
pub use export::{Export, ExportQuery, ExportReport, Format, Trust, verify_export};
pub use hash::Hash;
pub use list::ListQuery;
pub use log::{AuditLog, AuditOptions};
pub(crate) use merkle::Frontier;
pub use metrics::METRICS;
pub use note::{AuditKey, InvalidKey, PublicKey};
pub use retention::LegalHold;
pub use verify::ChainReport;
pub use walk::{Fault, FaultKind, Faults};
