//! What writes: it lives on a thread of its own and may block on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hotswap_runtime::{DataDir, StartError};

use super::State;
use super::files::{self, checkpoint_name, journal_name};
use super::format::{self, Checksum};
use super::image::{Change, Image};
use crate::metrics::ControlMetrics;

/// Generations that are kept.
const KEPT: usize = 3;
/// A journal below this size stays, whatever its checkpoint's, in bytes.
const SMALL_JOURNAL: u64 = 1024 * 1024;

/// Keeps what is applied.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    /// `None`: the folder could not be opened yet.
    dir: Option<DataDir>,
    image: Image,
    /// What is written to; `None`: the next change makes a checkpoint, as at first and after a failure.
    open: Option<Generation>,
    next: u64,
    good: Vec<u64>,
    bad: Vec<u64>,
    metrics: Arc<ControlMetrics>,
    failing: bool,
    /// The same of the key sets.
    fails_key_sets: bool,
}

#[derive(Debug)]
struct Generation {
    number: u64,
    checksum: Checksum,
    checkpoint_bytes: u64,
    /// `None`: nothing has changed since the checkpoint.
    journal: Option<File>,
    journal_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Folder(#[from] StartError),
    #[error("cannot write {}: {source}", .file.display())]
    Journal { file: PathBuf, source: io::Error },
}

impl Keeper {
    pub(super) fn new(state: State) -> Self {
        let State { path, dir, found, metrics, .. } = state;
        let newest = found.good.iter().chain(&found.bad).max().copied().unwrap_or(0);
        Self {
            path,
            failing: dir.is_none(),
            dir,
            image: found.image.unwrap_or_default(),
            open: None,
            next: newest + 1,
            good: found.good,
            bad: found.bad,
            metrics,
            fails_key_sets: false,
        }
    }

    /// The revision that is kept, 0 for none; `None`: what was to be kept is not. Of key sets one can do without.
    pub(super) fn safe_revision(&self) -> Option<i64> {
        (!self.failing).then_some(self.image.at.revision)
    }

    /// Writes the key sets. Where that fails, they are kept when there are others, or after a while.
    pub(super) fn keep_key_sets(&mut self, sets: &[u8]) {
        let written = self.folder().and_then(|dir| {
            let bytes = format::seal(files::KEY_SETS_MARK, sets);
            Ok(dir.write_private(files::KEY_SETS, &bytes).map(drop)?)
        });
        match written {
            Ok(()) => {
                if std::mem::take(&mut self.fails_key_sets) {
                    tracing::info!("the keys of tokens are kept on disk again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.fails_key_sets, true) {
                    tracing::warn!(%error, "the keys of tokens are not kept on disk");
                }
            }
        }
    }

    /// Writes what has changed. Where that fails, the next change tries it anew, with all that there is.
    pub(super) fn keep(&mut self, change: Change) {
        match self.write(change) {
            Ok(()) => {
                self.metrics.state_revision.store(self.image.at.revision, Ordering::Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the configuration is kept on disk again");
                }
            }
            Err(error) => {
                self.metrics.state_write_errors.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "the configuration is not kept on disk; it is tried again with the next change");
                }
            }
        }
    }

    fn write(&mut self, change: Change) -> Result<(), Error> {
        let open = self.open.take().filter(|generation| !change.whole && !generation.is_due());
        let record = open.as_ref().map(|_| format::record(&self.image, &change));
        // In any case: what is not written now is part of the next checkpoint.
        self.image.apply(change);
        let (Some(mut generation), Some(record)) = (open, record) else { return self.checkpoint() };
        let file = self.path.join(journal_name(generation.number));
        generation.append(&file, &record).map_err(|source| Error::Journal { file, source })?;
        self.open = Some(generation);
        Ok(())
    }

    /// The folder. One that was removed under way is made anew.
    fn folder(&mut self) -> Result<&DataDir, Error> {
        let dir = match self.dir.take().filter(|_| self.path.is_dir()) {
            Some(dir) => dir,
            None => DataDir::open(&self.path)?,
        };
        Ok(self.dir.insert(dir))
    }

    fn checkpoint(&mut self) -> Result<(), Error> {
        let number = self.next;
        let (bytes, checksum) = format::checkpoint(&self.image);
        self.folder()?.write_private(&checkpoint_name(number), &bytes)?;
        self.next += 1;
        self.good.insert(0, number);
        for old in self.bad.drain(..).chain(self.good.drain(KEPT.min(self.good.len())..)) {
            files::remove(&self.path, old);
        }
        let checkpoint_bytes = bytes.len() as u64;
        self.open = Some(Generation { number, checksum, checkpoint_bytes, journal: None, journal_bytes: 0 });
        Ok(())
    }
}

impl Generation {
    /// Whether its journal has grown past its share: reading it back should not take longer than reading the
    /// checkpoint, and writing checkpoints should not cost more than the changes.
    fn is_due(&self) -> bool {
        self.journal_bytes >= SMALL_JOURNAL && self.journal_bytes >= self.checkpoint_bytes / 2
    }

    /// Writes a record, safely. What a failed write left of it is cut off: it would not count, and it may be
    /// what fills the disk.
    fn append(&mut self, file: &Path, record: &[u8]) -> io::Result<()> {
        let new = self.journal.is_none();
        let written = if new { self.begin(file, record) } else { self.extend(record) };
        if written.is_err() {
            let _ = match &self.journal {
                Some(journal) if !new => journal.set_len(self.journal_bytes),
                _ => fs::remove_file(file),
            };
        }
        written
    }

    fn begin(&mut self, file: &Path, record: &[u8]) -> io::Result<()> {
        let mut journal = OpenOptions::new().create_new(true).append(true).mode(0o600).open(file)?;
        let bytes = [&format::journal_header(&self.checksum)[..], record].concat();
        journal.write_all(&bytes)?;
        journal.sync_all()?;
        file.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())?;
        self.journal_bytes = bytes.len() as u64;
        self.journal = Some(journal);
        Ok(())
    }

    fn extend(&mut self, record: &[u8]) -> io::Result<()> {
        if let Some(journal) = &mut self.journal {
            journal.write_all(record)?;
            journal.sync_data()?;
            self.journal_bytes += record.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
