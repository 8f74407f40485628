//! Secrets: read from files when they are needed, and shown to nobody.
//!
//! A file is read anew for each delivery, so that a password that was changed needs no restart.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What a text has in place of a secret.
const MASK: &str = "[secret]";
/// The longest file of a secret, in bytes.
const MAX: usize = 4096;

/// A secret. Its `Debug` shows nothing, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for those who send it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// A text without the secret: whoever answers may repeat what was sent.
    pub(crate) fn masked(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, MASK) }
    }
}

/// A file with a secret in it.
#[derive(Clone, Debug)]
pub(crate) struct SecretFile(PathBuf);

impl SecretFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Reads it, without the white space around.
    ///
    /// # Errors
    /// In words, where it can't be read, is empty or too long.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        let path = self.0.display();
        let text = fs::read_to_string(&self.0).map_err(|e| format!("{path} can't be read: {}", e.kind()))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("{path} is empty"));
        }
        if text.len() > MAX {
            return Err(format!("{path} is longer than {MAX} bytes"));
        }
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_nowhere() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.masked("535 no hunter2 here"), "535 no [secret] here");
        assert_eq!(Secret::new("").masked("as it is"), "as it is");
    }

    #[test]
    fn a_file_is_read_anew_and_told_of_where_it_is_no_good() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("s");
        let file = SecretFile::new(&path);
        assert!(file.read().expect_err("not there").contains("can't be read"));
        fs::write(&path, " \n").expect("writes");
        assert!(file.read().expect_err("empty").contains("is empty"));
        for text in ["one", "two"] {
            fs::write(&path, format!("{text}\n")).expect("writes");
            assert_eq!(file.read().expect("reads").expose(), text);
        }
    }
}
