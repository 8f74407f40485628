//! Anchors: checkpoints kept outside of the database, so that whoever can change the log can't change what it was.
//!
//! The file has a JSON object a line, `{"chain", "size", "note"}`, and is only ever appended to. Copy it to where
//! the owner of the database can't write, and nothing that it covers can be changed unseen.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hotswap_core::StoreId;
use serde::{Deserialize, Serialize};

use crate::{Chain, Checkpoint, Hash, PublicKey};

/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 16 * 1024;

#[derive(Serialize, Deserialize)]
struct Line {
    chain: String,
    size: i64,
    note: String,
}

/// What a checkpoint says of a chain, as it was anchored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchored {
    /// The root of the tree.
    pub(crate) root: Hash,
    /// The hash of the last event.
    pub(crate) head: Hash,
}

/// The anchors of a file.
#[derive(Clone, Debug, Default)]
pub struct AnchorSet {
    /// By chain and size.
    anchors: BTreeMap<Chain, BTreeMap<i64, Anchored>>,
    /// The newest size of each chain of each store.
    newest: BTreeMap<(Chain, u128), i64>,
    /// What is wrong with the file itself.
    faults: Vec<String>,
}

impl AnchorSet {
    /// Reads anchors that one of `keys` signed.
    ///
    /// # Errors
    /// Where they can't be read.
    pub fn read(from: impl io::Read, keys: &[PublicKey]) -> io::Result<Self> {
        let mut set = Self::default();
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if let Err(why) = set.take_in(&line, keys) {
                set.faults.push(format!("line {number} of the anchors: {why}"));
            }
        }
        Ok(set)
    }

    fn take_in(&mut self, line: &[u8], keys: &[PublicKey]) -> Result<(), String> {
        let line: Line = serde_json::from_slice(line).map_err(|_| "it is not an anchor".to_owned())?;
        let (checkpoint, _) = Checkpoint::open(&line.note, keys).map_err(|fault| fault.to_string())?;
        let Checkpoint { store, chain, size, root, head, .. } = checkpoint;
        if (chain.to_string(), size) != (line.chain, line.size) {
            return Err("it says other than its note".to_owned());
        }
        let newest = self.newest.entry((chain.clone(), store.0.as_u128())).or_default();
        *newest = size.max(*newest);
        let anchored = Anchored { root, head };
        let before = self.anchors.entry(chain).or_default().insert(size, anchored);
        if before.is_some_and(|before| before != anchored) {
            return Err(format!("there are two histories of {size} events; one was signed over the other"));
        }
        Ok(())
    }

    /// Those of a chain, by size.
    pub(crate) fn of(&self, chain: &Chain) -> BTreeMap<i64, Anchored> {
        self.anchors.get(chain).cloned().unwrap_or_default()
    }

    /// The chains that have any.
    pub(crate) fn chains(&self) -> impl Iterator<Item = Chain> {
        self.anchors.keys().cloned()
    }

    /// What is wrong with the file itself.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }
}

/// The file that this process anchors checkpoints in, if it does; cheap to clone.
#[derive(Clone)]
pub(crate) struct Anchors {
    path: Option<Arc<Path>>,
    /// The newest size that was anchored, by chain and store.
    newest: Arc<Mutex<BTreeMap<(Chain, u128), i64>>>,
}

impl Anchors {
    pub(crate) fn open(path: Option<PathBuf>, keys: &[PublicKey]) -> io::Result<Self> {
        let newest = match &path {
            Some(path) => {
                mend(path)?;
                read(path, keys)?.newest
            }
            None => BTreeMap::new(),
        };
        Ok(Self { path: path.map(Into::into), newest: Arc::new(Mutex::new(newest)) })
    }

    /// What is anchored; `None`: this process anchors nothing.
    pub(crate) async fn read(&self, keys: &[PublicKey]) -> io::Result<Option<AnchorSet>> {
        let Some(path) = self.path.clone() else { return Ok(None) };
        let keys = keys.to_vec();
        blocking(move || read(&path, &keys)).await.map(Some)
    }

    /// The size up to which a chain is anchored here; `None`: nothing is anchored here.
    pub(crate) fn newest(&self, store: StoreId, chain: &Chain) -> Option<i64> {
        self.path.as_ref()?;
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        Some(newest.get(&(chain.clone(), store.0.as_u128())).copied().unwrap_or(0))
    }

