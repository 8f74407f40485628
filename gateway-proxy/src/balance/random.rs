//! Numbers that look random (SplitMix64, Steele, Lea and Flood 2014). They choose among backends, and guard nothing.

use super::hash::mixed;

#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Another sequence for each seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(mixed(seed.wrapping_add(1)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `end`; 0 where there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}
