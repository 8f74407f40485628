//! Writes an export, piece by piece.

use std::sync::Arc;

use hotswap_store::StoreError;
use tokio::sync::OwnedSemaphorePermit;

use super::{Begin, End, EventRecord, FORM, Format, Omitted, Record, csv, line};
use crate::hash::Hasher;
use crate::list::{Selection, event, show_time};
use crate::merkle::Gathered;
use crate::verify::Start;
use crate::walk::Walk;
use crate::{
    AuditError, AuditLog, Caller, Chain, Change, Checkpoint, Diff, Entry, Frontier, Hash, Sealed, sql,
};

/// Events that are read at once.
const PAGE: i64 = 500;
/// The largest piece, in bytes.
const PIECE: usize = 64 * 1024;

/// What to export.
#[derive(Clone, Debug)]
pub struct ExportQuery {
    /// The chain.
    pub chain: Chain,
    /// Conditions (AIP-160); empty: everything.
    pub filter: String,
    /// The form.
    pub format: Format,
}

/// An export that is being made.
pub struct Export {
    log: AuditLog,
    query: ExportQuery,
    selection: Selection,
    through: i64,
    walk: Walk,
    /// Events that the filter left out since the last that it wanted.
    left_out: Option<Gathered>,
    digest: Hasher,
    /// What is written and not yet taken.
    buffer: Vec<u8>,
    events: u64,
    omitted: u64,
    ended: bool,
    _turn: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("query", &self.query).finish_non_exhaustive()
    }
}

impl AuditLog {
    /// Begins an export of what is there now. That somebody did so is recorded first, and is in it.
    ///
    /// # Errors
    /// [`AuditError::Invalid`], [`AuditError::Busy`], [`AuditError::Damaged`], or as the store says.
    pub async fn export(&self, caller: Caller, query: ExportQuery) -> Result<Export, AuditError> {
        let selection = Selection::parse(&query.filter)?;
        let turn = Arc::clone(&self.inner.exports).try_acquire_owned().map_err(|_| AuditError::Busy)?;
        let by = caller.actor.clone();
        let through = self.record_export(caller, &query).await?;
        let start = Start::read(&mut self.inner.db.read().await?, &query.chain).await?;
        let (walk, tree) = start.base(self, &query.chain)?;
        let mut export = Export {
            log: self.clone(),
            selection,
            through,
            walk,
            left_out: None,
            digest: Hasher::new(),
            buffer: Vec::new(),
            events: 0,
            omitted: 0,
            ended: false,
            _turn: turn,
            query,
        };
        export.begin(&by, &tree);
        Ok(export)
    }

    async fn record_export(&self, caller: Caller, query: &ExportQuery) -> Result<i64, StoreError> {
        let asked = Change {
            path: "filter".to_owned(),
            old_json: None,
            new_json: serde_json::to_string(&crate::event::clean(&query.filter, 1_024)).ok(),
        };
        let diff = Diff { changes: vec![asked], ..Diff::default() };
        let resource = format!("auditLogs/{}", query.chain);
        let entry = Entry::done(caller, resource, hotswap_core::Revision::ZERO, diff);
        Ok(self.record_alone(&query.chain, entry).await?.sequence)
    }
}

