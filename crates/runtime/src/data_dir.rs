//! The data folder of a suite.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::StartError;

/// A folder (mode 0700) that one process at a time uses; the lock ends with this value, or with the process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
    /// One write at a time: two of one name would share the file beside it.
    writing: Mutex<()>,
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
            Ok(()) => Ok(Self::locked(path, lock)),
            Err(TryLockError::WouldBlock) => Err(StartError::DataDirInUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The folder under a lock that another process has given to this one ([`Self::lock`]). It ends with the last process
    /// that holds it.
    ///
    /// # Errors
    /// [`StartError::DataDir`] where it is not the lock of this folder.
    pub fn adopt(path: &Path, lock: File) -> Result<Self, StartError> {
        let failed = |source| StartError::DataDir { path: path.to_owned(), source };
        let (theirs, ours) =
            (lock.metadata().map_err(failed)?, fs::metadata(path.join("lock")).map_err(failed)?);
        if (theirs.dev(), theirs.ino()) != (ours.dev(), ours.ino()) {
            return Err(failed(io::Error::other("the lock is of another folder")));
        }
        // One that is held: no other process can have taken it meanwhile.
        lock.try_lock().map_err(|e| failed(e.into()))?;
        Ok(Self::locked(path, lock))
    }

    fn locked(path: &Path, lock: File) -> Self {
        Self { path: path.to_owned(), lock, writing: Mutex::new(()) }
    }

    /// The lock once more, to be given to another process.
    ///
    /// # Errors
    /// Where no file descriptor is left.
    pub fn lock(&self) -> io::Result<File> {
        self.lock.try_clone()
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
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        write_private(&path, bytes).map_err(|source| StartError::DataDir { path: path.clone(), source })?;
        Ok(path)
    }

    /// Reads a file; `None` where there is none of this name.
    ///
    /// # Errors
    /// [`StartError::DataDir`], as where it may not be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StartError> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StartError::DataDir { path, source }),
        }
    }
}

/// Writes beside it, syncs, renames over it, syncs the folder.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // The whole name and an end: "a.key" and "a.token" must not meet.
    let mut temp = path.as_os_str().to_owned();
    temp.push(".new");
    let temp = PathBuf::from(temp);
    // What a crash left is not written into: its mode need not be ours.
    match fs::remove_file(&temp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temp)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temp, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&temp);
        return Err(error);
    }
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
    fn a_lock_that_is_given_on_lasts_as_long_as_one_of_both_holds_it() {
        let dir = tempfile::tempdir().expect("dir");
        let first = DataDir::open(dir.path()).expect("free");
        let second = DataDir::adopt(dir.path(), first.lock().expect("one more")).expect("its lock");
        drop(first);
        assert!(DataDir::open(dir.path()).is_err(), "held without a gap");
        let elsewhere = tempfile::tempdir().expect("dir");
        let _other = DataDir::open(elsewhere.path()).expect("free");
        let error =
            DataDir::adopt(elsewhere.path(), second.lock().expect("one more")).expect_err("another's");
        assert!(error.to_string().contains("of another folder"), "{error}");
        drop(second);
        assert!(DataDir::open(dir.path()).is_ok());
    }

    #[test]
    fn private_files_are_private_and_replaced_whole() {
        let dir = tempfile::tempdir().expect("dir");
        let data = DataDir::open(dir.path()).expect("free");
        data.write_private("token", b"one").expect("write");
        let path = data.write_private("token", b"two").expect("write");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(fs::metadata(&path).expect("meta").permissions().mode() & 0o777, 0o600);
        assert_eq!(data.read("token").expect("read").as_deref(), Some(&b"two"[..]));
        assert_eq!(data.read("other").expect("read"), None);
    }

    #[test]
    fn what_a_crash_left_behind_exposes_nothing() {
        let dir = tempfile::tempdir().expect("dir");
        let data = DataDir::open(dir.path()).expect("free");
        let left = dir.path().join("token.new");
        fs::write(&left, b"half").expect("write");
        fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).expect("chmod");
        let path = data.write_private("token", b"whole").expect("write");
        assert_eq!(fs::read(&path).expect("read"), b"whole");
        assert_eq!(fs::metadata(&path).expect("meta").permissions().mode() & 0o777, 0o600);
        assert!(!left.exists());
    }

    #[test]
    fn a_write_that_fails_leaves_the_file_of_before_and_nothing_beside_it() {
        let dir = tempfile::tempdir().expect("dir");
        let data = DataDir::open(dir.path()).expect("free");
        fs::create_dir(dir.path().join("taken")).expect("folder");
        let error = data.write_private("taken", b"x").expect_err("a folder is in the way").to_string();
        assert!(error.starts_with("cannot use the data folder ") && !error.contains('\n'), "{error}");
        assert!(dir.path().join("taken").is_dir() && !dir.path().join("taken.new").exists());
    }

    #[test]
    fn a_new_folder_is_its_owners_alone_and_a_folder_that_cannot_be_is_one_line() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("a/b");
        let _data = DataDir::open(&path).expect("free");
        assert_eq!(fs::metadata(&path).expect("meta").permissions().mode() & 0o777, 0o700);
        fs::write(dir.path().join("file"), b"").expect("write");
        let error = DataDir::open(&dir.path().join("file")).expect_err("a file").to_string();
        assert!(error.contains("file") && !error.contains('\n'), "{error}");
    }
}
