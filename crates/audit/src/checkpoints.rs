//! Makes checkpoints, and anchors them.
//!
//! One process at a time looks for chains to sign: the one that has the lease. Two that think so both, because one
//! was frozen, do no harm: which checkpoint follows which is settled under the chain's lock. Each process anchors
//! all of them, so that every data folder has what the database should say.

use std::time::Duration;

use hotswap_store::{Lease, Row, StoreError, Tx};

use crate::log::Inner;
use crate::merkle::Frontier;
use crate::metrics::Task;
use crate::walk::Walk;
use crate::{AuditError, AuditLog, Chain, Checkpoint, Hash, PublicKey, row, sql};

/// Events that are read at once, and anchors written at once.
const PAGE: i64 = 1_000;
/// How often a chain that grows gets a checkpoint, and after how many events all the same.
pub(crate) const EVERY: Duration = Duration::from_secs(60);
pub(crate) const EVENTS: i64 = 1_000;
/// Rounds are not to the second.
const SLACK: i64 = 1_000_000;
/// Who signs, and drops old events, holds this.
const LEASE: &str = "audit/upkeep";

/// Which chains get a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those whose last one is old, or far behind.
    Due,
    /// All that have grown.
    Grown,
}

/// A checkpoint as the store has it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) size: i64,
    frontier: String,
    pub(crate) note: String,
}

impl Stored {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { size: row.int("size")?, frontier: row.text("frontier")?, note: row.text("note")? })
    }

    /// The checkpoint and the tree, if it is what it must be.
    pub(crate) fn open(
        &self,
        chain: &Chain,
        size: i64,
        keys: &[PublicKey],
    ) -> Result<(Checkpoint, Frontier), String> {
        let (checkpoint, _) = Checkpoint::open(&self.note, keys).map_err(|fault| fault.to_string())?;
        if (&checkpoint.chain, checkpoint.size) != (chain, size) {
            return Err(format!("it is of {} events of {}", checkpoint.size, checkpoint.chain));
        }
        let nodes = self.frontier.split(',').map(Hash::parse).collect::<Option<Vec<_>>>();
        let tree = u64::try_from(size).ok().zip(nodes).and_then(|(size, nodes)| Frontier::new(size, nodes));
        let tree = tree.ok_or("its frontier is damaged")?;
        if tree.root() != checkpoint.root {
            return Err("its frontier is another tree's".to_owned());
        }
        Ok((checkpoint, tree))
    }

    pub(crate) fn hash(&self) -> Hash {
        Checkpoint::hash_of(&self.note)
    }
}

impl AuditLog {
    /// Makes a checkpoint of a chain that has grown, and anchors what is not anchored. Gives its size; `None`: there
    /// was nothing to sign.
    ///
    /// # Errors
    /// [`AuditError::Damaged`] where the events since the last one are not as they were written: those are not
    /// signed. Else as the store or the anchors say.
    pub async fn checkpoint(&self, chain: &Chain) -> Result<Option<i64>, AuditError> {
        let made = self.sign_checkpoint(chain, Which::Grown, None).await?;
        self.anchor(chain).await?;
        Ok(made)
    }

    /// The same for every chain.
    ///
    /// # Errors
    /// As for one; the others are looked after all the same.
    pub async fn checkpoint_all(&self) -> Result<(), AuditError> {
        self.sign_and_anchor(Which::Grown, None).await
    }

    /// A round of one of several processes: signs what is due, unless another process is at it, and drops events
    /// where `retain` is set; then anchors what is not anchored here.
    ///
    /// # Errors
    /// As the store or the anchors say; every chain is looked after all the same.
    pub(crate) async fn round(&self, which: Which, retain: bool) -> Result<(), AuditError> {
        let outcome = self.in_turn(which, retain).await;
        outcome.and(self.inner.metrics.of(Task::Upkeep, self.look().await))
    }

