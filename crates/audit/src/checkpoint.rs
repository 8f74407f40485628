//! Checkpoints: what the log says of itself, signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hotswap_core::{StoreId, Timestamp};

use crate::note::{self, AuditKey, NoteFault};
use crate::{Chain, Hash, PublicKey};

const ORIGIN: &str = "hotswap.audit/";

/// How the log stood at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The store that the log lies in.
    pub store: StoreId,
    /// The chain.
    pub chain: Chain,
    /// How many events it had, those that retention dropped among them.
    pub size: i64,
    /// The root of their Merkle tree.
    pub root: Hash,
    /// When it was signed.
    pub at: Timestamp,
    /// The hash of the last event.
    pub head: Hash,
    /// The hash of the checkpoint before; zeros: there was none.
    pub previous: Hash,
    /// SHA-256 of the file that it ends; only in exports.
    pub file: Option<Hash>,
}

impl Checkpoint {
    /// It as a signed note; `None` where the key does not sign.
    pub fn sign(&self, key: &dyn AuditKey) -> Option<String> {
        note::sign(key, &self.text())
    }

    /// From a note that one of these keys signed, and that key.
    pub(crate) fn open(note: &str, keys: &[PublicKey]) -> Result<(Self, PublicKey), NoteFault> {
        let (text, key) = note::open(note, keys)?;
        let checkpoint = Self::parse(text).ok_or(NoteFault::Form)?;
        Ok((checkpoint, key))
    }

    /// The hash that the next checkpoint names.
    pub(crate) fn hash_of(note: &str) -> Hash {
        Hash::of(note.as_bytes())
    }

    fn text(&self) -> String {
        let file = self.file.map(|file| format!("file {file}\n")).unwrap_or_default();
        format!(
            "{ORIGIN}{}/{}\n{}\n{}\ntime {}\nhead {}\nprevious {}\n{file}",
            self.store,
            self.chain,
            self.size,
            STANDARD.encode(self.root.bytes()),
            self.at.0,
            self.head,
            self.previous
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (store, chain) = lines.next()?.strip_prefix(ORIGIN)?.split_once('/')?;
        let size = lines.next()?.parse().ok()?;
        let root = Hash::from_bytes(&STANDARD.decode(lines.next()?).ok()?)?;
        let mut named = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let parsed = Self {
            store: StoreId(store.parse().ok()?),
            chain: Chain::parse(chain)?,
            size,
            root,
            at: Timestamp(named("time")?.parse().ok()?),
            head: Hash::parse(named("head")?)?,
            previous: Hash::parse(named("previous")?)?,
            file: named("file").and_then(Hash::parse),
        };
        // Nothing left over, nothing written in another way.
        (parsed.text() == text).then_some(parsed)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::note::tests::TestKey;

    #[test]
    fn a_checkpoint_comes_back_from_its_note_and_what_is_none_does_not() {
        let key = TestKey::new(1);
        for file in [None, Some(Hash::of(b"file"))] {
            let checkpoint = Checkpoint {
                store: StoreId(Uuid::from_u128(9)),
                chain: Chain::Tenant("acme".into()),
                size: 7,
                root: Hash::of(b"root"),
                at: Timestamp(5),
                head: Hash::of(b"head"),
                previous: Hash::ZERO,
                file,
            };
            let note = checkpoint.sign(&key).expect("signed");
            assert_eq!(Checkpoint::open(&note, &[key.public()]), Ok((checkpoint, key.public())));
        }
        let other = note::sign(&key, "something else\n").expect("signed");
        assert_eq!(Checkpoint::open(&other, &[key.public()]), Err(NoteFault::Form));
    }
}
