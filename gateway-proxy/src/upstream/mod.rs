//! Open connections to backends, kept by one core for its next exchange. The pool of an address lives as long
//! as some pool of the configuration names it or an exchange uses it; after that its connections close.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use hotswap_matcher::Address;

use crate::decide::Resolve;

/// Connections kept for one address, by one core, at most.
const MAX_IDLE: usize = 512;

/// A connection that can be used again.
pub trait Reusable {
    /// What is kept of connections that carry several exchanges at a time.
    type Many: Default + std::fmt::Debug;

    /// Whether it can take an exchange now.
    fn is_ready(&self) -> bool;
}

/// What a core keeps of one backend.
#[derive(Debug)]
pub struct Upstream<C: Reusable> {
    address: Address,
    text: Arc<str>,
    /// Oldest first; the freshest is used next, so that those not needed grow old.
    idle: RefCell<Vec<Idle<C>>>,
    many: C::Many,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    /// When it was put here, in the core's ms.
    since: u64,
}

/// All backends that a core knows.
#[derive(Debug)]
pub struct Upstreams<C: Reusable> {
    by_address: HashMap<Address, Weak<Upstream<C>>>,
}

// === impl Upstream ===

impl<C: Reusable> Upstream<C> {
    fn new(address: &Address) -> Self {
        Self {
            address: address.clone(),
            text: address.as_str().into(),
            idle: RefCell::default(),
            many: C::Many::default(),
        }
    }

    /// Its address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its address, for the log.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Connections that carry several exchanges at a time.
    pub fn many(&self) -> &C::Many {
        &self.many
    }

    /// Takes a connection that is open, the freshest first. Those that have closed meanwhile are dropped.
    pub fn checkout(&self) -> Option<C> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let last = idle.pop()?;
            if last.connection.is_ready() {
                return Some(last.connection);
            }
        }
    }

    /// Puts a connection back, if it can be used again.
    pub fn checkin(&self, connection: C, now: u64) {
        let mut idle = self.idle.borrow_mut();
        if connection.is_ready() && idle.len() < MAX_IDLE {
            idle.push(Idle { connection, since: now });
        }
    }

    /// Drops the connections that nobody has used since `before`, and those that have closed.
    fn sweep(&self, before: u64) {
        self.idle.borrow_mut().retain(|i| i.since >= before && i.connection.is_ready());
    }
}

// === impl Upstreams ===

impl<C: Reusable> Upstreams<C> {
    /// None yet.
    pub fn new() -> Self {
        Self { by_address: HashMap::new() }
    }

    /// Drops what nobody has used since `before`, in the core's ms, and forgets the backends that are gone.
    pub fn sweep(&mut self, before: u64) {
        self.by_address.retain(|_, upstream| match upstream.upgrade() {
            Some(upstream) => {
                upstream.sweep(before);
                true
            }
            None => false,
        });
    }
}

impl<C: Reusable> Default for Upstreams<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Reusable> Resolve for Upstreams<C> {
    type Handle = Rc<Upstream<C>>;

    fn resolve(&mut self, address: &Address) -> Rc<Upstream<C>> {
        if let Some(known) = self.by_address.get(address).and_then(Weak::upgrade) {
            return known;
        }
        let upstream = Rc::new(Upstream::new(address));
        self.by_address.insert(address.clone(), Rc::downgrade(&upstream));
        upstream
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use hotswap_matcher::{BackendDraft, PoolDraft, PoolSpec};

    use super::*;

    #[derive(Debug)]
    struct Fake(u32, Rc<Cell<bool>>);

    impl Reusable for Fake {
        type Many = ();

        fn is_ready(&self) -> bool {
            self.1.get()
        }
    }

    fn address(text: &str) -> Address {
        let backends = vec![BackendDraft { address: text.into(), weight: None, ..BackendDraft::default() }];
        let pool = PoolSpec::parse(&PoolDraft { backends, ..PoolDraft::default() }).expect("valid");
        pool.backends().backends[0].address.clone()
    }

    fn open() -> Rc<Cell<bool>> {
        Rc::new(Cell::new(true))
    }

    #[test]
    fn the_freshest_is_used_next_and_closed_ones_are_passed_over() {
        let mut all = Upstreams::new();
        let upstream = all.resolve(&address("a:1"));
        let closed = open();
        upstream.checkin(Fake(1, open()), 1);
        upstream.checkin(Fake(2, open()), 2);
        upstream.checkin(Fake(3, Rc::clone(&closed)), 3);
        closed.set(false);
        upstream.checkin(Fake(4, Rc::clone(&closed)), 4);
        assert_eq!(upstream.checkout().map(|c| c.0), Some(2));
        assert_eq!(upstream.checkout().map(|c| c.0), Some(1));
        assert!(upstream.checkout().is_none());
    }

    #[test]
    fn one_address_has_one_pool_and_it_goes_with_its_last_user() {
        let mut all = Upstreams::new();
        let (a, again) = (all.resolve(&address("a:1")), all.resolve(&address("A:1")));
        assert!(Rc::ptr_eq(&a, &again));
        let alive = open();
        a.checkin(Fake(1, Rc::clone(&alive)), 0);
        drop((a, again));
        assert_eq!(Rc::strong_count(&alive), 1, "the connection has closed");
        all.sweep(0);
        assert!(all.by_address.is_empty());
    }

    #[test]
    fn what_nobody_used_for_long_is_dropped() {
        let mut all = Upstreams::new();
        let upstream = all.resolve(&address("a:1"));
        upstream.checkin(Fake(1, open()), 10);
        upstream.checkin(Fake(2, open()), 20);
        all.sweep(15);
        assert_eq!(upstream.checkout().map(|c| c.0), Some(2));
        assert!(upstream.checkout().is_none());
    }
}