    async fn in_turn(&self, which: Which, retain: bool) -> Result<(), AuditError> {
        let Inner { db, holder, metrics, .. } = &*self.inner;
        let lease = metrics.of(Task::Upkeep, db.acquire_lease(LEASE, holder, EVERY * 2).await)?;
        let Some(lease) = lease else { return self.anchor_all().await };
        let mut outcome = self.sign_and_anchor(which, Some(&lease)).await;
        if retain {
            outcome = outcome.and(self.retain_under(Some(&lease)).await);
        }
        metrics.of(Task::Upkeep, db.release_lease(&lease).await)?;
        outcome
    }

    /// Shows how far the checkpoints are behind, whoever makes them.
    async fn look(&self) -> Result<(), AuditError> {
        let mut tx = self.inner.db.read().await?;
        let row = tx.fetch_opt(sql::UNSIGNED, &[]).await?;
        let unsigned = row.map(|row| row.int("unsigned")).transpose()?.unwrap_or(0);
        let last = last(&mut tx, &Chain::Platform).await?;
        let opened = last.and_then(|c| c.open(&Chain::Platform, c.size, &self.inner.trusted).ok());
        self.inner.metrics.looked(unsigned, opened.map(|(checkpoint, _)| checkpoint.at));
        Ok(())
    }

    async fn sign_and_anchor(&self, which: Which, lease: Option<&Lease>) -> Result<(), AuditError> {
        self.looked_after();
        let mut outcome = Ok(());
        let metrics = &self.inner.metrics;
        for chain in metrics.of(Task::Upkeep, self.known_chains().await)? {
            let signed = self.sign_checkpoint(&chain, which, lease).await;
            outcome = outcome.and(metrics.of(Task::Checkpoint, signed).map(drop));
            outcome = outcome.and(metrics.of(Task::Anchor, self.anchor(&chain).await));
        }
        outcome
    }

    async fn anchor_all(&self) -> Result<(), AuditError> {
        let mut outcome = Ok(());
        let metrics = &self.inner.metrics;
        for chain in metrics.of(Task::Upkeep, self.known_chains().await)? {
            outcome = outcome.and(metrics.of(Task::Anchor, self.anchor(&chain).await));
        }
        outcome
    }

    /// The chains that the store has.
    pub(crate) async fn known_chains(&self) -> Result<Vec<Chain>, AuditError> {
        let rows = self.inner.db.read().await?.fetch_all(sql::CHAINS, &[]).await?;
        Ok(rows.iter().filter_map(|row| Chain::parse(&row.text("chain").ok()?)).collect())
    }

    async fn sign_checkpoint(
        &self,
        chain: &Chain,
        which: Which,
        lease: Option<&Lease>,
    ) -> Result<Option<i64>, AuditError> {
        let inner = &self.inner;
        let last = last(&mut inner.db.read().await?, chain).await?;
        if which == Which::Due && !self.is_due(chain, last.as_ref()).await? {
            return Ok(None);
        }
        let mut walk = self.walk_from(chain, last.as_ref())?;
        let from = walk.at();
        loop {
            let range = [chain.to_string().into(), walk.at().into(), i64::MAX.into(), PAGE.into()];
            // Each page in a transaction of its own, since nothing that is read changes.
            let rows = inner.db.read().await?.fetch_all(sql::AFTER, &range).await?;
            for row in &rows {
                let sequence = row.int("sequence")?;
                let sealed = row::sealed(row);
                walk.step(sequence, sealed.as_ref().map_err(String::as_str));
            }
            if i64::try_from(rows.len()).is_ok_and(|n| n < PAGE) {
                break;
            }
        }
        if let Some(fault) = walk.faults.list().first() {
            return Err(AuditError::Damaged {
                chain: chain.clone(),
                sequence: fault.sequence,
                what: format!("{} ({})", fault.message, fault.kind),
            });
        }
        let (Some(tree), Some(head)) = (walk.tree(), walk.previous()) else { return Ok(None) };
        if walk.at() == from {
            return Ok(None);
        }
        let checkpoint = Checkpoint {
            store: inner.db.store_id(),
            chain: chain.clone(),
            size: walk.at(),
            root: tree.root(),
            at: inner.clock.now(),
            head,
            previous: last.as_ref().map_or(Hash::ZERO, Stored::hash),
            file: None,
        };
        let made = self.put(&checkpoint, tree, last.as_ref(), lease).await?;
        Ok(made.then_some(checkpoint.size))
    }

