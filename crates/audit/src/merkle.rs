//! The Merkle tree over a chain (RFC 6962 section 2.1), of which only the right edge is kept.
//!
//! ```text
//!            root of 7 = H(1, a, H(1, b, c))
//!        ┌──────┴───────┐
//!        a          ┌───┴──┐          the frontier of 7 leaves: a (4), b (2), c (1)
//!     ┌──┴──┐       b      c          7 = 4 + 2 + 1: a subtree for each bit, the largest first
//!    ·  ·  ·  ·    · ·     ·
//! ```
//! A leaf is an event's hash, which is a leaf hash of RFC 6962 by its first byte; an inner node is
//! `SHA-256(0x01 ‖ left ‖ right)`. New leaves join on the right, so a log that lost its beginning to retention goes
//! on from the frontier that a checkpoint kept, with the same roots.

use crate::Hash;

/// The right edge of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// Of a tree of `size` leaves; `None` where the number of nodes is not that of its bits.
    pub(crate) fn new(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// Its nodes, the largest subtree first.
    pub(crate) fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Adds a leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        self.push_subtree(0, leaf);
    }

    /// Adds a whole subtree of 2^level leaves; `false` where it does not fit there.
    pub(crate) fn push_subtree(&mut self, level: u32, node: Hash) -> bool {
        let Some(leaves) = 1_u64.checked_shl(level) else { return false };
        let Some(size) = self.size.checked_add(leaves).filter(|_| self.size.is_multiple_of(leaves)) else {
            return false;
        };
        let mut node = node;
        for _ in 0..(self.size >> level).trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = parent(&left, &node);
            }
        }
        self.nodes.push(node);
        self.size = size;
        true
    }

    /// The root; of no leaves, the hash of nothing.
    pub(crate) fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else { return Hash::of(b"") };
        nodes.fold(*last, |right, left| parent(left, &right))
    }
}

fn parent(left: &Hash, right: &Hash) -> Hash {
    Hash::joined(&[&[1], left.bytes(), right.bytes()])
}

/// The levels of the largest subtrees that together are the leaves `first..end`.
pub(crate) fn cover(first: u64, end: u64) -> Vec<u32> {
    let mut levels = Vec::new();
    let mut at = first;
    while at < end {
        let aligned = if at == 0 { 63 } else { at.trailing_zeros() };
        let level = aligned.min((end - at).ilog2());
        levels.push(level);
        at += 1 << level;
    }
    levels
}

/// Gathers leaves that follow each other into the subtrees of [`cover`].
#[derive(Clone, Debug)]
pub(crate) struct Gathered {
    first: u64,
    nodes: Vec<(u32, Hash)>,
    count: u64,
}

impl Gathered {
    /// From the leaf with this index on, from 0.
    pub(crate) fn from(first: u64) -> Self {
        Self { first, nodes: Vec::new(), count: 0 }
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        self.nodes.push((0, leaf));
        self.count += 1;
        while let [.., (left_level, left), (level, right)] = self.nodes.as_slice() {
            let begins = self.first + self.count - (2 << level);
            if left_level != level || !begins.is_multiple_of(2 << level) {
                break;
            }
            let joined = (level + 1, parent(left, right));
            self.nodes.truncate(self.nodes.len() - 2);
            self.nodes.push(joined);
        }
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn into_nodes(self) -> Vec<Hash> {
        self.nodes.into_iter().map(|(_, hash)| hash).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| Hash::of(&i.to_be_bytes())).collect()
    }

    /// RFC 6962's own words, as plainly as can be.
    fn by_the_book(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of(b""),
            [one] => *one,
            many => {
                let split = many.len().next_power_of_two() / 2;
                parent(&by_the_book(&many[..split]), &by_the_book(&many[split..]))
            }
        }
    }

    fn grown(leaves: &[Hash]) -> Frontier {
        let mut tree = Frontier::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree
    }

    #[test]
    fn the_root_is_that_of_the_rfc_for_every_size() {
        let all = leaves(130);
        for n in 0..=all.len() {
            assert_eq!(grown(&all[..n]).root(), by_the_book(&all[..n]), "{n}");
        }
    }

    #[test]
    fn a_subtree_that_does_not_fit_is_refused() {
        let mut tree = grown(&leaves(3));
        assert!(!tree.push_subtree(1, Hash::ZERO));
        assert!(!tree.push_subtree(64, Hash::ZERO));
        assert!(tree.push_subtree(0, Hash::ZERO));
        assert_eq!(Frontier::new(3, leaves(1)), None);
    }

    proptest! {
        #[test]
        fn leaves_left_out_leave_their_subtrees_and_the_same_root(n in 1_u64..400, a in 0_u64..400, b in 0_u64..400) {
            let (first, end) = (a.min(b).min(n), a.max(b).min(n));
            let all = leaves(n);
            let mut gathered = Gathered::from(first);
            all[first as usize..end as usize].iter().for_each(|leaf| gathered.push(*leaf));
            prop_assert_eq!(gathered.count(), end - first);
            let nodes = gathered.into_nodes();
            let levels = cover(first, end);
            prop_assert_eq!(levels.len(), nodes.len());
            let mut tree = grown(&all[..first as usize]);
            for (level, node) in levels.into_iter().zip(nodes) {
                prop_assert!(tree.push_subtree(level, node));
            }
            all[end as usize..].iter().for_each(|leaf| tree.push(*leaf));
            prop_assert_eq!(tree.root(), by_the_book(&all));
        }
    }
}
