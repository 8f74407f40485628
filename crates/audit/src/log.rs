//! The log: where events are written.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hotswap_core::{Clock, Ids};
use hotswap_store::{Db, StoreError, Tx};
use prometheus::Registry;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use crate::anchors::Anchors;
use crate::attempts::Attempts;
use crate::checkpoints::EVENTS;
use crate::diff::{Diff, Masker};
use crate::metrics::AuditMetrics;
use crate::note::{AuditKey, PublicKey};
use crate::{AuditError, Chain, Entry, Event, Hash, Sealed, encode, row, sql};

/// Verifications at a time, and exports: each reads the whole log.
const READERS: usize = 2;
const EXPORTS: usize = 4;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// Keys that signed before the current one, and are still trusted.
    pub earlier_keys: Vec<PublicKey>,
    /// The file that checkpoints are anchored in; `None`: nowhere outside of the database.
    pub anchors: Option<PathBuf>,
    /// How long events are kept.
    pub retention: Duration,
}

impl AuditOptions {
    /// How many days events are kept where nothing is said: seven years.
    pub const RETENTION_DAYS: u32 = 2_557;
}

impl Default for AuditOptions {
    fn default() -> Self {
        let retention = Duration::from_secs(u64::from(Self::RETENTION_DAYS) * 86_400);
        Self { earlier_keys: Vec::new(), anchors: None, retention }
    }
}

/// The audit log of a store; cheap to clone.
#[derive(Clone)]
pub struct AuditLog {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) key: Arc<dyn AuditKey>,
    /// The key's own public half first.
    pub(crate) trusted: Vec<PublicKey>,
    pub(crate) anchors: Anchors,
    pub(crate) retention: Duration,
    pub(crate) readers: Semaphore,
    pub(crate) exports: Arc<Semaphore>,
    pub(crate) attempts: Attempts,
    pub(crate) metrics: AuditMetrics,
    /// Who this process is where it takes a lease.
    pub(crate) holder: String,
    masker: Masker,
    /// Events written by this process since it last looked after checkpoints.
    written: AtomicI64,
    pub(crate) due: Notify,
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditLog").field("key", &self.inner.key.public()).finish_non_exhaustive()
    }
}

impl AuditLog {
    /// The log of this store, signed with `key`. Reads the anchors.
    ///
    /// # Errors
    /// [`AuditError::Anchors`] where their file can't be used.
    pub fn open(
        db: Db,
        options: AuditOptions,
        key: Arc<dyn AuditKey>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<Self, AuditError> {
        let AuditOptions { earlier_keys, anchors, retention } = options;
        let trusted: Vec<PublicKey> = std::iter::once(key.public()).chain(earlier_keys).collect();
        let anchors = Anchors::open(anchors, &trusted).map_err(AuditError::Anchors)?;
        let masker = Masker::new(&key.masking_key());
        let metrics = AuditMetrics::new()?;
        let inner = Inner {
            db,
            attempts: Attempts::new(Arc::clone(&clock), metrics.clone()),
            metrics,
            holder: ids.uuid().to_string(),
            clock,
            ids,
            key,
            trusted,
            anchors,
            retention,
            readers: Semaphore::new(READERS),
            exports: Arc::new(Semaphore::new(EXPORTS)),
            masker,
            written: AtomicI64::new(0),
            due: Notify::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Shows what is counted ([`METRICS`](crate::METRICS)).
    ///
    /// # Errors
    /// [`AuditError::Metrics`] where a log shows its counts there already.
    pub fn register(&self, registry: &Registry) -> Result<(), AuditError> {
        Ok(self.inner.metrics.register(registry)?)
    }

    /// What differs between two contents as JSON; `None`: there was or is none. Values that sound secret are
    /// masked.
    pub fn diff(&self, before: Option<&Value>, after: Option<&Value>) -> Diff {
        self.diff_masking(before, after, &|_| false)
    }

    /// The same, and values at paths that `secret` names are masked too.
    pub fn diff_masking(
        &self,
        before: Option<&Value>,
        after: Option<&Value>,
        secret: &dyn Fn(&str) -> bool,
    ) -> Diff {
        self.inner.masker.diff(before, after, secret)
    }

    /// Writes an event in the transaction of what it tells: both are there, or neither is. It locks the chain until
    /// the transaction ends, so it comes last, when every other lock is taken.
    ///
    /// # Errors
    /// As the database says; then the transaction can't be committed.
    pub async fn record(&self, tx: &mut Tx, chain: &Chain, entry: Entry) -> Result<Event, StoreError> {
        let name = chain.to_string();
        let (sequence, previous) = advance(tx, &name).await?;
        let inner = &self.inner;
        let event = Event::new(chain.clone(), sequence, inner.ids.uuid(), inner.clock.now(), entry);
        let hash = encode::chained(&previous, &event);
        let sealed = Sealed { event, previous, hash };
        tx.execute(sql::INSERT, &row::values(&sealed)).await?;
        tx.execute(sql::SET_HEAD, &[name.into(), hash.to_string().into()]).await?;
        inner.metrics.recorded(sealed.event.outcome);
        if inner.written.fetch_add(1, Ordering::Relaxed) + 1 >= EVENTS {
            inner.due.notify_one();
        }
        Ok(sealed.event)
    }

    /// Writes an event in a transaction of its own.
    ///
    /// # Errors
    /// As the database says.
    pub async fn record_alone(&self, chain: &Chain, entry: Entry) -> Result<Event, StoreError> {
        let mut tx = self.inner.db.write_unscoped().await?;
        let event = self.record(&mut tx, chain, entry).await?;
        tx.commit().await?;
        Ok(event)
    }

    /// Takes note of calls that were denied or failed, within bounds.
    pub fn attempts(&self) -> Attempts {
        self.inner.attempts.clone()
    }

    /// Keys that are trusted to have signed checkpoints, the current one first.
    pub fn trusted_keys(&self) -> &[PublicKey] {
        &self.inner.trusted
    }

    pub(crate) fn looked_after(&self) {
        self.inner.written.store(0, Ordering::Relaxed);
    }
}

/// Takes the next place in a chain; gives it, and the hash of the event before.
async fn advance(tx: &mut Tx, chain: &str) -> Result<(i64, Hash), StoreError> {
    let mut row = tx.fetch_opt(sql::ADVANCE, &[chain.into()]).await?;
    if row.is_none() {
        tx.execute(sql::BEGIN_ONCE, &[chain.into(), Hash::ZERO.to_string().into()]).await?;
        row = tx.fetch_opt(sql::ADVANCE, &[chain.into()]).await?;
    }
    let damaged = || StoreError::inconsistent("audit_chains", "hash", chain);
    let row = row.ok_or_else(damaged)?;
    Ok((row.int("sequence")?, Hash::parse(&row.text("hash")?).ok_or_else(damaged)?))
}
