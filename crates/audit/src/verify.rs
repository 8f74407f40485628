//! Verifies the log in the store, against itself, its checkpoints and its anchors.
//!
//! ```text
//!   audit_chains      how many, and the hash of the last        ┐
//!   audit_events      each hash over its content and the one    │ compared with each other,
//!                     before; together the leaves of a tree     │ and all keys must be trusted
//!   audit_checkpoints the tree's root, signed, each naming      │
//!                     the one before                            ┘
//!   anchors           the same, outside of the database         what the database's owner can't change
//!   triggers          there, and on
//! ```

use std::collections::{BTreeMap, BTreeSet};

use hotswap_core::Revision;
use hotswap_store::{Row, StoreError, Tx};

use crate::anchors::{AnchorSet, Anchored};
use crate::checkpoints::Stored;
use crate::merkle::Frontier;
use crate::metrics::Verified;
use crate::walk::{FaultKind, Faults, Walk};
use crate::{AuditError, AuditLog, Chain, Event, Hash, Outcome, retention, row, sql};

/// Events that are read at once.
const PAGE: i64 = 2_000;
/// How often a verification begins that retention gets in the way of.
const TRIES: usize = 3;

/// What the verification of a chain found.
#[derive(Clone, Debug)]
pub struct ChainReport {
    /// The chain.
    pub chain: Chain,
    /// Retention dropped what lies up to this event.
    pub floor: i64,
    /// The newest event.
    pub head: i64,
    /// Events that were looked at.
    pub events: u64,
    /// Checkpoints that were compared with them.
    pub checkpoints: u64,
    /// Anchors that were compared with them; `None`: this process anchors nothing.
    pub anchors: Option<u64>,
    /// The newest event that an anchor covers; what lies behind it could be cut off unseen.
    pub anchored: i64,
    /// What is wrong.
    pub faults: Faults,
}

impl ChainReport {
    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.faults.is_empty()
    }
}

impl AuditLog {
    /// Verifies a chain, or all of them, up to the newest event.
    ///
    /// # Errors
    /// [`AuditError::Busy`], [`AuditError::Moved`], or as the store says. A log that is not intact is no error.
    pub async fn verify(&self, chain: Option<&Chain>) -> Result<Vec<ChainReport>, AuditError> {
        let outcome = self.compare(chain).await;
        let metrics = &self.inner.metrics;
        metrics.verified(match &outcome {
            Ok(reports) if reports.iter().all(ChainReport::is_intact) => Verified::Intact,
            Ok(_) => Verified::NotIntact,
            Err(_) => Verified::Error,
        });
        if let (None, Ok(reports)) = (chain, &outcome) {
            let faults = reports.iter().map(|report| report.faults.count()).sum();
            metrics.verified_all(faults, self.inner.clock.now());
        }
        outcome
    }

    async fn compare(&self, chain: Option<&Chain>) -> Result<Vec<ChainReport>, AuditError> {
        let inner = &self.inner;
        let _turn = inner.readers.try_acquire().map_err(|_| AuditError::Busy)?;
        // The anchors first: what is anchored later may lie behind what is read now.
        let anchors = inner.anchors.read(&inner.trusted).await.map_err(AuditError::Anchors)?;
        let chains = match chain {
            Some(chain) => BTreeSet::from([chain.clone()]),
            None => self.chains(anchors.as_ref()).await?,
        };
        let mut reports = Vec::with_capacity(chains.len());
        for chain in chains {
            reports.push(self.verify_still(&chain, anchors.as_ref()).await?);
        }
        if let Some(first) = reports.first_mut() {
            let faults = anchors.iter().flat_map(|set| set.faults());
            faults.for_each(|fault| first.faults.add(0, FaultKind::AnchorInvalid, fault));
            self.guards(&mut first.faults).await?;
        }
        Ok(reports)
    }

    /// Every chain that something knows of.
    async fn chains(&self, anchors: Option<&AnchorSet>) -> Result<BTreeSet<Chain>, AuditError> {
        let mut tx = self.inner.db.read().await?;
        let rows = tx.fetch_all(sql::CHAINS, &[]).await?;
        let mut chains = BTreeSet::from([Chain::Platform]);
        chains.extend(rows.iter().filter_map(|row| Chain::parse(&row.text("chain").ok()?)));
        chains.extend(anchors.into_iter().flat_map(AnchorSet::chains));
        Ok(chains)
    }

    /// Begins again where retention goes on meanwhile.
    async fn verify_still(
        &self,
        chain: &Chain,
        anchors: Option<&AnchorSet>,
    ) -> Result<ChainReport, AuditError> {
        for _ in 0..TRIES {
            match self.verify_chain(chain.clone(), anchors).await {
                Err(AuditError::Moved { .. }) => {}
                other => return other,
            }
        }
        Err(AuditError::Moved { chain: chain.clone() })
    }

