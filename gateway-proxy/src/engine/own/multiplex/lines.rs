//! The connections of a core to one backend that carry many streams. A stream takes a place on one that has room; where
//! none has, another connection is opened, and those who came meanwhile wait for the same one.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::Notify;

use super::connection;
use super::stream::Stream;
use crate::engine::own::backend;
use crate::engine::own::core::{Backend, Core};
use crate::engine::own::link::Link;
use crate::engine::own::socket::Socket;
use crate::reason::Reason;
use crate::upstream::Upstream;

/// Streams of one connection at once, at most, where the backend allows more. The connection's window holds what each of
/// so many may send ahead, so that a client that does not read holds back its own stream alone.
pub(super) const STREAMS: usize = 100;
/// Time that a connection gets no streams after the backend has refused one, in ms.
const REST_MS: u64 = 250;
/// Connections of one core to one backend, at most; beyond that, exchanges wait for a place.
const MOST: usize = 512;

/// The connections of a core to one backend.
#[derive(Debug, Default)]
pub(in crate::engine) struct Lines {
    open: RefCell<Vec<Line>>,
    opening: RefCell<Vec<Rc<Opening>>>,
    /// Streams that the backend allowed on the last connection that said so; 0: none has yet.
    usual: Cell<usize>,
    /// A place has become free, or an attempt to open a connection is over.
    changed: Notify,
}

/// A connection that is open.
struct Line {
    send: SendRequest<Bytes>,
    state: Rc<State>,
}

/// What a connection and its streams know of each other.
#[derive(Debug)]
pub(super) struct State {
    backend: Weak<Upstream<Link>>,
    /// Places that are taken.
    pub(super) taken: Cell<usize>,
    /// Streams that the backend allows, once it has said so.
    pub(super) allowed: Cell<Option<usize>>,
    /// Whom to wake when that, or how many places are taken, changes.
    held_back: RefCell<Vec<Waker>>,
    /// What streams have sent waits in h2, since the backend does not take it.
    pub(super) is_behind: Cell<bool>,
    /// The backend has turned the gateway's certificate down.
    pub(super) is_refused: Cell<bool>,
    /// Nothing came back within a limit: it gets no streams until something does.
    pub(super) is_doubted: Cell<bool>,
    /// Questions whether it is there, since it last answered a request.
    pub(super) questions: Cell<u8>,
    /// When something came, in the core's ms.
    pub(super) heard_at: Cell<u64>,
    /// When the first stream began of those that began since then, in the core's ms.
    silent_since: Cell<u64>,
    /// The backend has refused a stream: it gets none on this connection until then, in the core's ms.
    rests_until: Cell<u64>,
    /// Once it is true, other files of TLS are in force: it gets no more streams.
    retired: Option<Arc<AtomicBool>>,
    /// Whom to wake when that, or the first or last place, changes.
    pub(super) task: RefCell<Option<Waker>>,
}

/// A place for a stream on a connection. Dropped, it is free.
#[derive(Debug)]
pub(super) struct Place {
    state: Rc<State>,
    /// In the core's ms.
    taken_at: u64,
    /// It was taken before the backend had said how many there are.
    is_guessed: Cell<bool>,
}

/// A connection that is being opened.
#[derive(Debug, Default)]
struct Opening {
    /// Exchanges that wait for it.
    waiting: Cell<usize>,
    /// Why there is none.
    failed: Cell<Option<Reason>>,
}

/// Somebody who waits for a connection that is being opened.
struct Waiting(Rc<Opening>);

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state.fmt(f)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
    }
}

impl State {
    /// Of a connection to a backend, on this socket.
    fn new(backend: &Backend, socket: &Socket, now: u64) -> Self {
        let retired = match socket {
            Socket::Plain(_) => None,
            Socket::Tls(secure) => secure.retired().cloned(),
        };
        Self {
            backend: Rc::downgrade(backend),
            taken: Cell::new(0),
            allowed: Cell::new(None),
            held_back: RefCell::default(),
            is_behind: Cell::new(false),
            is_refused: Cell::new(false),
            is_doubted: Cell::new(false),
            questions: Cell::new(0),
            heard_at: Cell::new(now),
            silent_since: Cell::new(now),
            rests_until: Cell::new(0),
            retired,
            task: RefCell::default(),
        }
    }

