//! A client connection: its place in the exchange, its deadline, and what is noted of the exchange for the
//! log. The parts of an exchange (the reading and writing of the socket, the service, the two bodies) all
//! hold it; nothing here waits.
//!
//! ```text
//!        bytes come            head is whole            response's head        both bodies ended
//!  Idle ────────────► Head ────────────────► Exchange ──────────────────► Body ─────────────────► Idle
//!  client idle        client head            idle while the request's     idle (route)
//!                                            body comes, then first byte
//!                                            └───────── total (route) ─────────┘
//! ```

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};

use super::heads;
use super::record::{self, Notes};
use super::{Backend, Core};
use crate::backend_state::{InFlight, Outcome};
use crate::engine::entry::Entered;
use crate::engine::limits::{ExchangeLimits, Limit};
use crate::engine::shared::Peer;
use crate::reason::Reason;
use crate::trace::TRACEPARENT;

/// Where a connection is in its exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is under way.
    Idle,
    /// A part of a head has come.
    Head,
    /// The request is with the gateway or the backend; the response's head has not been written.
    Exchange,
    /// The response's head is out.
    Body,
}

/// A client connection.
pub(super) struct Conn {
    pub(super) core: Rc<Core>,
    /// The client's address, as X-Forwarded-For wants it.
    pub(super) client: HeaderValue,
    pub(super) peer: Peer,
    slot: usize,
    phase: Cell<Phase>,
    limit: Cell<Limit>,
    total: Cell<u64>,
    /// When the try that is under way must have been answered.
    try_until: Cell<u64>,
    limits: Cell<ExchangeLimits>,
    /// Counts exchanges: a body that outlives its own must not touch the next.
    turn: Cell<u32>,
    request_open: Cell<bool>,
    response_open: Cell<bool>,
    /// Something of a response may still lie in hyper's buffer.
    unflushed: Cell<bool>,
    /// The socket is to be reset, so that the client sees that the end is none.
    abort: Cell<bool>,
    /// The client may still be sending a body that nobody reads: the socket is closed with patience.
    linger: Cell<bool>,
    /// What came of a head in earlier reads.
    early: Cell<Vec<u8>>,
    pub(super) notes: Notes,
}

impl Conn {
    pub(super) fn new(core: Rc<Core>, peer: SocketAddr) -> Self {
        core.opened();
        let slot = core.timers.take_slot();
        let client = HeaderValue::try_from(peer.ip().to_canonical().to_string());
        let conn = Self {
            // An address is always a valid value.
            client: client.unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            peer: core.peer(peer, Entered::default()),
            slot,
            phase: Cell::new(Phase::Idle),
            limit: Cell::new(Limit::Client),
            total: Cell::new(u64::MAX),
            try_until: Cell::new(u64::MAX),
            limits: Cell::new(ExchangeLimits::default()),
            turn: Cell::new(0),
            request_open: Cell::new(false),
            response_open: Cell::new(false),
            unflushed: Cell::new(false),
            abort: Cell::new(false),
            linger: Cell::new(false),
            early: Cell::default(),
            notes: Notes::default(),
            core,
        };
        conn.arm(Limit::Client, conn.core.limits.client_idle_ms);
        conn
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn slot(&self) -> usize {
        self.slot
    }

    pub(super) fn set_waker(&self, waker: &Waker) {
        self.core.timers.set_waker(self.slot, waker);
    }

    pub(super) fn expired(&self) -> bool {
        self.core.timers.expired(self.slot)
    }

    fn arm(&self, limit: Limit, ms: u64) {
        let deadline = self.core.timers.after(ms);
        let total = self.total.get();
        let first = total.min(self.try_until.get());
        if first < deadline {
            self.limit.set(if first == total { Limit::Total } else { Limit::Try });
            self.core.timers.arm(self.slot, first);
        } else {
            self.limit.set(limit);
            self.core.timers.arm(self.slot, deadline);
        }
    }

    fn go_idle(&self) {
        self.phase.set(Phase::Idle);
        self.total.set(u64::MAX);
        self.try_until.set(u64::MAX);
        self.arm(Limit::Client, self.core.limits.client_idle_ms);
    }

    // === the socket ===

    /// Whether what comes from the client is a head, and not a body.
    pub(super) fn reads_heads(&self) -> bool {
        !self.request_open.get()
    }

    /// Whether the head that hyper has just read has both framings; hyper drops one of them in silence.
    pub(super) fn has_two_framings(&self, method: &Method) -> bool {
        let early = self.early.take();
        self.core.heads.borrow().last(self.slot, |late| heads::has_two_framings(&early, late, method))
    }

    /// Keeps what has come of a head that is not whole yet, before another connection reads.
    pub(super) fn keep_early(&self) {
        if self.phase.get() == Phase::Head {
            let mut early = self.early.take();
            self.core.heads.borrow_mut().take_last(self.slot, &mut early);
            self.early.set(early);
        }
    }

    /// Bytes came from the client.
    pub(super) fn on_read(&self) {
        if self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.arm(Limit::Client, self.core.limits.client_head_ms);
        }
    }

