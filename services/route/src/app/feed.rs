//! What the watch distributes: everything at a revision, and what changed since.

use std::collections::HashSet;

use hotswap_core::Revision;
use hotswap_store::Tx;

use super::{App, Error};
use crate::domain::AnyResource;
use crate::store::{self, Logged};

/// Revisions that a new process can still give deltas from.
const REPLAY: i64 = 10_000;

/// The configuration as a process finds it.
pub(crate) struct Start {
    /// The revision.
    pub(crate) revision: Revision,
    /// The number drawn for it.
    pub(crate) stamp: Option<i64>,
    /// Every resource.
    pub(crate) resources: Vec<AnyResource>,
    /// The revision from which on `log` is whole.
    pub(crate) floor: Revision,
    /// What was logged behind `floor`, oldest first.
    pub(crate) log: Vec<Logged>,
}

/// What changed behind a revision.
pub(crate) struct Batch {
    /// The revision reached.
    pub(crate) to: Revision,
    /// The number drawn for it.
    pub(crate) stamp: Option<i64>,
    /// What was logged of the revisions taken in, oldest first.
    pub(crate) log: Vec<Logged>,
    /// Resources that are new or changed.
    pub(crate) upserts: Vec<AnyResource>,
    /// Names that are gone.
    pub(crate) removes: Vec<String>,
}

/// What the store has behind a place.
pub(crate) enum Followed {
    /// Nothing new.
    Same,
    /// A change.
    Changed(Batch),
    /// The store can't lead from that place to where it is: it was set back to an older state, or its log no
    /// longer reaches that far. This is what it has.
    Anew(Start),
}

impl App {
    pub(crate) async fn feed_start(&self) -> Result<Start, Error> {
        self.start(&mut self.db.read().await?).await
    }

    /// What is behind a revision, for which `stamp` was drawn.
    pub(crate) async fn feed_after(&self, after: Revision, stamp: Option<i64>) -> Result<Followed, Error> {
        let mut tx = self.db.read().await?;
        let (to, floor) = tx.place(store::SCOPE).await?;
        let unknown = after > floor && tx.stamp(store::SCOPE, after).await? != stamp;
        if to < after || floor > after || unknown {
            return Ok(Followed::Anew(self.start(&mut tx).await?));
        }
        if to == after {
            return Ok(Followed::Same);
        }
        let (changes, mut upserts) = store::changes_after(&mut tx, after).await?;
        self.open_keys(&mut tx, &mut upserts).await?;
        let log = store::log_after(&mut tx, after).await?;
        let stamp = tx.stamp(store::SCOPE, to).await?;
        let there: HashSet<&str> = upserts.iter().map(|r| r.name.as_str()).collect();
        let removes = changes.names.iter().filter(|n| !there.contains(n.as_str())).cloned().collect();
        Ok(Followed::Changed(Batch { to: changes.to, stamp, log, removes, upserts }))
    }

    async fn start(&self, tx: &mut Tx) -> Result<Start, Error> {
        let (revision, mut resources) = store::everything(tx).await?;
        self.open_keys(tx, &mut resources).await?;
        let (_, whole) = tx.place(store::SCOPE).await?;
        let floor = whole.max(Revision(revision.0 - REPLAY));
        let log = store::log_after(tx, floor).await?;
        let stamp = tx.stamp(store::SCOPE, revision).await?;
        Ok(Start { revision, stamp, resources, floor, log })
    }
}