    /// The backend, as long as a configuration has it.
    pub(super) fn backend(&self) -> Option<Backend> {
        self.backend.upgrade()
    }

    /// The connection has ended, or takes no more streams.
    pub(super) fn retire(self: &Rc<Self>) {
        if let Some(backend) = self.backend.upgrade() {
            let lines = backend.many();
            lines.open.borrow_mut().retain(|line| !Rc::ptr_eq(&line.state, self));
            lines.changed.notify_waiters();
        }
    }

    /// Something came: the backend's settings come before all else.
    pub(super) fn heard(&self, allowed: usize, now: u64) {
        self.heard_at.set(now);
        if self.allowed.replace(Some(allowed)).is_none() {
            self.wake_held_back();
        }
    }

    fn wake_held_back(&self) {
        self.held_back.take().into_iter().for_each(Waker::wake);
    }

    fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }
}

impl Place {
    fn new(state: &Rc<State>, now: u64) -> Self {
        state.taken.set(state.taken.get() + 1);
        if state.taken.get() == 1 {
            state.wake();
        }
        if state.heard_at.get() >= state.silent_since.get() {
            state.silent_since.set(now);
        }
        let is_guessed = Cell::new(state.allowed.get().is_none());
        Self { state: Rc::clone(state), taken_at: now, is_guessed }
    }