    async fn verify_chain(
        &self,
        chain: Chain,
        anchors: Option<&AnchorSet>,
    ) -> Result<ChainReport, AuditError> {
        let inner = &self.inner;
        let mut start = Start::read(&mut inner.db.read().await?, &chain).await?;
        let mut on = Verification {
            log: self,
            walk: start.walk(self, &chain),
            floor: start.floor,
            last_checkpoint: (start.floor, start.checkpoint_hash()),
            checkpoints: 0,
            anchors: anchors.map(|set| set.of(&chain)).unwrap_or_default(),
            compared: 0,
            retention_told: start.floor == 0,
            chain,
        };
        on.walk.faults.append(&mut start.faults);
        while on.walk.at() < start.sequence {
            if !on.page(start.sequence).await? {
                break;
            }
        }
        on.walk.end(start.sequence, start.hash);
        on.finish(start.sequence);
        let anchored = on.anchors.keys().next_back().copied().unwrap_or(0);
        Ok(ChainReport {
            floor: on.floor,
            head: start.sequence,
            events: on.walk.events(),
            checkpoints: on.checkpoints,
            anchors: anchors.map(|_| on.compared),
            anchored: anchored.min(start.sequence),
            faults: on.walk.faults,
            chain: on.chain,
        })
    }

    /// The triggers.
    async fn guards(&self, faults: &mut Faults) -> Result<(), AuditError> {
        let db = &self.inner.db;
        let (sql, expected) = if db.is_shared() {
            (sql::GUARDS_POSTGRES, sql::GUARDS_OF_POSTGRES)
        } else {
            (sql::GUARDS_SQLITE, sql::GUARDS_OF_SQLITE)
        };
        let rows = db.read().await?.fetch_all(sql, &[]).await?;
        let there = rows.iter().map(|row| row.text("name")).collect::<Result<BTreeSet<_>, _>>()?;
        for name in expected.iter().filter(|name| !there.contains(**name)) {
            faults.add(0, FaultKind::GuardMissing, format!("the trigger {name} is not there, or is off"));
        }
        Ok(())
    }
}

/// Where a chain begins and ends, of one snapshot.
pub(crate) struct Start {
    sequence: i64,
    hash: Hash,
    floor: i64,
    /// The checkpoint that retention dropped up to.
    base: Option<Stored>,
    faults: Faults,
}

impl Start {
    pub(crate) async fn read(tx: &mut Tx, chain: &Chain) -> Result<Self, StoreError> {
        let name = chain.to_string();
        let mut faults = Faults::default();
        let row = tx.fetch_opt(sql::CHAIN, &[name.as_str().into()]).await?;
        let ends = tx.fetch_opt(sql::ENDS, &[name.as_str().into()]).await?;
        let end = |column| ends.as_ref().map(|r| r.opt_int(column)).transpose().map(Option::flatten);
        let (first, last) = (end("first")?, end("last")?);
        let (sequence, hash, floor) = match &row {
            Some(row) => (row.int("sequence")?, Hash::parse(&row.text("hash")?), row.int("floor")?),
            None => (0, Some(Hash::ZERO), 0),
        };
        if hash.is_none() {
            faults.add(sequence, FaultKind::ChainBroken, "the hash of the newest event is none");
        }
        if let Some(last) = last.filter(|last| *last > sequence) {
            let message = format!("there are events up to {last}, and the chain ends at {sequence}");
            faults.add(last, FaultKind::ChainBroken, message);
        }
        if let Some(first) = first.filter(|first| *first <= floor) {
            let message = format!("event {first} is there, though retention dropped up to {floor}");
            faults.add(first, FaultKind::RetentionUnrecorded, message);
        }
        let base = match floor {
            0 => None,
            _ => tx.fetch_opt(sql::CHECKPOINT, &[name.into(), floor.into()]).await?,
        };
        let base = base.as_ref().map(Stored::from_row).transpose()?;
        Ok(Self { sequence, hash: hash.unwrap_or(Hash::ZERO), floor, base, faults })
    }

    /// A walk from behind what retention dropped.
    fn walk(&mut self, log: &AuditLog, chain: &Chain) -> Walk {
        match self.base(log, chain) {
            Ok((walk, _)) => walk,
            Err(why) => {
                self.faults.add(self.floor, FaultKind::CheckpointInvalid, why.to_string());
                Walk::from(chain.clone(), self.floor, None, None)
            }
        }
    }

    /// The same, and the tree there.
    ///
    /// # Errors
    /// [`AuditError::Damaged`] where the checkpoint that it begins from is not as it must be.
    pub(crate) fn base(&self, log: &AuditLog, chain: &Chain) -> Result<(Walk, Frontier), AuditError> {
        if self.floor == 0 {
            return Ok((Walk::new(chain.clone()), Frontier::default()));
        }
        let opened = match &self.base {
            None => Err("there is no checkpoint where retention ended".to_owned()),
            Some(base) => base.open(chain, self.floor, &log.inner.trusted),
        };
        let (checkpoint, tree) = opened.map_err(|what| AuditError::Damaged {
            chain: chain.clone(),
            sequence: self.floor,
            what,
        })?;
        let walk = Walk::from(chain.clone(), self.floor, Some(checkpoint.head), Some(tree.clone()));
        Ok((walk, tree))
    }

