//! Hashes that every gateway of a fleet computes alike, in this release and the next: a client must not move because
//! it came through another gateway.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a, in pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hasher(u64);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(OFFSET)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    pub(crate) fn finish(self) -> u64 {
        mixed(self.0)
    }
}

/// The hash of a text.
pub(crate) fn of(bytes: &[u8]) -> u64 {
    let mut hasher = Hasher::new();
    hasher.add(bytes);
    hasher.finish()
}

/// MurmurHash3's finalizer: every bit of the number changes half of the bits of the result.
pub(crate) fn mixed(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_every_release_computes() {
        // FNV-1a of "foobar" is 85944171f73967e8; then the finalizer.
        let mut hasher = Hasher::new();
        hasher.add(b"foo");
        hasher.add(b"bar");
        assert_eq!(hasher.0, 0x8594_4171_f739_67e8);
        assert_eq!(of(b"foobar"), mixed(0x8594_4171_f739_67e8));
    }
}
