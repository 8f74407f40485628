//! The data folder of a suite.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::StartError;

/// A folder (mode 0700) that one process at a time uses; the lock ends with this value, or with the process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder where it is not there, and locks it.
    ///
    /// # Errors
    /// [`StartError::DataDirInUse`] or [`StartError::DataDir`].
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::DataDir { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StartError::DataDirInUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only its owner reads (0600), whole or not at all; gives its path.
    ///
    /// # Errors
    /// [`StartError::DataDir`], as where the disk is full; a file of before is then left as it was.
    pub fn write_private(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, StartError> {
        let path = self.path.join(name);
        write_private(&path, bytes).map_err(|source| StartError::DataDir { path: path.clone(), source })?;
        Ok(path)
    }
}

/// Writes beside it, syncs, renames over it, syncs the folder.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temp)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = fs::remove_file(&temp);
        return Err(error);
    }
    fs::rename(&temp, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_second_process_on_the_same_folder_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("data");
        let first = DataDir::open(&path).expect("free");
        let refused = DataDir::open(&path).expect_err("in use");
        assert!(matches!(refused, StartError::DataDirInUse { .. }), "{refused}");
        drop(first);
        assert!(DataDir::open(&path).is_ok());
    }

    #[test]
    fn private_files_are_private_and_replaced_whole() {
        let dir = tempfile::tempdir().expect("dir");
        let data = DataDir::open(dir.path()).expect("free");
        data.write_private("token", b"one").expect("write");
        let path = data.write_private("token", b"two").expect("write");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(fs::metadata(&path).expect("meta").permissions().mode() & 0o777, 0o600);
    }
}