    /// Waits until the backend has said how many streams it allows, and has refused those that are too many: of a long
    /// body no more is kept than what goes out at first.
    pub(super) fn poll_allowed(&self, cx: &Context<'_>) -> Poll<()> {
        let state = &self.state;
        if self.is_guessed.get() && state.allowed.get().is_none_or(|allowed| state.taken.get() > allowed) {
            let mut held_back = state.held_back.borrow_mut();
            // Once each, however often its client sends some more.
            if !held_back.iter().any(|waker| waker.will_wake(cx.waker())) {
                held_back.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        self.is_guessed.set(false);
        Poll::Ready(())
    }

    /// Whether it is known that the backend has such a place.
    pub(super) fn is_allowed(&self) -> bool {
        !self.is_guessed.get()
    }

    /// Whether what is sent waits, since the backend does not take it.
    pub(super) fn is_behind(&self) -> bool {
        self.state.is_behind.get()
    }

    /// Whether the backend has turned the gateway's certificate down.
    pub(super) fn is_refused(&self) -> bool {
        self.state.is_refused.get()
    }

    /// The backend takes no more streams, although it allows more.
    pub(super) fn let_rest(&self, now: u64) {
        self.state.rests_until.set(now + REST_MS);
    }

    /// The backend has answered something.
    pub(super) fn is_answered(&self) {
        self.state.questions.set(0);
    }

    /// No answer came in time. Where nothing at all came on the connection since the stream began, and while there were
    /// streams for `least_ms`, others get it only when it has said that it is there.
    pub(super) fn doubt(&self, now: u64, least_ms: u64) {
        let state = &self.state;
        let is_silent = state.heard_at.get() <= self.taken_at;
        if is_silent && now.saturating_sub(state.silent_since.get()) >= least_ms {
            state.is_doubted.set(true);
            state.wake();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let state = &self.state;
        state.taken.set(state.taken.get().saturating_sub(1));
        state.wake_held_back();
        if state.taken.get() == 0 {
            state.wake();
        }
        if let Some(backend) = state.backend.upgrade() {
            backend.many().changed.notify_one();
        }
    }
}

impl Lines {
    /// A stream on a connection that is open; `None`: none has room.
    pub(in crate::engine::own) fn take(&self, now: u64) -> Option<Stream> {
        let mut nobody = Context::from_waker(Waker::noop());
        let mut open = self.open.borrow_mut();
        let mut at = 0;
        while let Some(line) = open.get_mut(at) {
            match line.send.poll_ready(&mut nobody) {
                Poll::Ready(Err(_)) => {
                    // It has ended, or the backend lets it end. Streams under way are not touched by that.
                    open.swap_remove(at);
                    continue;
                }
                Poll::Ready(Ok(())) if line.has_room(now, &self.usual) => {
                    return Some(Stream::new(line.send.clone(), Place::new(&line.state, now)));
                }
                Poll::Ready(Ok(())) | Poll::Pending => at += 1,
            }
        }
        None
    }

    /// Connections that there may be. A backend that refuses streams says that it has too much to do: it gets no more of
    /// them than one and a spare, for the case that it was the first alone that it meant.
    fn most(&self, now: u64) -> usize {
        let rests = self.open.borrow().iter().any(|line| line.state.rests_until.get() > now);
        if rests { 2 } else { MOST }
    }

    /// Waits for what takes the next stream: `Some` is a connection that is being opened, by this call or another.
    fn join(&self, backend: &Backend, core: &Rc<Core>, timeout: Duration) -> Option<Waiting> {
        let mut opening = self.opening.borrow_mut();
        let joined = match opening.iter().find(|o| o.waiting.get() < guess(&self.usual)) {
            Some(joined) => Rc::clone(joined),
            None if self.open.borrow().len() + opening.len() >= self.most(core.timers.now()) => return None,
            None => {
                let new = Rc::<Opening>::default();
                opening.push(Rc::clone(&new));
                // No exchange owns it: another may use it when this one's client has gone.
                tokio::task::spawn_local(open(Rc::clone(backend), Rc::clone(core), timeout, Rc::clone(&new)));
                new
            }
        };
        joined.waiting.set(joined.waiting.get() + 1);
        Some(Waiting(joined))
    }
}

/// The streams that a connection is likely to take.
fn guess(usual: &Cell<usize>) -> usize {
    if usual.get() == 0 { STREAMS } else { usual.get().min(STREAMS) }
}

impl Line {
    fn has_room(&self, now: u64, usual: &Cell<usize>) -> bool {
        let most = if self.state.allowed.get().is_some() {
            usual.set(self.send.current_max_send_streams());
            self.send.current_max_send_streams()
        } else {
            // What it will say is most likely what it said before.
            guess(usual)
        };
        let most = most.min(STREAMS);
        let retired = self.state.retired.as_ref().is_some_and(|retired| retired.load(Ordering::Relaxed));
        !retired
            && self.state.taken.get() < most
            && !self.state.is_doubted.get()
            && self.state.rests_until.get() <= now
    }
}

/// Waits for a place, as long as a connection may take to be opened.
pub(in crate::engine::own) async fn wait(
    backend: Backend,
    core: Rc<Core>,
    timeout: Duration,
) -> Result<Link, Reason> {
    let placed = async {
        loop {
            let lines = backend.many();
            // Before the look, so that what happens behind it is not missed.
            let changed = lines.changed.notified();
            if let Some(stream) = lines.take(core.timers.now()) {
                return Ok(Link::Stream(Box::new(stream)));
            }
            let waiting = lines.join(&backend, &core, timeout);
            let Some(Waiting(opening)) = &waiting else {
                // Nobody says that a rest is over.
                let _ = tokio::time::timeout(Duration::from_millis(REST_MS), changed).await;
                continue;
            };
            changed.await;
            if let Some(reason) = opening.failed.get() {
                return Err(reason);
            }
        }
    };
    tokio::time::timeout(timeout, placed).await.unwrap_or(Err(Reason::ConnectTimeout))
}

/// Opens a connection, and serves it to its end.
async fn open(backend: Backend, core: Rc<Core>, timeout: Duration, opening: Rc<Opening>) {
    let opened = backend::dial(&backend, &core, timeout).await;
    let opened = match opened {
        Ok(socket) => {
            let state = Rc::new(State::new(&backend, &socket, core.timers.now()));
            let begun = connection::begin(socket, &core, &state).await;
            begun.map(|(send, connection)| (send, state, connection))
        }
        Err(reason) => Err(reason),
    };
    let lines = backend.many();
    let served = match opened {
        Ok((send, state, connection)) => {
            lines.open.borrow_mut().push(Line { send, state });
            Some(connection)
        }
        Err(reason) => {
            opening.failed.set(Some(reason));
            None
        }
    };
    lines.opening.borrow_mut().retain(|o| !Rc::ptr_eq(o, &opening));
    lines.changed.notify_waiters();
    // The connection must not keep its backend: when the configuration lets go of that, it ends.
    drop(backend);
    if let Some(connection) = served {
        connection.serve().await;
    }
}
