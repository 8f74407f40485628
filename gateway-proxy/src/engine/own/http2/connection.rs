//! A client's connection of HTTP/2.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::{Builder, Connection as Http2, Handshake, SendResponse};
use h2::{Reason as Code, RecvStream};
use http::header::CONTENT_TYPE;
use http::{Method, Request};

use super::frames::RESETS_SAVED;
use super::heads;
use super::question::Question;
use super::stream::{Open, Stream, Streams, Unread};
use super::wire::Shared;
use crate::engine::linger;
use crate::engine::own::client::Client;
use crate::engine::own::core::Core;
use crate::engine::own::inflow::{Inflow, Slack};
use crate::engine::own::socket::Socket;
use crate::engine::own::track::Track;
use crate::engine::shared::Peer;
use crate::grpc;

/// Time without a byte from a client with open streams, in ms, after which it is asked whether it is there; less where
/// connections may wait less for a request.
const KEEP_ALIVE_MS: u64 = 30_000;
/// Time that it has to answer, in ms.
const PING_MS: u64 = 10_000;
/// Time that a connection has to end once that is all it has to do, in ms, counted from the last that came or went.
const CLOSING_MS: u64 = 1_000;
/// The same where the client has not taken all that its streams have left to it, in ms.
const TAKING_MS: u64 = 10_000;
/// How often that time begins anew where the socket has taken all: each of its pings, and the answer, moves some bytes.
const MOST_CLOSING: u8 = 2;
/// Bytes of one response that are kept for the socket, at most.
const SEND_BUFFER: usize = 64 * 1024;
/// What h2 may count as its own expense for data that wait in small pieces, for each byte of the connection's window. By
/// itself it has half a byte: a stream of messages of less than 170 bytes that its backend does not take would end the
/// connection of a client that does nothing wrong. So pieces of 29 bytes may fill the window, those of 8 bytes a quarter
/// of it, which is one stream's; and no connection has more than 33,000 of them in memory.
const SMALL_PIECES: u32 = 8;
/// What RFC 9113 section 6.5.2 counts for a field besides its bytes.
const FIELD: usize = 32;
/// How many times the limit h2 reads of a head: up to there the gateway itself refuses it, with a reason, a line in the
/// log and a count. Beyond it h2 answers by itself, with nothing of these.
const HEADROOM: usize = 4;

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The rest of the preface.
    Preface,
    /// The rest of a head; the number of it.
    Head(u64),
    /// A request; so many have come.
    Request(u64),
    /// What its streams bring.
    Streams,
    /// The answer to a question.
    Pong,
    /// Its end.
    End,
}

enum State {
    Opening(Handshake<Shared, Bytes>),
    Open(Http2<Shared, Bytes>),
}

struct Connection {
    state: State,
    wire: Shared,
    question: Question,
    /// It was asked in this turn.
    has_asked: bool,
    streams: Rc<Streams>,
    track: Track,
    address: Rc<str>,
    peer: Peer,
    /// Streams that have begun.
    begun: u64,
    /// Reads and bytes that had gone out when the deadline was set.
    moved: (u64, u64),
    /// How often the time to end has begun anew with nothing to be taken.
    closing: u8,
    wait: Wait,
    /// No more requests are taken.
    is_going: bool,
    /// It ends, whatever its streams do.
    is_over: bool,
}

/// Serves a connection to its end.
pub(in crate::engine::own) async fn serve(client: Client<Socket>) {
    let Client { socket, track, address, peer, early, .. } = client;
    let core = Rc::clone(&track.core);
    core.metrics.http2_connections.add(1);
    let streams = Rc::<Streams>::default();
    let wire = Shared::new(socket, early, &streams.earned, &core);
    let mut connection = Connection {
        state: State::Opening(builder(&core).handshake(wire.clone())),
        wire: wire.clone(),
        question: Question::new(None),
        has_asked: false,
        streams,
        track,
        address,
        peer,
        begun: 0,
        moved: (0, 0),
        closing: 0,
        wait: Wait::Request(0),
        is_going: false,
        is_over: false,
    };
    let over = std::future::poll_fn(|cx| connection.poll(cx)).await;
    drop(connection);
    // What the client still sends must not reset the connection before it has read why.
    if over && let Some(socket) = wire.into_socket() {
        linger::close(socket.into_tcp(), &core);
    }
}

