//! One coarse timer for all connections of a core. A deadline is a number in a table; to move it is a store.
//! Every [`TICK_MS`] one look through the table wakes the connections whose time is up. So no exchange sets a
//! timer of its own, and a deadline fires up to two ticks late, never early.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::backend_state::clock;

/// Time between two looks, in ms.
pub(super) const TICK_MS: u64 = 25;

const FIRED: u64 = 0;
const NEVER: u64 = u64::MAX;

/// The deadlines of a core's connections.
#[derive(Debug)]
pub(super) struct Timers {
    start: Instant,
    now: Cell<u64>,
    table: RefCell<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By slot, in ms since the start; [`FIRED`] and [`NEVER`] stand for themselves.
    deadlines: Vec<u64>,
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Timers {
    pub(super) fn new() -> Self {
        Self { start: clock::start(), now: Cell::new(clock::now_ms()), table: RefCell::default() }
    }

    /// The time of the last tick, in ms since the start of the process: the same clock on every core.
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    /// A moment that is `ms` away, from the time of the last tick on.
    pub(super) fn after(&self, ms: u64) -> u64 {
        (self.now.get() + TICK_MS).saturating_add(ms)
    }

    /// A slot without a deadline.
    pub(super) fn take_slot(&self) -> usize {
        let mut table = self.table.borrow_mut();
        match table.free.pop() {
            Some(slot) => slot,
            None => {
                table.deadlines.push(NEVER);
                table.wakers.push(None);
                table.deadlines.len() - 1
            }
        }
    }

    /// Gives a slot back.
    pub(super) fn free_slot(&self, slot: usize) {
        let mut table = self.table.borrow_mut();
        if let Some(deadline) = table.deadlines.get_mut(slot) {
            *deadline = NEVER;
        }
        if let Some(waker) = table.wakers.get_mut(slot) {
            *waker = None;
        }
        table.free.push(slot);
    }

    /// Says whom to wake; a connection stays one task, so once is enough.
    pub(super) fn set_waker(&self, slot: usize, waker: &Waker) {
        if let Some(place) = self.table.borrow_mut().wakers.get_mut(slot) {
            *place = Some(waker.clone());
        }
    }

    /// Sets the deadline, in ms since the start.
    pub(super) fn arm(&self, slot: usize, deadline: u64) {
        if let Some(place) = self.table.borrow_mut().deadlines.get_mut(slot) {
            *place = deadline;
        }
    }

    /// Whether the deadline has passed, and no new one was set since.
    pub(super) fn expired(&self, slot: usize) -> bool {
        self.table.borrow().deadlines.get(slot) == Some(&FIRED)
    }

    /// Looks at the clock and wakes those whose time is up.
    pub(super) fn tick(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.advance(elapsed.max(1));
    }

    fn advance(&self, now: u64) {
        self.now.set(now);
        let mut table = self.table.borrow_mut();
        let Table { deadlines, wakers, .. } = &mut *table;
        for (deadline, waker) in deadlines.iter_mut().zip(wakers.iter()) {
            if *deadline <= now && *deadline != FIRED {
                *deadline = FIRED;
                if let Some(waker) = waker {
                    waker.wake_by_ref();
                }
            }
        }
    }

    /// Wakes every connection.
    pub(super) fn wake_all(&self) {
        self.table.borrow().wakers.iter().flatten().for_each(Waker::wake_by_ref);
    }

    /// The time between two ticks.
    pub(super) const fn period() -> Duration {
        Duration::from_millis(TICK_MS)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_deadline_fires_once_and_never_early() {
        let timers = Timers::new();
        let slot = timers.take_slot();
        let woken = Arc::new(Woken::default());
        timers.set_waker(slot, &Waker::from(Arc::clone(&woken)));
        timers.advance(1_000);
        timers.arm(slot, timers.after(100));
        timers.advance(1_100);
        assert!(!timers.expired(slot), "the clock may have been a tick behind when it was set");
        timers.advance(1_125);
        timers.advance(1_200);
        assert!(timers.expired(slot));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        timers.arm(slot, timers.after(100));
        assert!(!timers.expired(slot));
    }

    #[test]
    fn a_slot_comes_back_without_its_past() {
        let timers = Timers::new();
        let slot = timers.take_slot();
        timers.arm(slot, 5);
        timers.free_slot(slot);
        assert_eq!(timers.take_slot(), slot);
        timers.advance(10);
        assert!(!timers.expired(slot));
    }
}
