//! Where lines go: a file that may be moved away and begun anew, or standard output. A disk that is full for a while
//! costs the lines of that while, and no more.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hotswap_core::Timestamp;

/// Time between two looks whether the file at the path is still the one that is open, and between two tries to open
/// it, in µs.
const LOOK_US: i64 = 1_000_000;

/// The file or standard output.
#[derive(Debug)]
pub(super) struct Sink {
    path: Option<PathBuf>,
    /// `None`: it can't be opened.
    file: Option<File>,
    looked_at: Timestamp,
    /// The last write failed: a part of a line may stand at the end.
    is_broken: bool,
}

impl Sink {
    /// Opens the file, or standard output where no path is given.
    ///
    /// # Errors
    /// The file can't be opened.
    pub(super) fn open(path: Option<&Path>, now: Timestamp) -> io::Result<Self> {
        let file = path.map(append).transpose()?;
        Ok(Self { path: path.map(Path::to_owned), file, looked_at: now, is_broken: false })
    }

    /// Writes whole lines. Gives whether they were.
    pub(super) fn write(&mut self, lines: &[u8], now: Timestamp) -> bool {
        self.look(now);
        let written = match (&self.path, &mut self.file) {
            (None, _) => all(&mut io::stdout().lock(), self.is_broken, lines),
            (Some(_), Some(file)) => all(file, self.is_broken, lines),
            (Some(_), None) => return false,
        };
        match &written {
            Err(error) if !self.is_broken => {
                tracing::error!(%error, "the access log can't be written; its lines are dropped until it can");
            }
            Ok(()) if self.is_broken => tracing::info!("the access log is written again"),
            _ => {}
        }
        self.is_broken = written.is_err();
        written.is_ok()
    }

    /// Opens the path anew where the file was moved away or removed, as logrotate does.
    fn look(&mut self, now: Timestamp) {
        let Some(path) = self.path.as_deref().filter(|_| now.0 - self.looked_at.0 >= LOOK_US) else { return };
        self.looked_at = now;
        let open = self.file.as_ref().and_then(|file| file.metadata().ok());
        let there = path.metadata().ok();
        let is_same =
            |(a, b): (std::fs::Metadata, std::fs::Metadata)| (a.dev(), a.ino()) == (b.dev(), b.ino());
        if open.zip(there).is_some_and(is_same) {
            return;
        }
        match append(path) {
            Ok(file) => {
                self.file = Some(file);
                self.is_broken = false;
            }
            // The file that is open goes on, wherever it was moved to.
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the access log can't be opened anew")
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// `is_broken`: what stands before may be a part of a line.
fn all(out: &mut impl Write, is_broken: bool, lines: &[u8]) -> io::Result<()> {
    if is_broken {
        out.write_all(b"\n")?;
    }
    out.write_all(lines)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * LOOK_US)
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("log");
        let mut sink = Sink::open(Some(&path), at(0)).expect("opens");
        assert!(sink.write(b"a\n", at(0)));
        fs::rename(&path, dir.path().join("log.1")).expect("moved");
        assert!(sink.write(b"b\n", at(0)), "until it is looked at");
        assert!(sink.write(b"c\n", at(1)));
        assert_eq!(fs::read_to_string(dir.path().join("log.1")).expect("text"), "a\nb\n");
        assert_eq!(fs::read_to_string(&path).expect("text"), "c\n");
    }

    #[test]
    fn a_full_disk_costs_the_lines_of_that_while() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("log");
        std::os::unix::fs::symlink("/dev/full", &path).expect("linked");
        let mut sink = Sink::open(Some(&path), at(0)).expect("opens");
        assert!(!sink.write(b"a\n", at(0)));
        assert!(!sink.write(b"b\n", at(1)));
        fs::remove_file(&path).expect("removed");
        assert!(sink.write(b"c\n", at(2)));
        assert_eq!(fs::read_to_string(&path).expect("text"), "c\n");
    }

    #[test]
    fn a_line_behind_a_part_of_one_begins_anew() {
        let mut out = b"{\"a".to_vec();
        all(&mut out, true, b"{}\n").expect("written");
        assert_eq!(out, b"{\"a\n{}\n");
    }
}
