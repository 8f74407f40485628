//! The files of a folder: `{number}.checkpoint` and `{number}.journal`, twenty digits each, so that a listing
//! shows them in order; and `key-sets`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::format::{self, Fault, Replayed};
use super::image::Image;

/// The file of the key sets.
pub(super) const KEY_SETS: &str = "key-sets";
/// What it begins with.
pub(super) const KEY_SETS_MARK: [u8; 8] = *b"HSGWKEYS";
/// A larger one is not read, in bytes.
const LARGEST_KEY_SETS: u64 = 20 * 1024 * 1024;

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The newest configuration that is whole.
    pub(super) image: Option<Image>,
    /// Its journal, where that has an end that does not count: up to which byte it does.
    pub(super) torn: Option<(PathBuf, u64)>,
    /// Numbers of the generations that may be used, the newest first; the first one was.
    pub(super) good: Vec<u64>,
    /// Numbers of files that can't be used, or that belong to nothing.
    pub(super) bad: Vec<u64>,
}

pub(super) fn checkpoint_name(number: u64) -> String {
    format!("{number:020}.checkpoint")
}

pub(super) fn journal_name(number: u64) -> String {
    format!("{number:020}.journal")
}

/// Reads the newest generation that is whole. Each one that is passed over is said, with the reason.
pub(super) fn load(dir: &Path) -> Found {
    let mut numbers = numbers(dir);
    numbers.sort_unstable();
    numbers.dedup();
    let mut found = Found::default();
    for number in numbers.into_iter().rev() {
        if found.image.is_some() {
            found.good.push(number);
            continue;
        }
        match generation(dir, number) {
            Ok((image, torn)) => {
                found.image = Some(image);
                found.torn = torn;
                found.good.push(number);
            }
            Err(fault) => {
                let file = dir.join(checkpoint_name(number));
                tracing::warn!(file = %file.display(), "kept configuration not used, an older one is tried: {fault}");
                found.bad.push(number);
            }
        }
    }
    found
}

/// Removes a generation; what is not there counts as removed.
pub(super) fn remove(dir: &Path, number: u64) {
    for name in [journal_name(number), checkpoint_name(number)] {
        let file = dir.join(name);
        if let Err(error) = fs::remove_file(&file)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::debug!(file = %file.display(), %error, "not removed");
        }
    }
}

/// The key sets that were kept; `None`: none, or none that can be used, which is said.
pub(super) fn key_sets(dir: &Path) -> Option<Vec<u8>> {
    let file = dir.join(KEY_SETS);
    let read = read_bounded(&file).map_err(Fault::Unreadable);
    match read.and_then(|bytes| Ok(format::unseal(KEY_SETS_MARK, &bytes)?.to_vec())) {
        Ok(sets) => Some(sets),
        Err(Fault::Unreadable(error)) if error.kind() == ErrorKind::NotFound => None,
        Err(fault) => {
            tracing::warn!(file = %file.display(), "kept keys of tokens not used: {fault}");
            None
        }
    }
}

fn read_bounded(file: &Path) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: to open a pipe waits.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(LARGEST_KEY_SETS + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_KEY_SETS {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

/// A generation, and its journal where that has an end that does not count: up to which byte it does.
type Generation = (Image, Option<(PathBuf, u64)>);

fn generation(dir: &Path, number: u64) -> Result<Generation, Fault> {
    let bytes = fs::read(dir.join(checkpoint_name(number))).map_err(Fault::Unreadable)?;
    let (mut image, checksum) = format::read_checkpoint(&bytes)?;
    drop(bytes);
    let journal = dir.join(journal_name(number));
    let replayed = match fs::read(&journal) {
        Ok(bytes) => format::replay(&mut image, &checksum, &bytes),
        // No change has come since the checkpoint.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((image, None)),
        Err(error) => Replayed { records: 0, length: 0, rest: Err(Fault::Unreadable(error)) },
    };
    let Err(fault) = replayed.rest else { return Ok((image, None)) };
    let (records, revision) = (replayed.records, image.at.revision);
    tracing::warn!(file = %journal.display(), records, revision, "journal used up to its last whole record: {fault}");
    // One of which nothing counts may be another's, or unreadable for the moment: it is left alone.
    Ok((image, Some((journal, replayed.length as u64)).filter(|torn| torn.1 > 0)))
}

fn numbers(dir: &Path) -> Vec<u64> {
    // A folder that can't be read holds nothing that could be used.
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let number = |name: &str| {
        let stem = name.strip_suffix(".checkpoint").or_else(|| name.strip_suffix(".journal"))?;
        (stem.len() == 20).then(|| stem.parse().ok()).flatten()
    };
    entries.filter_map(|entry| number(entry.file_name().to_str()?)).collect()
}
