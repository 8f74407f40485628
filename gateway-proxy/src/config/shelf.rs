//! Things by number. A clone shares all its memory with the shelf it was made from; a change copies two rows
//! of 64 and, of a shelf of 100,000, a list of 25.

use std::sync::Arc;

const WIDTH: usize = 64;

type Row<T> = [Option<Arc<T>>; WIDTH];
type Block<T> = [Option<Arc<Row<T>>>; WIDTH];

/// Things in numbered slots, some of them empty.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    blocks: Vec<Arc<Block<T>>>,
}

impl<T> Shelf<T> {
    pub(super) fn get(&self, slot: usize) -> Option<&Arc<T>> {
        let row = self.blocks.get(slot / (WIDTH * WIDTH))?[slot / WIDTH % WIDTH].as_ref()?;
        row[slot % WIDTH].as_ref()
    }

    /// What is there, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        let rows = self.blocks.iter().flat_map(|block| block.iter().flatten());
        rows.flat_map(|row| row.iter().flatten())
    }

    pub(super) fn set(&mut self, slot: usize, thing: Option<Arc<T>>) {
        let block = slot / (WIDTH * WIDTH);
        while self.blocks.len() <= block {
            self.blocks.push(Arc::new(std::array::from_fn(|_| None)));
        }
        let row = &mut Arc::make_mut(&mut self.blocks[block])[slot / WIDTH % WIDTH];
        let row = row.get_or_insert_with(|| Arc::new(std::array::from_fn(|_| None)));
        Arc::make_mut(row)[slot % WIDTH] = thing;
    }

    /// How many slots lie in rows that are not `former`'s too.
    #[cfg(test)]
    pub(super) fn unshared(&self, former: &Self) -> usize {
        let mut count = 0;
        for (i, block) in self.blocks.iter().enumerate() {
            for (j, row) in block.iter().enumerate() {
                let then = former.blocks.get(i).and_then(|b| b[j].as_ref());
                let shared = match (row, then) {
                    (Some(now), Some(then)) => Arc::ptr_eq(now, then),
                    (None, _) => true,
                    (Some(_), None) => false,
                };
                count += if shared { 0 } else { WIDTH };
            }
        }
        count
    }
}

// Not derived: these would ask the same of `T`, and an Arc does not.
impl<T> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Self { blocks: self.blocks.clone() }
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { blocks: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_copies_one_row_and_clones_stay_as_they_were() {
        let mut shelf = Shelf::default();
        (0..100_000).for_each(|slot| shelf.set(slot, Some(Arc::new(slot))));
        let before = shelf.clone();
        shelf.set(77_777, None);
        shelf.set(77_778, Some(Arc::new(0)));
        assert_eq!(shelf.unshared(&before), WIDTH);
        assert_eq!((shelf.get(77_777), shelf.get(77_778).map(|n| **n)), (None, Some(0)));
        assert!((0..100_000).all(|slot| before.get(slot).map(|n| **n) == Some(slot)));
        assert_eq!(before.get(100_000_000), None);
        assert!(before.iter().map(|n| **n).eq(0..100_000));
        assert_eq!(shelf.iter().count(), 99_999);
    }
}