    /// Appends checkpoints, and waits until the disk has them.
    pub(crate) async fn append(
        &self,
        store: StoreId,
        chain: &Chain,
        notes: Vec<(i64, String)>,
    ) -> io::Result<()> {
        let (Some(path), Some(last)) = (self.path.clone(), notes.last().map(|(size, _)| *size)) else {
            return Ok(());
        };
        let mut text = String::new();
        for (size, note) in notes {
            text.push_str(&serde_json::to_string(&Line { chain: chain.to_string(), size, note })?);
            text.push('\n');
        }
        blocking(move || {
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            // One write, so that those of another process don't mix with it.
            file.write_all(text.as_bytes())?;
            file.sync_data()
        })
        .await?;
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.insert((chain.clone(), store.0.as_u128()), last);
        Ok(())
    }
}

fn read(path: &Path, keys: &[PublicKey]) -> io::Result<AnchorSet> {
    match File::open(path) {
        Ok(file) => AnchorSet::read(file, keys),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(AnchorSet::default()),
        Err(error) => Err(error),
    }
}

/// Takes away a last line that a crash cut short; nobody was told that it was written.
fn mend(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let end = file.metadata()?.len();
    let from = end.saturating_sub(MAX_LINE);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < tail.len() {
        tracing::warn!(path = %path.display(), "the last anchor was cut short, as by a crash; it is taken away");
        file.set_len(from + whole as u64)?;
        file.sync_data()?;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use hotswap_core::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::AuditKey as _;
    use crate::note::tests::TestKey;

    const STORE: StoreId = StoreId(Uuid::from_u128(1));

    fn note(size: i64, root: &[u8]) -> String {
        let checkpoint = Checkpoint {
            store: STORE,
            chain: Chain::Platform,
            size,
            root: Hash::of(root),
            at: Timestamp(1),
            head: Hash::of(root),
            previous: Hash::ZERO,
            file: None,
        };
        checkpoint.sign(&TestKey::new(1)).expect("signed")
    }

    async fn with(notes: Vec<(i64, String)>) -> (tempfile::TempDir, PathBuf, Vec<PublicKey>) {
        let dir = tempfile::tempdir().expect("dir");
        let (path, keys) = (dir.path().join("anchors"), vec![TestKey::new(1).public()]);
        let anchors = Anchors::open(Some(path.clone()), &keys).expect("opens");
        anchors.append(STORE, &Chain::Platform, notes).await.expect("appended");
        (dir, path, keys)
    }

    #[tokio::test]
    async fn what_is_anchored_is_private_and_found_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, path, keys) = with(vec![(1, note(1, b"a")), (5, note(5, b"b"))]).await;
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        let anchors = Anchors::open(Some(path), &keys).expect("opens");
        assert_eq!(anchors.newest(STORE, &Chain::Platform), Some(5));
        assert_eq!(anchors.newest(StoreId(Uuid::nil()), &Chain::Platform), Some(0));
        let set = anchors.read(&keys).await.expect("reads").expect("there");
        assert_eq!(set.of(&Chain::Platform).into_keys().collect::<Vec<_>>(), [1, 5]);
        assert!(set.faults().is_empty());
    }

    #[tokio::test]
    async fn a_line_that_a_crash_cut_short_is_taken_away_and_others_are_not() {
        let (_dir, path, keys) = with(vec![(1, note(1, b"a"))]).await;
        let whole = std::fs::read_to_string(&path).expect("reads");
        std::fs::write(&path, format!("{whole}{}", &whole[..20])).expect("written");
        let anchors = Anchors::open(Some(path.clone()), &keys).expect("opens");
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), whole);
        std::fs::write(&path, format!("nonsense\n{whole}")).expect("written");
        let set = anchors.read(&keys).await.expect("reads").expect("there");
        assert_eq!(set.faults(), ["line 1 of the anchors: it is not an anchor"]);
    }

    #[tokio::test]
    async fn two_histories_and_foreign_signatures_are_told() {
        let (_dir, path, keys) = with(vec![(1, note(1, b"a")), (1, note(1, b"other"))]).await;
        let set = read(&path, &keys).expect("reads");
        assert!(set.faults()[0].contains("two histories"), "{:?}", set.faults());
        let set = read(&path, &[TestKey::new(2).public()]).expect("reads");
        assert_eq!(set.faults().len(), 2);
        assert!(set.of(&Chain::Platform).is_empty());
    }

    #[tokio::test]
    async fn every_flipped_bit_of_an_anchor_is_told() {
        let (_dir, path, keys) = with(vec![(1, note(1, b"a"))]).await;
        let whole = std::fs::read(&path).expect("reads");
        for at in 0..whole.len() - 1 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            let set = AnchorSet::read(bytes.as_slice(), &keys).expect("reads");
            assert!(!set.faults().is_empty(), "{at}: {}", String::from_utf8_lossy(&bytes));
        }
    }
}
