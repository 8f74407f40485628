//! A hash table that shares memory with its former selves. A clone costs one pointer; a change copies the few
//! nodes on the way to it (some dozens of slots, whatever the size) and leaves every clone as it was. Nodes
//! that no clone shares are changed in place, so that building a table copies nothing.
//!
//! ```text
//!   Branch (16 ways by 4 bits of the hash) ─► Branch ─► … ─► Leaf (a hash table of up to 64 slots)
//! ```
//!
//! It is keyed by a hash and a comparison that the caller gives, so a slot can be its own key.

use std::sync::Arc;

use hashbrown::HashTable;

/// Ways of a branch: 4 bits of the hash.
const WIDTH: usize = 16;
const BITS: u32 = 4;
/// Slots of a leaf, before it is split.
const LEAF: usize = 64;
/// The bits that branches use lie between those that a leaf's own table uses, at the bottom and at the top.
const FIRST_BIT: u32 = 28;
const END_BIT: u32 = 56;

pub(super) struct SharedTable<S> {
    root: Node<S>,
}

enum Node<S> {
    Empty,
    Leaf(Arc<HashTable<Slot<S>>>),
    Branch(Arc<[Self; WIDTH]>),
}

/// The hash stands beside the item: most of those that differ are told apart without a look at the item.
#[derive(Clone)]
struct Slot<S> {
    hash: u64,
    item: S,
}

impl<S> SharedTable<S> {
    pub(super) fn new() -> Self {
        Self { root: Node::Empty }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.root, Node::Empty)
    }

    /// The item of this hash that `is` the one.
    pub(super) fn get(&self, hash: u64, is: impl Fn(&S) -> bool) -> Option<&S> {
        let mut node = &self.root;
        let mut shift = FIRST_BIT;
        loop {
            match node {
                Node::Empty => return None,
                Node::Leaf(leaf) => {
                    return leaf.find(hash, |s| s.hash == hash && is(&s.item)).map(|s| &s.item);
                }
                Node::Branch(ways) => node = &ways[way(hash, shift)],
            }
            shift += BITS;
        }
    }

    /// Calls `visit` for each item, in no order.
    pub(super) fn for_each<'a>(&'a self, visit: &mut impl FnMut(&'a S)) {
        self.root.unshared(&Node::Empty, &mut |_, item| visit(item));
    }

    /// Calls `visit` for each item in a node that is not one of `former`'s too.
    pub(super) fn unshared<'a>(&'a self, former: &Self, visit: &mut impl FnMut(u64, &'a S)) {
        self.root.unshared(&former.root, visit);
    }
}

impl<S: Clone> SharedTable<S> {
    /// The item of this hash that `is` the one, to be changed.
    pub(super) fn get_mut(&mut self, hash: u64, is: impl Fn(&S) -> bool) -> Option<&mut S> {
        // A look first: what is not there must not cost a copy.
        self.get(hash, &is)?;
        let mut node = &mut self.root;
        let mut shift = FIRST_BIT;
        loop {
            match node {
                Node::Empty => return None,
                Node::Leaf(leaf) => {
                    let found = Arc::make_mut(leaf).find_mut(hash, |s| s.hash == hash && is(&s.item));
                    return found.map(|s| &mut s.item);
                }
                Node::Branch(ways) => node = &mut Arc::make_mut(ways)[way(hash, shift)],
            }
            shift += BITS;
        }
    }

    /// Puts an item in. The caller sees to it that it is not there.
    pub(super) fn insert(&mut self, hash: u64, item: S) {
        let mut node = &mut self.root;
        let mut shift = FIRST_BIT;
        loop {
            match node {
                Node::Empty => *node = Node::Leaf(Arc::new(HashTable::new())),
                Node::Leaf(leaf) if leaf.len() >= LEAF && shift < END_BIT => {
                    let parted = part(leaf, shift);
                    *node = parted;
                }
                Node::Leaf(leaf) => {
                    Arc::make_mut(leaf).insert_unique(hash, Slot { hash, item }, |s| s.hash);
                    return;
                }
                Node::Branch(ways) => {
                    node = &mut Arc::make_mut(ways)[way(hash, shift)];
                    shift += BITS;
                }
            }
        }
    }

    /// Takes the item of this hash that `is` the one out. Branches stay: a table that shrinks may grow again,
    /// and one that is empty is thrown away by its owner.
    pub(super) fn remove(&mut self, hash: u64, is: impl Fn(&S) -> bool) -> Option<S> {
        self.get(hash, &is)?;
        let mut node = &mut self.root;
        let mut shift = FIRST_BIT;
        loop {
            match node {
                Node::Empty => return None,
                Node::Leaf(leaf) => {
                    let leaf = Arc::make_mut(leaf);
                    let found = leaf.find_entry(hash, |s| s.hash == hash && is(&s.item)).ok()?;
                    let (slot, _) = found.remove();
                    if leaf.is_empty() {
                        *node = Node::Empty;
                    }
                    return Some(slot.item);
                }
                Node::Branch(ways) => node = &mut Arc::make_mut(ways)[way(hash, shift)],
            }
            shift += BITS;
        }
    }
}

