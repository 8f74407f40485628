//! Backup and restore of the file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotswap_core::{Clock, Ids, StoreId};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::{Database, Db, StoreError};

/// Writes a copy of the store at `path` to the new file `to`: whole and consistent, while another process may
/// use the store. The copy is as private as a new file; it holds what the store holds.
///
/// # Errors
/// [`StoreError::Copy`]: `to` is there already, the disk is full, or `path` is no store.
pub async fn backup(path: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |source: Error| StoreError::Copy { path: to.to_owned(), source };
    // Made first: it fails where there is one, and nobody else may read it from its first byte on.
    new_private(to).map_err(|e| failed(e.into()))?;
    let copied = vacuum(path, to).await;
    if copied.is_err() {
        let _ = fs::remove_file(to);
    }
    copied.map_err(failed)
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn vacuum(path: &Path, to: &Path) -> Result<(), Error> {
    let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
    sqlx::query("VACUUM INTO $1").bind(to.to_string_lossy().into_owned()).execute(&mut connection).await?;
    connection.close().await?;
    File::open(to)?.sync_all()?;
    sync_folder(to)?;
    Ok(())
}

/// Puts the copy `from` in the place of the store at `path`, whose folder's lock the caller holds. The store gets
/// a new identity, so that no place in its former life is taken for one in this. Where it fails, the store is as
/// it was.
///
/// # Errors
/// [`StoreError::Copy`]: `from` can't be read or is damaged, or the disk is full; [`StoreError::TooNew`].
pub async fn restore(
    from: &Path,
    path: &Path,
    clock: &Arc<dyn Clock>,
    ids: &Arc<dyn Ids>,
) -> Result<StoreId, StoreError> {
    let failed = |source: Error| StoreError::Copy { path: from.to_owned(), source };
    let coming = beside(path, "restoring");
    let _ = fs::remove_file(&coming);
    let taken = take_in(from, &coming, clock, ids).await;
    let id = match taken {
        Ok(id) => id,
        Err(Refusal::Store(error)) => {
            remove_all(&coming);
            return Err(error);
        }
        Err(Refusal::Copy(error)) => {
            remove_all(&coming);
            return Err(failed(error));
        }
    };
    put_in_place(&coming, path).map_err(|e| failed(e.into()))?;
    Ok(id)
}

enum Refusal {
    Store(StoreError),
    Copy(Error),
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Copy(error.into())
    }
}

/// Copies, checks every page, brings the schema up to date and gives it its new identity.
async fn take_in(
    from: &Path,
    coming: &Path,
    clock: &Arc<dyn Clock>,
    ids: &Arc<dyn Ids>,
) -> Result<StoreId, Refusal> {
    new_private(coming)?;
    io::copy(&mut File::open(from)?, &mut File::options().write(true).open(coming)?)?;
    let mut connection = SqliteConnectOptions::new().filename(coming).connect().await?;
    check(&mut connection).await?;
    connection.close().await?;
    let db = Db::open(&Database::Sqlite(coming.to_owned()), clock, ids).await.map_err(Refusal::Store)?;
    let id = db.renew_identity(clock, ids).await;
    db.close().await;
    File::open(coming)?.sync_all()?;
    id.map_err(Refusal::Store)
}

async fn check(connection: &mut SqliteConnection) -> Result<(), Error> {
    let found: String =
        sqlx::query("PRAGMA integrity_check").fetch_one(&mut *connection).await?.try_get(0)?;
    if found != "ok" {
        return Err(format!("the copy is damaged: {found}").into());
    }
    let there = sqlx::query("SELECT name FROM sqlite_schema WHERE name = 'store_meta'");
    match there.fetch_optional(connection).await? {
        Some(_) => Ok(()),
        None => Err("it is no copy of a store".into()),
    }
}

/// The old store's log goes first: with the new file it would be a mixture.
fn put_in_place(coming: &Path, path: &Path) -> io::Result<()> {
    for end in ["-wal", "-shm"] {
        remove(&with_end(path, end))?;
        remove(&with_end(coming, end))?;
    }
    fs::rename(coming, path)?;
    sync_folder(path)
}

fn remove_all(coming: &Path) {
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(with_end(coming, end));
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn new_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    with_end(path, &format!(".{end}"))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => File::open(dir)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}