    /// Whether it is time: the last checkpoint is old, or can't be read, or many events are behind it.
    async fn is_due(&self, chain: &Chain, last: Option<&Stored>) -> Result<bool, AuditError> {
        let Some(last) = last else { return Ok(true) };
        let Ok((checkpoint, _)) = last.open(chain, last.size, &self.inner.trusted) else { return Ok(true) };
        let every = i64::try_from(EVERY.as_micros()).unwrap_or(i64::MAX);
        let young = (0..every - SLACK).contains(&(self.inner.clock.now().0 - checkpoint.at.0));
        if !young {
            return Ok(true);
        }
        let row = self.inner.db.read().await?.fetch_opt(sql::CHAIN, &[chain.to_string().into()]).await?;
        let head = row.map(|row| row.int("sequence")).transpose()?.unwrap_or(0);
        Ok(head.saturating_sub(last.size) >= EVENTS)
    }

    /// A walk from behind the last checkpoint.
    fn walk_from(&self, chain: &Chain, last: Option<&Stored>) -> Result<Walk, AuditError> {
        let Some(last) = last else { return Ok(Walk::new(chain.clone())) };
        let opened = last.open(chain, last.size, &self.inner.trusted);
        let (checkpoint, tree) = opened.map_err(|why| AuditError::Damaged {
            chain: chain.clone(),
            sequence: last.size,
            what: format!("its checkpoint can't be gone on from: {why}"),
        })?;
        Ok(Walk::from(chain.clone(), last.size, Some(checkpoint.head), Some(tree)))
    }

    /// Writes a checkpoint, unless somebody else made one meanwhile.
    async fn put(
        &self,
        checkpoint: &Checkpoint,
        tree: &Frontier,
        after: Option<&Stored>,
        lease: Option<&Lease>,
    ) -> Result<bool, AuditError> {
        let note = checkpoint.sign(self.inner.key.as_ref()).ok_or(AuditError::Key)?;
        let frontier = tree.nodes().iter().map(Hash::to_string).collect::<Vec<_>>().join(",");
        let name = checkpoint.chain.to_string();
        let mut tx = self.inner.db.write_unscoped().await?;
        if let Some(lease) = lease {
            tx.check_fence(lease).await?;
        }
        tx.fetch_opt(sql::LOCK, &[name.as_str().into()]).await?;
        let newest = last(&mut tx, &checkpoint.chain).await?;
        if newest.as_ref().map(|c| &c.note) != after.map(|c| &c.note) {
            return Ok(false);
        }
        let values = [name.into(), checkpoint.size.into(), frontier.into(), note.into()];
        tx.execute(sql::PUT_CHECKPOINT, &values).await?;
        tx.commit().await?;
        self.inner.metrics.checkpoints.inc();
        Ok(true)
    }

    /// Anchors every checkpoint of a chain that is not anchored here.
    async fn anchor(&self, chain: &Chain) -> Result<(), AuditError> {
        let inner = &self.inner;
        let store = inner.db.store_id();
        while let Some(newest) = inner.anchors.newest(store, chain) {
            let range = [chain.to_string().into(), newest.into(), i64::MAX.into(), PAGE.into()];
            let rows = inner.db.read().await?.fetch_all(sql::CHECKPOINTS, &range).await?;
            let stored = rows.iter().map(Stored::from_row).collect::<Result<Vec<_>, _>>()?;
            // What the store says is not taken for true here either.
            let notes: Vec<(i64, String)> = stored
                .into_iter()
                .filter(|c| c.open(chain, c.size, &inner.trusted).is_ok())
                .map(|c| (c.size, c.note))
                .collect();
            if notes.is_empty() {
                break;
            }
            inner.anchors.append(store, chain, notes).await.map_err(AuditError::Anchors)?;
        }
        Ok(())
    }
}

/// The newest checkpoint of a chain.
async fn last(tx: &mut Tx, chain: &Chain) -> Result<Option<Stored>, StoreError> {
    let row = tx.fetch_opt(sql::LAST_CHECKPOINT, &[chain.to_string().into()]).await?;
    row.as_ref().map(Stored::from_row).transpose()
}