impl<S> Node<S> {
    fn unshared<'a>(&'a self, former: &Self, visit: &mut impl FnMut(u64, &'a S)) {
        match (self, former) {
            (Self::Empty, _) => {}
            (Self::Leaf(now), Self::Leaf(then)) if Arc::ptr_eq(now, then) => {}
            (Self::Branch(now), Self::Branch(then)) if Arc::ptr_eq(now, then) => {}
            (Self::Leaf(leaf), _) => leaf.iter().for_each(|s| visit(s.hash, &s.item)),
            (Self::Branch(now), Self::Branch(then)) => {
                now.iter().zip(then.iter()).for_each(|(now, then)| now.unshared(then, visit));
            }
            (Self::Branch(now), _) => now.iter().for_each(|n| n.unshared(&Self::Empty, visit)),
        }
    }
}

fn way(hash: u64, shift: u32) -> usize {
    (hash >> shift) as usize % WIDTH
}

/// A leaf that is full becomes a branch.
fn part<S: Clone>(leaf: &HashTable<Slot<S>>, shift: u32) -> Node<S> {
    let mut ways: [HashTable<Slot<S>>; WIDTH] = std::array::from_fn(|_| HashTable::new());
    for slot in leaf {
        ways[way(slot.hash, shift)].insert_unique(slot.hash, slot.clone(), |s| s.hash);
    }
    let node = |leaf: HashTable<_>| if leaf.is_empty() { Node::Empty } else { Node::Leaf(Arc::new(leaf)) };
    Node::Branch(Arc::new(ways.map(node)))
}

// Not derived: that would ask for `S: Clone`, and an Arc does not.
impl<S> Clone for SharedTable<S> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone() }
    }
}

impl<S> Clone for Node<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Leaf(leaf) => Self::Leaf(Arc::clone(leaf)),
            Self::Branch(ways) => Self::Branch(Arc::clone(ways)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Spreads numbers as a hash does; equal for every 8th, so that hashes meet.
    fn hash(key: u64) -> u64 {
        (key / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn put(table: &mut SharedTable<(u64, u32)>, key: u64, value: u32) {
        match table.get_mut(hash(key), |s| s.0 == key) {
            Some(there) => there.1 = value,
            None => table.insert(hash(key), (key, value)),
        }
    }

    fn all(table: &SharedTable<(u64, u32)>) -> HashMap<u64, u32> {
        let mut all = HashMap::new();
        table.for_each(&mut |(k, v)| assert!(all.insert(*k, *v).is_none()));
        all
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_map_holds_and_clones_stay_as_they_were(
            steps in prop::collection::vec((0u64..600, prop::option::of(0u32..9)), 0..1_500),
        ) {
            let (mut table, mut plain) = (SharedTable::new(), HashMap::new());
            let mut kept = Vec::new();
            for (i, (key, value)) in steps.into_iter().enumerate() {
                match value {
                    Some(value) => {
                        put(&mut table, key, value);
                        plain.insert(key, value);
                    }
                    None => {
                        let gone = table.remove(hash(key), |s| s.0 == key).map(|s| s.1);
                        prop_assert_eq!(gone, plain.remove(&key));
                    }
                }
                prop_assert_eq!(table.get(hash(key), |s| s.0 == key).map(|s| s.1), plain.get(&key).copied());
                if i % 100 == 0 {
                    kept.push((table.clone(), plain.clone()));
                }
            }
            kept.push((table, plain));
            for (table, plain) in kept {
                prop_assert_eq!(all(&table), plain);
            }
        }
    }

    #[test]
    fn a_change_copies_one_leaf_whatever_the_size() {
        let mut table = SharedTable::new();
        (0..100_000).for_each(|key| table.insert(hash(key * 8), (key * 8, 0)));
        let before = table.clone();
        put(&mut table, 8 * 4_711, 1);
        let mut copied = 0;
        table.unshared(&before, &mut |_, _| copied += 1);
        assert!((1..=LEAF).contains(&copied), "{copied} slots copied");
        assert_eq!(before.get(hash(8 * 4_711), |s| s.0 == 8 * 4_711), Some(&(8 * 4_711, 0)));
    }

    #[test]
    fn hashes_that_are_all_equal_still_find_their_items() {
        let mut table = SharedTable::new();
        (0..500u64).for_each(|n| table.insert(7, n));
        assert!((0..500).all(|n| table.get(7, |s| *s == n).is_some()));
        assert!((0..500).all(|n| table.remove(7, |s| *s == n).is_some()));
        let mut left = 0;
        table.for_each(&mut |_| left += 1);
        assert_eq!(left, 0);
    }
}
