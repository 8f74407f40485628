//! What the tasks of one core share. It never leaves its thread.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;

use hotswap_core::{Clock as _, SystemClock, Timestamp};
use hotswap_h1::Head;
use hotswap_h1::body::Around;
use hotswap_h1::read::HeadLimits;
use tokio::net::TcpStream;

use super::client;
use super::enter::{self, Entering};
use super::executor::Executor;
use super::link::Link;
use super::socket::Socket;
use super::splice::Pipe;
use crate::engine::entry::Entered;
use crate::engine::room::Place;
use crate::engine::serve::Engine;
use crate::engine::shared::Shared;
use crate::engine::{CoreSetup, EntryKind, WayIn};
use crate::upstream::Upstream;

/// The buffer that everything is read through, in bytes. One for all connections of a core stays in the cache.
pub(super) const INPUT: usize = 64 * 1024;
/// Heads and buffers that wait for their next use, at most.
const SPARE: usize = 256;
/// Pipes that wait for their next use, at most: each is two descriptors.
const SPARE_PIPES: usize = 32;
/// A buffer that has grown beyond this is not kept.
const LARGE: usize = 2 * INPUT;

/// A backend, as this core knows it.
pub(super) type Backend = Rc<Upstream<Link>>;

/// A core.
pub(in crate::engine) struct Core {
    shared: Shared<Link>,
    pub(super) head_limits: HeadLimits,
    /// What a turn reads.
    pub(super) input: RefCell<Box<[u8]>>,
    /// What a turn writes: a head, what stands before a piece of a body.
    pub(super) output: RefCell<Around>,
    heads: RefCell<Vec<Head>>,
    buffers: RefCell<Vec<Vec<u8>>>,
    pipes: RefCell<Vec<Pipe>>,
    date: RefCell<String>,
    /// Bodies that are compressed.
    pub(super) squeezed: Rc<Cell<usize>>,
    /// Runs the streams of clients.
    pub(super) streams: Executor,
}

impl Core {
    pub(in crate::engine) fn new(setup: &CoreSetup) -> Self {
        Self {
            shared: Shared::new(setup),
            head_limits: HeadLimits { bytes: setup.limits.max_head_bytes, headers: setup.limits.max_headers },
            input: RefCell::new(vec![0; INPUT].into()),
            output: RefCell::default(),
            heads: RefCell::default(),
            buffers: RefCell::default(),
            pipes: RefCell::default(),
            date: RefCell::new(http_date(SystemClock.now())),
            squeezed: Rc::default(),
            streams: Executor::new(),
        }
    }

    /// A head to be filled.
    pub(super) fn take_head(&self) -> Head {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    /// A head that is needed no more.
    pub(super) fn give_head(&self, head: Head) {
        let mut heads = self.heads.borrow_mut();
        if heads.len() < SPARE {
            heads.push(head);
        }
    }

    /// An empty buffer.
    pub(super) fn take_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    /// A buffer that is needed no more.
    pub(super) fn give_buffer(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffer.capacity() > 0 && buffer.capacity() <= LARGE && buffers.len() < SPARE {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    /// An empty pipe; `None`: no descriptor is left.
    pub(super) fn take_pipe(&self) -> Option<Pipe> {
        let kept = self.pipes.borrow_mut().pop();
        kept.or_else(|| Pipe::new().ok())
    }

    /// A pipe that is needed no more.
    pub(super) fn give_pipe(&self, pipe: Pipe) {
        let mut pipes = self.pipes.borrow_mut();
        if pipe.is_empty() && pipes.len() < SPARE_PIPES {
            pipes.push(pipe);
        }
    }

    /// Shows the time as the header Date has it, at most a second old.
    pub(super) fn with_date(&self, show: impl FnOnce(&str)) {
        show(&self.date.borrow());
    }
}

impl Deref for Core {
    type Target = Shared<Link>;

    fn deref(&self) -> &Shared<Link> {
        &self.shared
    }
}

impl Engine for Core {
    type Connection = Link;

    fn shared(&self) -> &Shared<Link> {
        &self.shared
    }

    fn accept(self: &Rc<Self>, (stream, peer): (TcpStream, SocketAddr), way: &WayIn, place: Place) {
        // One task for each connection, all of them ended by the runtime's end; the drain waits for their count.
        let core = Rc::clone(self);
        let behind =
            way.behind.as_ref().is_some_and(|proxies| proxies.trusts(peer.ip()) && !self.is_test(peer));
        match &way.kind {
            EntryKind::Plain { to_https } if !behind => {
                let entered = Entered::plain(*to_https);
                let entering = Entering::new(&core);
                tokio::task::spawn_local(async move {
                    let client = client::serve(core, Socket::Plain(stream), peer, entered);
                    drop(entering);
                    client.await;
                    drop(place);
                });
            }
            kind => {
                let entering = Entering::new(&core);
                let client = enter::serve(entering, stream, peer, (kind.clone(), behind));
                tokio::task::spawn_local(async move {
                    client.await;
                    drop(place);
                });
            }
        }
    }

    fn tick(&self, sweep: bool) {
        self.shared.tick(sweep);
        if sweep {
            *self.date.borrow_mut() = http_date(SystemClock.now());
        }
    }
}

/// As RFC 9110 section 5.6.7 wants it.
fn http_date(now: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let at =
        time::OffsetDateTime::from_unix_timestamp(now.seconds()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let day = DAYS.get(usize::from(at.weekday().number_days_from_monday())).copied().unwrap_or_default();
    let month = MONTHS.get(usize::from(u8::from(at.month())) - 1).copied().unwrap_or_default();
    let (h, m, s) = at.time().as_hms();
    format!("{day}, {:02} {month} {} {h:02}:{m:02}:{s:02} GMT", at.day(), at.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_the_form_of_http() {
        assert_eq!(http_date(Timestamp(784_111_777_000_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
