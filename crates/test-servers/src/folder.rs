//! A folder that does not outlive its owner, with all that runs in it.

use std::io::{self, PipeWriter};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Unavailable;
use crate::user::User;

const KEEPER: &str = include_str!("keeper.sh");

/// A new folder under the machine's temporary one. Dropped, it is removed, and before that everything that wrote
/// a `.pid` file in it is killed. The same happens where this process ends without a drop, even by `kill -9`.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    keeper: Child,
    /// The keeper reads the other end, and acts when this one is closed.
    hold: Option<PipeWriter>,
}

impl Folder {
    /// A folder named `<prefix>…`, of `owner` where one is given.
    pub(crate) fn new(prefix: &str, owner: Option<User>) -> Result<Self, Unavailable> {
        Self::make(prefix, owner).map_err(|e| Unavailable::failed("a folder for a server", e))
    }

    fn make(prefix: &str, owner: Option<User>) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix(prefix).tempdir()?;
        if let Some(User { uid, gid }) = owner {
            chown(dir.path(), Some(uid), Some(gid))?;
        }
        // Closed on exec, so no process that is started later holds it too.
        let (input, hold) = io::pipe()?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(dir.path())
            .current_dir("/")
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What ends our group, as Ctrl-C does, must not end the keeper.
            .process_group(0)
            .spawn()?;
        Ok(Self { path: dir.keep(), keeper, hold: Some(hold) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.hold.take());
        let _ = self.keeper.wait();
    }
}
