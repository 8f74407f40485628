//! Signed notes (C2SP signed-note and tlog-checkpoint), the form of checkpoints and of the end of an export.
//!
//! ```text
//!   hotswap.audit/{store id}/{chain}        the origin
//!   1000                                    how many events, from the first ever
//!   47DEQpj8HBSa+/TImW+5JCeuQeRkm5NM…       root of their Merkle tree, base64
//!   time 1795507200000000                   µs since 1970
//!   head 9f86d081…                          hash of the last of them
//!   previous 60303ae2…                      hash of the checkpoint before, or zeros
//!
//!   — hotswap/9f86d081884c7d65 base64(key hash ‖ Ed25519 signature)
//! ```
//! The signature is over the text up to and with the newline before the empty line. Programs that read signed notes
//! (Go's `golang.org/x/mod/sumdb/note`) verify them as they are.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Hash;

/// What the names of all keys begin with.
const NAME: &str = "hotswap/";
/// Ed25519, as the form numbers algorithms.
const ALGORITHM: u8 = 1;

/// The key that signs checkpoints, and masks secrets. Where it lies is the caller's business.
pub trait AuditKey: Send + Sync + 'static {
    /// Its public half.
    fn public(&self) -> PublicKey;

    /// Signs with Ed25519; `None` where that fails.
    fn sign(&self, message: &[u8]) -> Option<[u8; 64]>;

    /// A secret of its own for masking: the same for the same key.
    fn masking_key(&self) -> [u8; 32];
}

/// A public key. Its text is that of C2SP signed-note: `hotswap/{id}+{key hash}+{base64}`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// From the 32 bytes of an Ed25519 public key.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The name that notes carry: "hotswap/", and the beginning of the key's SHA-256.
    pub fn name(&self) -> String {
        format!("{NAME}{}", &Hash::of(&self.0).to_string()[..16])
    }

    /// The 4 bytes before each signature.
    fn hash(&self) -> [u8; 4] {
        let hash = Hash::joined(&[self.name().as_bytes(), b"\n", &[ALGORITHM], &self.0]);
        let [a, b, c, d, ..] = *hash.bytes();
        [a, b, c, d]
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ALGORITHM];
        key.extend_from_slice(&self.0);
        let hash = u32::from_be_bytes(self.hash());
        write!(f, "{}+{hash:08x}+{}", self.name(), STANDARD.encode(key))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a public key, as hotswap/9f86d081884c7d65+1234abcd+AZ…")]
pub struct InvalidKey;

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let encoded = text.splitn(3, '+').nth(2).ok_or(InvalidKey)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidKey)?;
        let [ALGORITHM, key @ ..] = bytes.as_slice() else { return Err(InvalidKey) };
        let key = Self(key.try_into().map_err(|_| InvalidKey)?);
        if key.to_string() == text { Ok(key) } else { Err(InvalidKey) }
    }
}

/// Signs a text, which ends in a newline.
pub(crate) fn sign(key: &dyn AuditKey, text: &str) -> Option<String> {
    let public = key.public();
    let mut signature = public.hash().to_vec();
    signature.extend_from_slice(&key.sign(text.as_bytes())?);
    Some(format!("{text}\n— {} {}\n", public.name(), STANDARD.encode(signature)))
}

/// The text of a note that one of these keys signed, and that key.
///
/// # Errors
/// Why it is not to be trusted.
pub(crate) fn open<'a>(note: &'a str, keys: &[PublicKey]) -> Result<(&'a str, PublicKey), NoteFault> {
    let at = note.find("\n\n— ").ok_or(NoteFault::Form)?;
    let (text, line) = (&note[..=at], &note[at + "\n\n— ".len()..]);
    let (name, encoded) = line.strip_suffix('\n').and_then(|l| l.split_once(' ')).ok_or(NoteFault::Form)?;
    let signature = STANDARD.decode(encoded).map_err(|_| NoteFault::Form)?;
    let Some((hash, signature)) = signature.split_at_checked(4) else { return Err(NoteFault::Form) };
    // One note, one text: nothing that the signature does not cover.
    let key = keys.iter().find(|key| key.name() == name && key.hash() == *hash);
    let key = key.ok_or_else(|| NoteFault::UnknownKey(name.chars().take(64).collect()))?;
    if !key.verifies(text.as_bytes(), signature) {
        return Err(NoteFault::Signature);
    }
    Ok((text, *key))
}

/// Why a note is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoteFault {
    #[error("it is not a signed note of an audit log")]
    Form,
    #[error("it is signed by {0:?}, which is not a key that is trusted here")]
    UnknownKey(String),
    #[error("its signature is wrong")]
    Signature,
}

#[cfg(test)]
pub(crate) mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use proptest::prelude::*;

    use super::*;

    /// A key from a number.
    pub(crate) struct TestKey(Ed25519KeyPair);

    impl TestKey {
        pub(crate) fn new(n: u8) -> Self {
            Self(Ed25519KeyPair::from_seed_unchecked(&[n; 32]).expect("a key"))
        }
    }

    impl AuditKey for TestKey {
        fn public(&self) -> PublicKey {
            PublicKey::new(self.0.public_key().as_ref().try_into().expect("32 bytes"))
        }

        fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
            self.0.sign(message).as_ref().try_into().ok()
        }

        fn masking_key(&self) -> [u8; 32] {
            [1; 32]
        }
    }

    #[test]
    fn a_note_opens_with_its_key_and_with_no_other() {
        let (mine, other) = (TestKey::new(1), TestKey::new(2));
        let note = sign(&mine, "a\nb\n").expect("signed");
        assert_eq!(open(&note, &[other.public(), mine.public()]), Ok(("a\nb\n", mine.public())));
        assert!(matches!(open(&note, &[other.public()]), Err(NoteFault::UnknownKey(_))));
        let mut forged = sign(&other, "a\nb\n").expect("signed");
        forged = forged.replace(&other.public().name(), &mine.public().name());
        assert!(open(&forged, &[mine.public()]).is_err());
    }

    #[test]
    fn a_public_key_has_one_text_and_comes_back_from_it() {
        for n in 0..50 {
            let key = TestKey::new(n).public();
            let text = key.to_string();
            assert_eq!(text.parse(), Ok(key), "{text}");
            assert_eq!(text.to_uppercase().parse::<PublicKey>(), Err(InvalidKey));
            assert_eq!(text[1..].parse::<PublicKey>(), Err(InvalidKey));
        }
    }

    proptest! {
        #[test]
        fn every_flipped_bit_of_a_note_is_found(at in 0_usize..1_000, bit in 0_u8..8) {
            let key = TestKey::new(1);
            let note = sign(&key, "origin\n5\nroot\ntime 1\n").expect("signed");
            let mut bytes = note.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert!(open(&text, &[key.public()]).is_err(), "{text}");
            }
        }
    }
}
