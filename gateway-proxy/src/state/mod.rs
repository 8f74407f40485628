//! The copy of the configuration on disk, from which the gateway starts when the control plane is away.
//!
//! ```text
//!   Held ── Change (after it is active) ─► Queue ─► Keeper, a thread of its own
//!           coalesced by name while the disk is slow     │
//!                                                        ├─► {n}.checkpoint   all resources
//!   start ◄── load: the newest that is whole ◄───────────┴─► {n}.journal      what changed since, fsynced
//! ```
//!
//! What is kept: resources as the stream brought them (but for private keys, which are sealed or left out), each at the version last accepted, the place that they
//! stand at, and their digest. A checkpoint and its journal are a *generation*; the newest three are kept. No
//! request and no configuration ever waits for the disk: a change is in force first, and written then.
//!
//! # When a generation counts
//! A checkpoint is written beside, fsynced and renamed, and carries a checksum over all of it: one that is cut
//! short, altered or of another format is passed over for the next older one. Its journal names it by that
//! checksum; each record has a checksum of its own and the digest of what it leads to. A journal is used up to
//! the last record that is whole and fits: what is behind it never counts, and what is before it has been
//! checked and is newer than any older generation.
//!
//! # Key sets
//! What was fetched to verify tokens by ([`crate::keys`]) lies beside, in one file, under the same lock and written by the
//! same thread. One that is damaged is as none: it is said, and the keys are fetched.
//!
//! # When the disk fails
//! It is said once, counted, and tried again with the next change, as a checkpoint of everything: a journal
//! that a failed write may have torn is not written to again.

mod files;
mod format;
mod image;
mod keeper;
mod queue;
mod secret;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hotswap_api::gateway::v1::{Resource, ResumeToken};
use hotswap_runtime::{DataDir, StartError};

pub use self::image::Change;
pub use self::queue::{Hold, StateHandle, Turn};
pub use self::secret::Secrets;

use self::files::Found;
use self::image::Image;
use self::keeper::Keeper;
use crate::metrics::ControlMetrics;

/// The gateway's folder, and what was found in it.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    dir: Option<DataDir>,
    found: Found,
    metrics: Arc<ControlMetrics>,
    secrets: Secrets,
}

/// What was on disk.
#[derive(Debug)]
pub struct Saved<'a>(&'a Image, &'a Secrets);

impl State {
    /// Opens the folder, and reads the newest state that is whole. A folder that can't be written is no reason
    /// not to serve: what can be read of it is used.
    ///
    /// `lock`: that of the folder, where another gateway has given it to this one.
    ///
    /// # Errors
    /// Where another gateway uses the folder.
    pub fn open(path: &Path, lock: Option<File>, metrics: Arc<ControlMetrics>) -> Result<Self, StartError> {
        let opened = match lock {
            None => DataDir::open(path),
            // It is no folder to go on without: another gateway would not know that it is in use.
            Some(lock) => Ok(DataDir::adopt(path, lock)?),
        };
        let dir = match opened {
            Ok(dir) => Some(dir),
            Err(StartError::DataDirInUse { path }) => return Err(in_use(&path)),
            Err(error) => {
                metrics.state_write_errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "the configuration is not kept on disk until this is mended");
                None
            }
        };
        let found = files::load(path);
        if let (Some(_), Some((journal, length))) = (&dir, &found.torn) {
            // What does not count must not fill the disk. Where it can't be cut off, it does no other harm.
            let _ = File::options().write(true).open(journal).and_then(|file| file.set_len(*length));
        }
        Ok(Self { path: path.to_owned(), dir, found, metrics, secrets: Secrets::default() })
    }

    /// Opens the private keys in it with these.
    pub fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// What was on disk; `None`: nothing that can be used.
    pub fn saved(&self) -> Option<Saved<'_>> {
        self.found.image.as_ref().map(|image| Saved(image, &self.secrets))
    }

    /// The key sets that were on disk, as they were given to [`StateHandle::keep_key_sets`]; `None`: none that can be used.
    pub fn key_sets(&self) -> Option<Vec<u8>> {
        files::key_sets(&self.path)
    }

    /// The folder's lock once more, to be given to another gateway; `None`: it is not locked.
    pub fn lock(&self) -> Option<File> {
        self.dir.as_ref().and_then(|dir| dir.lock().ok())
    }

    /// Starts the thread that keeps changes; `held`: none is written until [`StateHandle::go_on`].
    ///
    /// # Errors
    /// Where there can be no thread.
    pub fn start(self, held: bool) -> std::io::Result<StateHandle> {
        StateHandle::start(Keeper::new(self), held)
    }
}

impl Saved<'_> {
    /// Where it stands.
    pub fn at(&self) -> &ResumeToken {
        &self.0.at
    }

    /// Whether the stream can go on from there.
    pub fn is_resumable(&self) -> bool {
        self.0.resumable
    }

    /// The resources, in no order.
    pub fn resources(&self) -> impl Iterator<Item = Resource> {
        self.0.resources().map(|kept| self.1.opened(kept))
    }
}

fn in_use(path: &Path) -> StartError {
    StartError::Option(format!(
        "the folder {} is in use by another gateway; stop that one, or choose another with --gateway-data-dir",
        path.display()
    ))
}
