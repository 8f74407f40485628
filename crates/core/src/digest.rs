//! The digest that control plane and proxy compare to find drift.
//!
//! It is a sum over a set (AdHash: Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing",
//! EUROCRYPT 1997), so that adding or removing one element costs one hash, whatever the size of the set. It
//! guards against drift and mistakes, not against an adversary: the channel's TLS does that.

use sha2::{Digest, Sha256};

/// Sum, in four wrapping 64-bit lanes, of SHA-256(name ‖ 0x00 ‖ version as 8 bytes, little-endian).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetDigest([u64; 4]);

impl SetDigest {
    /// Puts an element in. The caller sees to it that it was not there.
    pub fn insert(&mut self, name: &str, version: i64) {
        let lanes = element(name, version);
        for (mine, theirs) in self.0.iter_mut().zip(lanes) {
            *mine = mine.wrapping_add(theirs);
        }
    }

    /// Takes an element out. The caller sees to it that it was there.
    pub fn remove(&mut self, name: &str, version: i64) {
        let lanes = element(name, version);
        for (mine, theirs) in self.0.iter_mut().zip(lanes) {
            *mine = mine.wrapping_sub(theirs);
        }
    }

    /// 32 bytes: the lanes in order, each little-endian.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        for (chunk, lane) in out.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&lane.to_le_bytes());
        }
        out
    }
}

fn element(name: &str, version: i64) -> [u64; 4] {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([0]);
    hash.update(version.to_le_bytes());
    let bytes = hash.finalize();
    let mut lanes = [0; 4];
    for (lane, chunk) in lanes.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        *lane = u64::from_le_bytes(word);
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_count_and_removal_undoes_insertion() {
        let mut a = SetDigest::default();
        a.insert("routes/a", 1);
        a.insert("pools/b", 2);
        let mut b = SetDigest::default();
        b.insert("pools/b", 2);
        b.insert("routes/x", 9);
        b.insert("routes/a", 1);
        assert_ne!(a, b);
        b.remove("routes/x", 9);
        assert_eq!(a, b);
    }

    #[test]
    fn another_version_is_another_digest() {
        let mut a = SetDigest::default();
        a.insert("routes/a", 1);
        let mut b = SetDigest::default();
        b.insert("routes/a", 2);
        assert_ne!(a.to_bytes(), b.to_bytes());
    }
}
