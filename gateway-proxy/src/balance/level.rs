//! Backends of one priority, and how requests are spread over several priorities. It follows Envoy's priority levels:
//! each level counts as 1.4 times as healthy as it is, and what it can't take falls to the next.

use super::place::Place;

/// By how much more than its own part a level takes, in percent.
const OVERPROVISIONED: u64 = 140;

/// Backends of one priority.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) priority: u8,
    /// Those that the configuration lets take requests, in the order of the pool.
    pub(super) all: Vec<usize>,
    /// Those of them that get requests now.
    pub(super) takers: Vec<usize>,
    /// Whose turn it is, among the takers.
    pub(super) cursor: usize,
    /// All get requests, since too few are healthy.
    pub(super) panic: bool,
    /// Its part of the requests, in percent.
    share: u64,
}

impl Level {
    /// The levels of a pool, the first one first.
    pub(super) fn of(places: &[Place]) -> Vec<Self> {
        let mut levels: Vec<Self> = Vec::new();
        for (at, place) in places.iter().enumerate().filter(|(_, p)| p.enabled) {
            match levels.iter_mut().find(|l| l.priority == place.priority) {
                Some(level) => level.all.push(at),
                None => levels.push(Self {
                    priority: place.priority,
                    all: vec![at],
                    takers: Vec::new(),
                    cursor: 0,
                    panic: false,
                    share: 0,
                }),
            }
        }
        for level in &mut levels {
            level.takers.clone_from(&level.all);
        }
        levels.sort_by_key(|l| l.priority);
        levels
    }

    /// Goes on with the first backend, from the old one's turn on, that is still there.
    pub(super) fn carry(&self, old: &Self, now_at: impl Fn(usize) -> Option<usize>) -> usize {
        let count = old.takers.len();
        let turn = (0..count).filter_map(|i| old.takers.get((old.cursor + i) % count));
        turn.filter_map(|before| now_at(*before)).find_map(|at| self.all.binary_search(&at).ok()).unwrap_or(0)
    }

    /// Looks who takes requests, and keeps the turn.
    pub(super) fn look(&mut self, places: &[Place]) {
        let next = self.takers.get(self.cursor).copied().unwrap_or(0);
        self.takers.clear();
        let takes = |at: &&usize| places.get(**at).is_some_and(Place::takes);
        self.takers.extend(self.all.iter().filter(takes));
        self.panic = false;
        self.turn_to(next);
    }

    fn all_take(&mut self) {
        let next = self.takers.get(self.cursor).copied().unwrap_or(0);
        self.takers.clone_from(&self.all);
        self.panic = true;
        self.turn_to(next);
    }

    fn turn_to(&mut self, next: usize) {
        self.cursor = self.takers.partition_point(|at| *at < next);
        if self.cursor == self.takers.len() {
            self.cursor = 0;
        }
    }

    /// Whether fewer than the threshold take requests.
    fn is_below(&self, threshold: u64) -> bool {
        (self.takers.len() as u64) * 100 < threshold * self.all.len() as u64
    }
}

/// Gives each level its part. Where a level has too few that take requests, and the others can't stand in for it, all
/// of it take some.
pub(super) fn share(levels: &mut [Level], panic_threshold: u64) {
    let health = |l: &Level| (OVERPROVISIONED * l.takers.len() as u64 / l.all.len().max(1) as u64).min(100);
    let total: u64 = levels.iter().map(health).sum::<u64>().min(100);
    let alone = levels.len() == 1;
    let everything: u64 = levels.iter().map(|l| l.all.len() as u64).sum();
    let mut left = 100;
    for level in levels.iter_mut() {
        level.share = match total {
            0 => level.all.len() as u64 * 100 / everything.max(1),
            _ => (health(level) * 100 / total).min(left),
        };
        left -= level.share.min(left);
        if level.is_below(panic_threshold) && (alone || total < 100) {
            level.all_take();
        }
    }
    // What rounding left over.
    if let Some(level) = levels.iter_mut().find(|l| l.share > 0) {
        level.share += left;
    }
}

/// The level of a number drawn, or hashed.
pub(super) fn at(levels: &[Level], drawn: u64) -> usize {
    let mut left = ((u128::from(drawn) * 100) >> 64) as u64;
    for (at, level) in levels.iter().enumerate() {
        if left < level.share {
            return at;
        }
        left -= level.share;
    }
    0
}