    /// Bytes went to the client.
    pub(super) fn on_write(&self) {
        match self.phase.get() {
            Phase::Body => self.arm(Limit::Idle, self.limits.get().idle),
            Phase::Idle => self.arm(Limit::Client, self.core.limits.client_idle_ms),
            Phase::Head | Phase::Exchange => {}
        }
    }

    /// All that hyper had to write is with the kernel.
    pub(super) fn on_flushed(&self) {
        self.unflushed.set(false);
    }

    /// Whether what hyper writes now is an answer of its own, to a head that it could not read.
    pub(super) fn writes_by_itself(&self) -> bool {
        matches!(self.phase.get(), Phase::Idle | Phase::Head) && !self.unflushed.get()
    }

    pub(super) fn aborts(&self) -> bool {
        self.abort.get()
    }

    pub(super) fn set_abort(&self) {
        self.abort.set(true);
    }

    pub(super) fn lingers(&self) -> bool {
        self.linger.get()
    }

    /// The socket must stay until the client has read the answer, although it may still be sending.
    pub(super) fn set_linger(&self) {
        self.linger.set(true);
    }

    /// Ends a connection whose time is up: with a reset where the end could be taken for a clean one.
    pub(super) fn cut(&self) {
        match self.phase.get() {
            Phase::Idle => {
                if self.unflushed.get() {
                    self.abort.set(true);
                }
            }
            Phase::Head => self.notes.unreadable(&self.core, &self.peer, None, Reason::ClientTimeout),
            Phase::Exchange | Phase::Body => {
                self.notes.failure(self.limit_reason());
                self.abort.set(true);
            }
        }
    }

    // === an exchange ===

    /// A head is whole: an exchange begins. Its number tells its bodies from those of others.
    pub(super) fn begin(&self, parts: &Parts, has_body: bool) -> u32 {
        self.phase.set(Phase::Exchange);
        self.linger.set(false);
        drop(self.early.take());
        self.turn.set(self.turn.get().wrapping_add(1));
        self.request_open.set(has_body);
        self.response_open.set(true);
        // Until a route sets its own.
        self.arm(Limit::Client, self.core.limits.client_idle_ms);
        let recording = self.core.record(|| parts.headers.get(TRACEPARENT).map(HeaderValue::as_bytes));
        let sent = record::sent(&self.core, &self.peer, parts);
        self.notes.begin(sent, &parts.method, &parts.uri, recording);
        self.turn.get()
    }

    /// The request goes to a backend.
    pub(super) fn forward(&self, backend: &Backend, in_flight: InFlight, limits: ExchangeLimits) {
        self.limits.set(limits);
        self.total.set(limits.total.map_or(u64::MAX, |ms| self.core.timers.after(ms)));
        self.begin_try(backend, in_flight);
    }

