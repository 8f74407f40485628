//! Sealing: what lies in a database or on a disk can be read with a key from elsewhere alone.
//!
//! A sealed text is `v1.{key id}.{base64 of nonce, ciphertext and tag}`, by AES-256-GCM with a nonce drawn for each. What it
//! belongs to goes in as associated data, so that one that is put in another's place does not open. A file of keys has one
//! a line: the first seals, all of them open, so that keys are changed by putting a new one on top.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::chain::hex;

/// Bytes of a key.
const KEY: usize = 32;
const FORM: &str = "v1";

/// Keys to seal and open with.
pub struct SealingKeys {
    /// The first seals.
    keys: Vec<(String, RandomizedNonceKey)>,
}

/// Why a file of keys is of no use. Nothing of a key is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It can't be read.
    #[error("cannot read {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read it.
    #[error("{}: others may read or change the keys (mode {mode:03o}); chmod 600 mends it", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It does not hold what it should.
    #[error("{}: {why}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Nothing can be sealed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("sealing failed")]
pub struct SealError;

/// Why a sealed text does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is none.
    #[error("it is no sealed text that this build knows")]
    Foreign,
    /// The key is not there.
    #[error("it is sealed with the key {id}, which is not there")]
    KeyMissing {
        /// The id of the key.
        id: String,
    },
    /// It was altered, or belongs to something else.
    #[error("it was altered, or belongs to something else")]
    Altered,
}

impl SealingKeys {
    /// Reads a file of keys, which only its owner and their group may read: one a line, 32 bytes as hex or base64. Empty
    /// lines, and those that begin with #, do not count.
    ///
    /// # Errors
    /// Where it can't be read, others may read it, or a line is no key.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let file = |source| KeyFileError::File { path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(file)?.permissions().mode() & 0o777;
        if mode & 0o027 != 0 {
            return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
        }
        let text = fs::read_to_string(path).map_err(file)?;
        Self::parse(&text).map_err(|why| KeyFileError::Content { path: path.to_owned(), why })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let key = |(i, line): (usize, &str)| {
            key(line)
                .ok_or_else(|| format!("line {} is no key: it must be {KEY} bytes as hex or base64", i + 1))
        };
        let keys = lines.map(key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err("there is no key in it".to_owned());
        }
        Ok(Self { keys })
    }

    /// The ids of the keys, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(id, _)| id.as_str())
    }

    /// Whether a text was sealed with the first key.
    pub fn is_of_first(&self, sealed: &str) -> bool {
        parts(sealed).is_some_and(|(id, _)| self.ids().next() == Some(id))
    }

    /// Seals a text as what belongs to `owner`.
    ///
    /// # Errors
    /// Where the machine has no randomness.
    pub fn seal(&self, owner: &str, text: &str) -> Result<String, SealError> {
        let (id, key) = self.keys.first().ok_or(SealError)?;
        let mut bytes = text.as_bytes().to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(owner), &mut bytes).map_err(|_| SealError)?;
        let sealed = [nonce.as_ref().as_slice(), &bytes].concat();
        Ok(format!("{FORM}.{id}.{}", BASE64_STANDARD_NO_PAD.encode(sealed)))
    }

    /// The text again.
    ///
    /// # Errors
    /// Where it is none, its key is not there, or it does not belong to `owner`.
    pub fn open(&self, owner: &str, sealed: &str) -> Result<String, OpenError> {
        let (id, text) = parts(sealed).ok_or(OpenError::Foreign)?;
        let known = self.keys.iter().find(|(known, _)| known == id);
        let (_, key) = known.ok_or_else(|| OpenError::KeyMissing { id: id.to_owned() })?;
        let mut bytes = BASE64_STANDARD_NO_PAD.decode(text).map_err(|_| OpenError::Foreign)?;
        let (nonce, bytes) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(OpenError::Foreign)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Foreign)?;
        let opened = key.open_in_place(nonce, Aad::from(owner), bytes).map_err(|_| OpenError::Altered)?;
        String::from_utf8(opened.to_vec()).map_err(|_| OpenError::Altered)
    }
}

/// The id of its key, and what is sealed.
fn parts(sealed: &str) -> Option<(&str, &str)> {
    sealed.strip_prefix(FORM)?.strip_prefix('.')?.split_once('.')
}

fn key(line: &str) -> Option<(String, RandomizedNonceKey)> {
    let bytes = match line.len() {
        64 => from_hex(line)?,
        _ => BASE64_STANDARD.decode(line).or_else(|_| BASE64_STANDARD_NO_PAD.decode(line)).ok()?,
    };
    if bytes.len() != KEY {
        return None;
    }
    let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok()?;
    // It tells keys apart, and nothing of them.
    let id = Sha256::new().chain_update(b"hotswap sealing key").chain_update(&bytes).finalize();
    Some((hex(&id[..4]), key))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16);
    let pair = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    text.as_bytes().chunks_exact(2).map(pair).collect()
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
