//! What the watch distributes: everything at a revision, and what changed since.

use hotswap_core::Revision;

use super::{App, Error};
use crate::domain::AnyResource;
use crate::store;

/// Revisions that a new process can still give deltas from.
const REPLAY: i64 = 10_000;

/// The configuration as a process finds it.
pub(crate) struct Start {
    /// The revision.
    pub(crate) revision: Revision,
    /// Every resource.
    pub(crate) resources: Vec<AnyResource>,
    /// The revision from which on `log` is whole.
    pub(crate) floor: Revision,
    /// The revisions behind `floor`, oldest first, with the name that each touched.
    pub(crate) log: Vec<(i64, String)>,
}

/// What changed behind a revision.
pub(crate) struct Batch {
    /// The revision reached.
    pub(crate) to: Revision,
    /// The revisions taken in, oldest first, with the name that each touched.
    pub(crate) log: Vec<(i64, String)>,
    /// Resources that are new or changed.
    pub(crate) upserts: Vec<AnyResource>,
    /// Names that are gone.
    pub(crate) removes: Vec<String>,
}

impl App {
    pub(crate) async fn feed_start(&self) -> Result<Start, Error> {
        let mut tx = self.db.read().await?;
        let (revision, resources) = store::everything(&mut tx).await?;
        let floor = Revision((revision.0 - REPLAY).max(0));
        let log = store::log_after(&mut tx, floor).await?;
        Ok(Start { revision, resources, floor, log })
    }

    pub(crate) async fn feed_after(&self, after: Revision) -> Result<Batch, Error> {
        let mut tx = self.db.read().await?;
        let (changes, upserts) = store::changes_after(&mut tx, after).await?;
        let log = store::log_after(&mut tx, after).await?;
        let there: std::collections::HashSet<&str> = upserts.iter().map(|r| r.name.as_str()).collect();
        let removes = changes.names.iter().filter(|n| !there.contains(n.as_str())).cloned().collect();
        Ok(Batch { to: changes.to, log, removes, upserts })
    }
}