    /// The request goes to a backend, for the first time or anew.
    pub(super) fn begin_try(&self, backend: &Backend, in_flight: InFlight) {
        self.notes.backend(backend, in_flight);
        let until = self.limits.get().per_try.map_or(u64::MAX, |ms| self.core.timers.after(ms));
        self.try_until.set(until);
    }

    /// What came of a try that is followed by another.
    pub(super) fn end_try(&self, outcome: Outcome) {
        let took = self.notes.end_try(outcome, self.core.timers.now());
        took.iter().for_each(|took| self.core.metrics.backends.add(*took));
        self.try_until.set(u64::MAX);
        self.wait_for_connection();
    }

    /// A connection to the backend is being opened, which has a limit of its own.
    pub(super) fn wait_for_connection(&self) {
        self.arm(Limit::Total, u64::MAX);
    }

    /// The request goes out.
    pub(super) fn wait_for_response(&self) {
        let limits = self.limits.get();
        if self.request_open.get() {
            self.arm(Limit::Idle, limits.idle);
        } else {
            self.arm(Limit::FirstByte, limits.first_byte);
        }
    }

    /// Waits for `future`, but not longer than the deadline.
    pub(super) async fn race<F: Future>(&self, mut future: Pin<&mut F>) -> Result<F::Output, Reason> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            if self.expired() { Poll::Ready(Err(self.limit_reason())) } else { Poll::Pending }
        })
        .await
    }

    fn limit_reason(&self) -> Reason {
        self.limit.get().reason()
    }

    /// Bytes of the request's body moved.
    pub(super) fn request_moved(&self, turn: u32, bytes: usize) {
        if turn == self.turn.get() && self.request_open.get() {
            self.notes.received(bytes);
            self.arm(Limit::Idle, self.limits.get().idle);
        }
    }

    /// The request's body has ended, or nobody reads it any more.
    pub(super) fn request_ended(&self, turn: u32) {
        if turn != self.turn.get() || !self.request_open.replace(false) {
            return;
        }
        match self.phase.get() {
            Phase::Exchange => self.wait_for_response(),
            Phase::Body | Phase::Idle | Phase::Head => {}
        }
    }

    pub(super) fn request_is_open(&self) -> bool {
        self.request_open.get()
    }

    /// The response's head goes out. One of the gateway's own has no route's limits.
    pub(super) fn respond(&self, status: StatusCode, by_backend: bool) {
        let took = self.notes.status(status, by_backend.then(|| self.core.timers.now()));
        took.iter().for_each(|took| self.core.metrics.backends.add(*took));
        self.unflushed.set(true);
        self.phase.set(Phase::Body);
        self.try_until.set(u64::MAX);
        if by_backend {
            self.arm(Limit::Idle, self.limits.get().idle);
        } else {
            self.total.set(u64::MAX);
            let idle = self.core.limits.client_idle_ms;
            self.limits.set(ExchangeLimits { first_byte: idle, idle, ..ExchangeLimits::default() });
            self.arm(Limit::Client, idle);
        }
    }

    /// Bytes of the response's body moved.
    pub(super) fn response_moved(&self, turn: u32, bytes: usize) {
        if turn == self.turn.get() {
            self.notes.moved(bytes);
            self.arm(Limit::Idle, self.limits.get().idle);
        }
    }

    /// The response is with hyper to its end, or will never be.
    pub(super) fn response_ended(&self, turn: u32, whole: bool) {
        if turn != self.turn.get() || !self.response_open.replace(false) {
            return;
        }
        if !whole {
            self.notes.failure(Reason::ClientGone);
        }
        self.notes.close(&self.core);
        self.unflushed.set(true);
        if self.request_open.replace(false) {
            // The client has its whole answer, and nobody wants the rest of what it sends.
            self.set_linger();
        }
        self.go_idle();
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        if self.notes.is_open() {
            self.notes.failure(Reason::ClientGone);
            self.notes.close(&self.core);
        }
        self.core.timers.free_slot(self.slot);
        self.core.closed();
    }
}