impl Export {
    /// The next bytes of the file, at most 64 KiB; `None`: that was all.
    ///
    /// # Errors
    /// [`AuditError::Damaged`] where the log is not as it was written: what is damaged is not signed.
    /// [`AuditError::Moved`] where retention went on meanwhile. Else as the store says.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, AuditError> {
        while self.buffer.len() < PIECE && !self.ended {
            if self.walk.at() < self.through {
                self.page().await?;
            } else {
                self.end()?;
            }
        }
        let rest = self.buffer.split_off(PIECE.min(self.buffer.len()));
        let piece = std::mem::replace(&mut self.buffer, rest);
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }

    fn begin(&mut self, by: &str, tree: &Frontier) {
        let inner = &self.log.inner;
        let begin = Begin {
            form: FORM.to_owned(),
            store: inner.db.store_id().0,
            chain: self.query.chain.to_string(),
            filter: self.query.filter.clone(),
            after: self.walk.at(),
            previous_hash: self.walk.previous().unwrap_or(Hash::ZERO),
            frontier: tree.nodes().to_vec(),
            through: self.through,
            exported_at: show_time(inner.clock.now()),
            exported_by: by.to_owned(),
            public_key: inner.key.public().to_string(),
        };
        if self.query.format == Format::Csv {
            self.put(csv::HEAD.as_bytes());
        }
        self.write(&Record::Begin(begin));
    }

    async fn page(&mut self) -> Result<(), AuditError> {
        let chain = &self.query.chain;
        let range = [chain.to_string().into(), self.walk.at().into(), self.through.into(), PAGE.into()];
        let rows = self.log.inner.db.read().await?.fetch_all(sql::AFTER, &range).await?;
        let sealed = rows.iter().map(|row| event(row, chain)).collect::<Result<Vec<_>, _>>()?;
        let first = sealed.first().map(|s| s.event.sequence);
        if first != Some(self.walk.at() + 1) {
            let floor = Start::read(&mut self.log.inner.db.read().await?, chain).await?.floor();
            if floor > self.walk.at() {
                return Err(AuditError::Moved { chain: chain.clone() });
            }
        }
        if sealed.is_empty() {
            return Err(self.damaged(self.walk.at() + 1, "it is missing"));
        }
        sealed.into_iter().try_for_each(|sealed| self.take(sealed))
    }

    fn take(&mut self, sealed: Sealed) -> Result<(), AuditError> {
        let sequence = sealed.event.sequence;
        self.walk.step(sequence, Ok(&sealed));
        if let Some(fault) = self.walk.faults.list().first() {
            return Err(self.damaged(fault.sequence, &fault.message));
        }
        if self.selection.wants(&sealed.event) {
            self.write_left_out(sealed.previous);
            self.events += 1;
            self.write(&Record::Event(Box::new(EventRecord::new(sealed))));
        } else {
            self.omitted += 1;
            let index = u64::try_from(sequence - 1).unwrap_or(0);
            self.left_out.get_or_insert_with(|| Gathered::from(index)).push(sealed.hash);
        }
        Ok(())
    }

    fn write_left_out(&mut self, last_hash: Hash) {
        let Some(gathered) = self.left_out.take() else { return };
        let first = i64::try_from(gathered.first()).unwrap_or(i64::MAX) + 1;
        let last = first + i64::try_from(gathered.count()).unwrap_or(0) - 1;
        self.write(&Record::Omitted(Omitted { first, last, subtrees: gathered.into_nodes(), last_hash }));
    }

    fn end(&mut self) -> Result<(), AuditError> {
        let (Some(head), Some(root)) = (self.walk.previous(), self.walk.tree().map(Frontier::root)) else {
            return Err(self.damaged(self.through, "its place in the tree is not known"));
        };
        self.write_left_out(head);
        let inner = &self.log.inner;
        let checkpoint = Checkpoint {
            store: inner.db.store_id(),
            chain: self.query.chain.clone(),
            size: self.through,
            root,
            at: inner.clock.now(),
            head,
            previous: Hash::ZERO,
            file: Some(self.digest.so_far()),
        };
        let note = checkpoint.sign(inner.key.as_ref()).ok_or(AuditError::Key)?;
        self.write(&Record::End(End { events: self.events, omitted: self.omitted, note }));
        self.ended = true;
        Ok(())
    }

    fn write(&mut self, record: &Record) {
        let line = line(record, self.query.format);
        self.put(&line);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.buffer.extend_from_slice(bytes);
    }

    fn damaged(&self, sequence: i64, what: &str) -> AuditError {
        AuditError::Damaged { chain: self.query.chain.clone(), sequence, what: what.to_owned() }
    }
}