fn builder(core: &Core) -> Builder {
    let limits = core.limits.http2;
    let most_resets = usize::try_from(limits.resets.saturating_mul(RESETS_SAVED)).unwrap_or(usize::MAX);
    let fits = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let small_pieces = limits.connection_window.saturating_mul(SMALL_PIECES);
    let small_pieces = usize::try_from(small_pieces).unwrap_or(usize::MAX);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .initial_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .data_frame_budget(small_pieces)
        .enable_connect_protocol()
        .max_header_list_size(fits(HEADROOM * (core.head_limits.bytes + FIELD * core.head_limits.headers)))
        // Streams that h2 resets for what the client did are as dear as those that the client resets.
        .max_local_error_reset_streams(Some(most_resets))
        .max_pending_accept_reset_streams(usize::try_from(limits.streams).unwrap_or(usize::MAX))
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

impl Connection {
    /// Whether the client may still be sending when it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.track.known_by(cx);
        self.streams.known_by(cx);
        loop {
            if self.track.expired() && self.on_deadline() {
                return Poll::Ready(false);
            }
            let turned = self.turn(cx);
            let Ok(again) = self.wire.flush(cx) else { return Poll::Ready(false) };
            self.streams.is_behind.set(self.wire.is_behind());
            match turned {
                Poll::Ready(over) => return Poll::Ready(over),
                Poll::Pending if again => {}
                Poll::Pending => break,
            }
        }
        self.arm();
        Poll::Pending
    }

    /// Lets h2 read and write, and begins what is asked.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if let State::Opening(handshake) = &mut self.state {
            match std::pin::Pin::new(handshake).poll(cx) {
                Poll::Ready(Ok(mut http2)) => {
                    self.question = Question::new(http2.ping_pong());
                    self.state = State::Open(http2);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(self.failed(&error)),
                Poll::Pending if self.track.core.is_draining() => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.track.core.is_draining() {
            self.go();
        }
        loop {
            let State::Open(http2) = &mut self.state else { return Poll::Pending };
            match http2.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.failed(&error)),
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Pending if self.wire.is_flooded() && !self.is_over => self.calm(),
                Poll::Pending => break,
            }
        }
        if self.question.is_answered(cx) && self.wait == Wait::Pong {
            self.wait = Wait::Streams;
            self.moved = self.wire.moved();
            self.wait_at_most(KEEP_ALIVE_MS);
        }
        Poll::Pending
    }

    /// Begins a stream.
    fn begin(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let core = &self.track.core;
        let (parts, body) = request.into_parts();
        let mut head = core.take_head();
        let asked = heads::request(&parts, !body.is_end_stream(), core.head_limits, &mut head);
        self.begun += 1;
        core.metrics.http2_streams.add(1);
        let asked = asked.map(|()| head).map_err(|refused| Unread {
            reason: refused.into(),
            to_head: parts.method == Method::HEAD,
            is_call: parts.method != Method::CONNECT
                && parts.headers.get(CONTENT_TYPE).is_some_and(|v| grpc::is_type_of_call(v.as_bytes())),
        });
        let limits = core.limits.http2;
        let slack = Slack::of(limits.stream_window, limits.connection_window, limits.streams);
        let stream = Stream::new(asked, Inflow::new(body, slack), respond, Open::new(&self.streams));
        let (address, peer) = (Rc::clone(&self.address), self.peer.clone());
        let track = Track::of_stream(Rc::clone(core), peer.origin());
        let mut client = Client::new(stream, track, address, peer);
        // Part of its connection: without it h2 ends it.
        core.streams.spawn(async move {
            client.run().await;
            client.end();
        });
    }

    /// Takes no more requests, and ends when those under way have.
    fn go(&mut self) {
        if let State::Open(http2) = &mut self.state
            && !self.is_going
        {
            self.is_going = true;
            http2.graceful_shutdown();
        }
    }

    /// Ends the connection of a client that does too much of what brings nothing.
    fn calm(&mut self) {
        self.wait = Wait::End;
        self.track.wait(CLOSING_MS);
        (self.is_going, self.is_over) = (true, true);
        self.track.core.metrics.http2_calmed.add(1);
        if let State::Open(http2) = &mut self.state {
            http2.abrupt_shutdown(Code::ENHANCE_YOUR_CALM);
        }
    }

    /// h2 has ended the connection. Whether the client may still be sending.
    fn failed(&self, error: &h2::Error) -> bool {
        if error.is_io() {
            return false;
        }
        let metrics = &self.track.core.metrics;
        match error.reason() {
            Some(Code::ENHANCE_YOUR_CALM) if !error.is_remote() => metrics.http2_calmed.add(1),
            Some(_) if !error.is_remote() => metrics.http2_refused.add(1),
            _ => {}
        }
        true
    }

    /// How long the client may do nothing, in ms, when the connection has nothing to do but to end.
    fn closing_ms(&self) -> u64 {
        let has_all = self.wire.is_out() && !self.streams.leaves.get();
        if has_all { CLOSING_MS } else { TAKING_MS.min(self.track.core.limits.client_idle_ms) }
    }

    fn wait_at_most(&mut self, ms: u64) {
        self.track.wait(ms.min(self.track.core.limits.client_idle_ms));
    }

    /// Sets the deadline, where the connection waits for something else than before.
    fn arm(&mut self) {
        if std::mem::take(&mut self.has_asked) {
            // The question itself is nothing that moved.
            self.moved = self.wire.moved();
        }
        let wait = if self.is_over {
            return;
        } else if matches!(self.state, State::Opening(_)) {
            Wait::Preface
        } else if let Some(head) = self.wire.in_block() {
            Wait::Head(head)
        } else if self.streams.open() > 0 {
            if self.wait == Wait::Pong { Wait::Pong } else { Wait::Streams }
        } else if self.is_going {
            Wait::End
        } else {
            Wait::Request(self.begun)
        };
        if self.wait == wait {
            return;
        }
        self.wait = wait;
        self.moved = self.wire.moved();
        let limits = self.track.core.limits;
        self.track.wait(match wait {
            Wait::Preface | Wait::Head(_) => limits.client_head_ms,
            Wait::Request(_) => limits.client_idle_ms,
            Wait::Streams => KEEP_ALIVE_MS.min(limits.client_idle_ms),
            Wait::Pong => PING_MS.min(limits.client_idle_ms),
            Wait::End => self.closing_ms(),
        });
    }

    /// The time is up. Whether it is over at once.
    fn on_deadline(&mut self) -> bool {
        match self.wait {
            Wait::Head(_) => self.calm(),
            Wait::Request(_) => self.go(),
            Wait::Streams | Wait::Pong if self.moved.0 != self.wire.moved().0 => {
                self.wait = Wait::Streams;
                self.moved = self.wire.moved();
                self.wait_at_most(KEEP_ALIVE_MS);
            }
            Wait::Streams => {
                self.has_asked = self.question.ask();
                self.wait = if self.has_asked { Wait::Pong } else { Wait::Streams };
                self.wait_at_most(PING_MS);
            }
            // The question stands behind all that the socket holds, and a client may take its time with that.
            Wait::Pong if self.moved != self.wire.moved() => {
                self.moved = self.wire.moved();
                self.wait_at_most(PING_MS);
            }
            // The client still takes what its streams have left to it, or has not said that it knows of the end.
            Wait::End if !self.is_over && self.moved != self.wire.moved() && self.closing < MOST_CLOSING => {
                self.closing = if self.wire.is_out() { self.closing + 1 } else { 0 };
                self.moved = self.wire.moved();
                self.track.wait(self.closing_ms());
            }
            Wait::Preface | Wait::Pong | Wait::End => return true,
        }
        false
    }
}