    /// Retention dropped what lies up to this event.
    pub(crate) fn floor(&self) -> i64 {
        self.floor
    }

    /// The hash that the next checkpoint must name.
    fn checkpoint_hash(&self) -> Hash {
        self.base.as_ref().map_or(Hash::ZERO, Stored::hash)
    }
}

/// The verification of one chain, on its way.
struct Verification<'a> {
    log: &'a AuditLog,
    chain: Chain,
    walk: Walk,
    floor: i64,
    /// The newest checkpoint that was looked at: its size, and its hash.
    last_checkpoint: (i64, Hash),
    checkpoints: u64,
    anchors: BTreeMap<i64, Anchored>,
    compared: u64,
    retention_told: bool,
}

impl Verification<'_> {
    /// Goes on by a page; `false`: there are no more events.
    async fn page(&mut self, until: i64) -> Result<bool, AuditError> {
        let name = self.chain.to_string();
        let mut tx = self.log.inner.db.read().await?;
        let from = self.walk.at();
        let range = [name.as_str().into(), from.into(), until.into(), PAGE.into()];
        let rows = tx.fetch_all(sql::AFTER, &range).await?;
        let Some(last) = rows.last() else {
            self.moved(&mut tx).await?;
            return Ok(false);
        };
        // In a snapshot of its own, so events may be gone that were there at the start.
        if rows.first().and_then(|row| row.int("sequence").ok()) != Some(from + 1) {
            self.moved(&mut tx).await?;
        }
        let last = last.int("sequence").unwrap_or(until);
        let range = [name.into(), from.into(), last.into(), PAGE.into()];
        let stored = tx.fetch_all(sql::CHECKPOINTS, &range).await?;
        drop(tx);
        let stored = stored.iter().map(Stored::from_row).collect::<Result<Vec<_>, _>>()?;
        let mut checkpoints = stored.iter().peekable();
        for row in &rows {
            self.event(row);
            while let Some(checkpoint) = checkpoints.next_if(|c| c.size <= self.walk.at()) {
                self.checkpoint(checkpoint);
            }
            self.anchor();
        }
        Ok(true)
    }

    /// # Errors
    /// [`AuditError::Moved`] where retention dropped what is being read.
    async fn moved(&self, tx: &mut Tx) -> Result<(), AuditError> {
        let row = tx.fetch_opt(sql::CHAIN, &[self.chain.to_string().into()]).await?;
        match row.map(|row| row.int("floor")).transpose()? {
            Some(floor) if floor > self.floor => Err(AuditError::Moved { chain: self.chain.clone() }),
            _ => Ok(()),
        }
    }

    fn event(&mut self, row: &Row) {
        let sequence = row.int("sequence").unwrap_or(self.walk.at() + 1);
        match row::sealed(row) {
            Ok(sealed) => {
                self.retention_told |= tells_of(&sealed.event, self.floor);
                self.walk.step(sequence, Ok(&sealed));
            }
            Err(damage) => self.walk.step(sequence, Err(&damage)),
        }
    }

    fn checkpoint(&mut self, stored: &Stored) {
        let size = stored.size;
        self.checkpoints += 1;
        let opened = stored.open(&self.chain, size, &self.log.inner.trusted);
        let faults = &mut self.walk.faults;
        match opened {
            Err(why) => faults.add(size, FaultKind::CheckpointInvalid, why),
            Ok((checkpoint, _)) => {
                if checkpoint.previous != self.last_checkpoint.1 {
                    let message = "the checkpoint does not name the one before it";
                    faults.add(size, FaultKind::CheckpointMismatch, message);
                }
                if size != self.walk.at() || !self.walk.agrees(&checkpoint.root, &checkpoint.head) {
                    let message = "the log is not what the checkpoint says";
                    self.walk.faults.add(size, FaultKind::CheckpointMismatch, message);
                }
            }
        }
        self.last_checkpoint = (size, stored.hash());
    }

    fn anchor(&mut self) {
        let at = self.walk.at();
        let Some(anchored) = self.anchors.get(&at) else { return };
        self.compared += 1;
        if !self.walk.agrees(&anchored.root, &anchored.head) {
            self.walk.faults.add(at, FaultKind::AnchorMismatch, "the log is not what was anchored");
        }
        if self.last_checkpoint.0 != at {
            let message = "a checkpoint was anchored, and is not there";
            self.walk.faults.add(at, FaultKind::CheckpointMismatch, message);
        }
    }

    fn finish(&mut self, sequence: i64) {
        if let Some(anchored) = self.anchors.keys().next_back().filter(|size| **size > sequence) {
            let message = format!("{anchored} events were anchored, and there are {sequence}");
            self.walk.faults.add(sequence + 1, FaultKind::LogTruncated, message);
        }
        if !self.retention_told {
            let message = format!("events up to {} were dropped, and no event tells so", self.floor);
            self.walk.faults.add(self.floor, FaultKind::RetentionUnrecorded, message);
        }
    }
}

fn tells_of(event: &Event, floor: i64) -> bool {
    event.caller.method == retention::METHOD
        && event.revision == Revision(floor)
        && event.outcome == Outcome::Done
}
