//! A client's connection: where it is, and what happens next. The parts of it stand in files of their own.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::core::Core;
use super::exchange::Exchange;
use super::front::Front;
use super::http2;
use super::reply::Reply;
use super::socket::Socket;
use super::track::Track;
use super::wire::Rest;
use crate::engine::entry::Entered;
use crate::engine::limits::Limit;
use crate::engine::shared::Peer;
use crate::reason::Reason;

/// Time without a byte from a backend after which a caller's own deadline, too, casts doubt on a connection that others
/// share, in ms.
const SILENT_MS: u64 = 1_000;

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A head is awaited, or has come in part.
    Head,
    /// A connection to the backend is being opened.
    Connect,
    /// A try has failed, and the next has not begun.
    Pause,
    /// Request and response pass.
    Exchange,
    /// Bytes of another protocol pass.
    Relay,
    /// All that there is to answer is known; the rest of it goes out.
    Flush,
    /// Nothing more happens.
    End,
}

/// How the socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Both sides know that it is over.
    Plain,
    /// The client may still be sending what nobody reads: with patience, or it loses the answer.
    Linger,
    /// By a reset: an end without it could pass for the end of the body.
    Abort,
    /// Not at all: it goes on as HTTP/2.
    Http2,
}

/// A client's connection of HTTP/1.1, or one stream of its connection of HTTP/2.
pub(super) struct Client<F> {
    pub(super) socket: F,
    pub(super) track: Track,
    /// The client's address, as X-Forwarded-For wants it.
    pub(super) address: Rc<str>,
    pub(super) peer: Peer,
    /// What came and was not used: the beginning of a head, or what was pipelined.
    pub(super) early: Rest,
    /// Whether a head may stand in it that nobody has looked at.
    pub(super) unseen: bool,
    /// What is on its way to the client.
    pub(super) late: Rest,
    pub(super) step: Step,
    pub(super) exchange: Option<Exchange>,
    /// No request has come on this connection.
    pub(super) is_first: bool,
    /// The request's version is HTTP/1.0.
    pub(super) old: bool,
    /// The request is a HEAD.
    pub(super) to_head: bool,
    /// Another request may come on this connection.
    pub(super) keep_alive: bool,
    pub(super) ending: Ending,
}

/// Serves a connection to its end.
pub(super) async fn serve(core: Rc<Core>, socket: Socket, peer: SocketAddr, entered: Entered) {
    let address = entered.source.unwrap_or(peer).ip().to_canonical().to_string().into();
    let peer = core.peer(peer, entered);
    let mut client = Client::new(socket, Track::new(core, peer.origin()), address, peer);
    client.run().await;
    if client.ending == Ending::Http2 {
        // Apart, so that the task of a connection of HTTP/1.1 is no larger for it.
        Box::pin(http2::serve(client)).await;
    } else {
        client.end();
    }
}

impl<F: Front> Client<F> {
    pub(super) fn new(socket: F, track: Track, address: Rc<str>, peer: Peer) -> Self {
        Self {
            socket,
            address,
            peer,
            track,
            early: Rest::default(),
            unseen: false,
            late: Rest::default(),
            step: Step::Head,
            exchange: None,
            is_first: true,
            old: false,
            to_head: false,
            keep_alive: true,
            ending: Ending::Plain,
        }
    }

    pub(super) fn core(&self) -> Rc<Core> {
        Rc::clone(&self.track.core)
    }

    /// Serves all exchanges.
    pub(super) async fn run(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.track.known_by(cx);
        if self.step == Step::Exchange {
            match F::pass_straight(self, cx) {
                Ok(true) if !self.track.expired() => return Poll::Pending,
                Ok(_) => {}
                Err(fault) => self.step = self.on_fault(cx, fault),
            }
        }
        loop {
            let next = match self.step {
                Step::Head => F::poll_head(self, cx),
                Step::Connect => self.poll_connect(cx),
                Step::Pause => self.poll_pause(cx),
                Step::Exchange => self.poll_exchange(cx),
                Step::Relay => self.poll_relay(cx),
                Step::Flush => self.poll_flush(cx),
                Step::End => return Poll::Ready(()),
            };
            self.step = match next {
                Poll::Ready(step) => step,
                Poll::Pending if self.track.expired() => self.on_deadline(cx),
                Poll::Pending => return Poll::Pending,
            };
        }
    }

    /// The rest of an answer goes out; then the exchange is over.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let core = self.core();
        let had = (self.late.len(), self.socket.sent());
        let flushed = self.socket.poll_flush(cx, &mut self.late, &core);
        if had != (self.late.len(), self.socket.sent()) {
            self.track.moved();
        }
        if ready!(flushed).is_err() {
            self.track.failure(Reason::ClientGone);
            return Poll::Ready(Step::End);
        }
        self.track.close();
        if !self.keep_alive {
            return Poll::Ready(Step::End);
        }
        self.track.go_idle();
        self.unseen = true;
        Poll::Ready(Step::Head)
    }

    /// The time is up.
    fn on_deadline(&mut self, cx: &mut Context<'_>) -> Step {
        let limit = self.track.limit();
        match self.step {
            Step::Head => {
                if !self.early.is_empty() {
                    self.track.unreadable(Reason::ClientTimeout);
                    self.track.close();
                }
                Step::End
            }
            Step::Exchange if limit == Limit::Continue => {
                // A backend that does not know the expectation waits for the body.
                self.let_body_come(cx);
                Step::Exchange
            }
            Step::Relay => self.end_relay(limit),
            Step::Exchange if limit != Limit::Deadline && !self.answered() && self.owes_body() => {
                self.reply_to_open(cx, Reply::Failure(Reason::ClientTimeout))
            }
            Step::Connect | Step::Pause | Step::Exchange if !self.answered() => {
                if let Some(link) = self.exchange.as_ref().and_then(|e| e.link.as_ref()) {
                    // The caller's own deadline says nothing of how long an answer may take.
                    let least_ms = if limit == Limit::Deadline { SILENT_MS } else { 0 };
                    link.doubt(self.track.core.timers.now(), least_ms);
                }
                self.fail(cx, limit.reason())
            }
            Step::Exchange | Step::Flush if self.owes_reading() => self.cut(Reason::ClientStalled),
            Step::Connect | Step::Pause | Step::Exchange | Step::Flush | Step::End => {
                self.cut(limit.reason())
            }
        }
    }

    /// Whether it is the client that keeps the backend waiting: for the rest of the request.
    fn owes_body(&self) -> bool {
        let Some(Exchange { upload, link: Some(link), .. }) = &self.exchange else { return false };
        !upload.is_read() && !upload.is_kept_back() && link.is_out(upload)
    }

    /// Whether the client has not taken what has come of the response.
    fn owes_reading(&self) -> bool {
        let in_pipe = self.exchange.as_ref().is_some_and(|e| e.download.waits_in_pipe());
        in_pipe || !self.socket.is_out(&self.late)
    }

    /// Ends an exchange whose answer is out in part.
    pub(super) fn cut(&mut self, reason: Reason) -> Step {
        self.track.failure(reason);
        let is_told = self.track.is_call() && self.socket.fail(&self.late, reason);
        if is_told {
            self.track.told(reason.grpc());
        }
        self.ending = if is_told { Ending::Plain } else { Ending::Abort };
        Step::End
    }

    /// Closes the socket.
    pub(super) fn end(self) {
        let Self { socket, mut track, ending, .. } = self;
        let core = Rc::clone(&track.core);
        track.failure(Reason::ClientGone);
        track.close();
        socket.close(ending, &core);
    }
}
