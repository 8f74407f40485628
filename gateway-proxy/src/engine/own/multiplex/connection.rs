//! A connection to a backend: it moves what its streams bring, asks a backend whether it is there, and ends when
//! nobody has used it for long.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{Builder, Connection as Http2, SendRequest};

use super::lines::{STREAMS, State};
use crate::engine::own::core::Core;
use crate::engine::own::download::LIMITS;
use crate::engine::own::http2::question::Question;
use crate::engine::own::http2::wire::Shared;
use crate::engine::own::inflow::Slack;
use crate::engine::own::socket::Socket;
use crate::engine::shared::UPSTREAM_IDLE_MS;
use crate::reason::Reason;
use crate::tls;

/// Time without a byte from a backend with open streams, in ms, after which it is asked whether it is there. Servers of
/// gRPC end a connection that asks more often than every 5 minutes while nothing moves.
const KEEP_ALIVE_MS: u64 = 310_000;
/// Times that a backend is asked by who doubts it while it answers no request. Servers of gRPC bear two more than they
/// want, and then end the connection with all its streams.
const MOST_QUESTIONS: u8 = 2;
/// Time that it has to answer, in ms.
const PING_MS: u64 = 5_000;
/// Bytes of one response that a backend may send ahead of a client that does not read.
const STREAM_WINDOW: u32 = 128 * 1024;
/// What h2 may count as its own expense for data that wait in small pieces, in bytes. The windows bound how many those
/// are; who sends them is the backend, and one slow client must not cost all others their connection.
const SMALL_PIECES: usize = 256 * 1024 * 1024;
/// Streams that were given up and are remembered for a while, so that what is still on its way for them is known.
const GIVEN_UP: usize = 10 * STREAMS;
/// Bytes of one request that are kept for the socket, at most.
const SEND_BUFFER: usize = 64 * 1024;
/// What RFC 9113 section 6.5.2 counts for a field besides its bytes.
const FIELD: usize = 32;

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// A stream.
    Use,
    /// What its streams bring.
    Streams,
    /// The answer to a question.
    Pong,
    /// Its end.
    End,
}

/// A connection to a backend.
pub(super) struct Connection {
    http2: Http2<Shared, Bytes>,
    wire: Shared,
    question: Question,
    state: Rc<State>,
    core: Rc<Core>,
    /// In the core's timers.
    slot: usize,
    is_known: bool,
    /// Reads and bytes that had gone out when the deadline was set.
    moved: (u64, u64),
    /// It was asked in this turn.
    has_asked: bool,
    wait: Wait,
    /// Reads that had brought something in the turn before.
    heard: u64,
}

fn fits(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn window() -> u32 {
    STREAM_WINDOW.saturating_mul(fits(STREAMS))
}

/// How much of a response is read before its backend may send as much again.
pub(super) fn slack() -> Slack {
    Slack::of(STREAM_WINDOW, window(), fits(STREAMS))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window())
        .max_header_list_size(fits(LIMITS.bytes + FIELD * LIMITS.headers))
        .data_frame_budget(SMALL_PIECES)
        // What a backend still sends on streams that clients have given up is nothing that it did wrong.
        .max_local_error_reset_streams(None)
        .max_concurrent_reset_streams(GIVEN_UP)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Begins a connection on a socket. What it sends of itself goes out with the first stream.
pub(super) async fn begin(
    socket: Socket,
    core: &Rc<Core>,
    state: &Rc<State>,
) -> Result<(SendRequest<Bytes>, Connection), Reason> {
    let wire = Shared::of_backend(socket, core);
    let begun = builder().handshake(wire.clone()).await;
    let (send, mut http2) = begun.map_err(|_| Reason::ConnectFailed)?;
    let connection = Connection {
        question: Question::new(http2.ping_pong()),
        http2,
        wire,
        state: Rc::clone(state),
        core: Rc::clone(core),
        slot: core.timers.take_slot(),
        is_known: false,
        moved: (0, 0),
        has_asked: false,
        wait: Wait::Use,
        heard: 0,
    };
    core.timers.arm(connection.slot, core.timers.after(UPSTREAM_IDLE_MS));
    Ok((send, connection))
}

impl Connection {
    /// Serves it to its end.
    pub(super) async fn serve(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_known {
            self.is_known = true;
            self.core.timers.set_waker(self.slot, cx.waker());
            *self.state.task.borrow_mut() = Some(cx.waker().clone());
        }
        loop {
            if self.core.timers.expired(self.slot) && self.on_deadline() {
                return Poll::Ready(());
            }
            let turned = Pin::new(&mut self.http2).poll(cx);
            let flushed = self.wire.flush(cx);
            self.state.is_behind.set(self.wire.is_behind());
            match (turned, flushed) {
                (Poll::Ready(ended), _) => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection to a backend ended");
                        self.look_for_refusal();
                    }
                    return Poll::Ready(());
                }
                // Why may still stand in the socket: a refusal of the gateway's certificate comes before the reset.
                (Poll::Pending, Err(_)) if self.heard == 0 => {
                    self.give_up_soon();
                    break;
                }
                (Poll::Pending, Err(_)) => return Poll::Ready(()),
                (Poll::Pending, Ok(true)) => {}
                (Poll::Pending, Ok(false)) => break,
            }
        }
        let reads = self.wire.moved().0;
        if reads != self.heard {
            self.heard = reads;
            self.state.heard(self.http2.max_concurrent_send_streams(), self.core.timers.now());
        }
        self.look_for_pong(cx);
        self.arm(cx);
        Poll::Pending
    }

    /// Nothing goes out any more, and what has come is to be read.
    fn give_up_soon(&mut self) {
        if self.wait != Wait::End {
            self.state.retire();
            self.wait_for(Wait::End);
        }
    }

    /// Whether the backend turned the gateway's certificate down: it may say so only after the handshake.
    fn look_for_refusal(&self) {
        let Some((error, backend)) = self.wire.take_refusal().zip(self.state.backend()) else { return };
        let address = backend.address();
        self.core.metrics.backend_tls_failed.add(1);
        self.core.backend_tls.tell(address, Some(&tls::why(&error, address.as_str())));
        self.state.is_refused.set(true);
    }

    fn look_for_pong(&mut self, cx: &mut Context<'_>) {
        let is_answered = self.question.is_answered(cx);
        if is_answered || (self.wait == Wait::Pong && self.wire.moved().0 != self.moved.0) {
            self.state.is_doubted.set(false);
        }
        if is_answered && self.wait == Wait::Pong {
            self.wait_for(Wait::Streams);
        }
    }

    /// Sets the deadline, where the connection waits for something else than before.
    fn arm(&mut self, cx: &Context<'_>) {
        if std::mem::take(&mut self.has_asked) {
            // The question itself is nothing that moved.
            self.moved.1 = self.wire.moved().1;
        }
        if matches!(self.wait, Wait::Pong | Wait::End) {
            return;
        }
        if self.state.is_doubted.get() {
            return self.ask_for(cx);
        }
        let wait = if self.state.taken.get() > 0 { Wait::Streams } else { Wait::Use };
        if self.wait != wait {
            self.wait_for(wait);
        }
    }

    /// Somebody doubts that the backend is there.
    fn ask_for(&mut self, cx: &Context<'_>) {
        let questions = self.state.questions.get();
        if questions < MOST_QUESTIONS {
            self.state.questions.set(questions + 1);
            self.ask();
        } else {
            // Its streams may end in peace; the next ones get another connection.
            self.state.is_doubted.set(false);
            self.state.retire();
        }
        // The question goes out in a turn of its own.
        cx.waker().wake_by_ref();
    }

    fn wait_for(&mut self, wait: Wait) {
        self.wait = wait;
        self.moved = self.wire.moved();
        let ms = match wait {
            Wait::Use => UPSTREAM_IDLE_MS,
            Wait::Streams => KEEP_ALIVE_MS,
            Wait::Pong | Wait::End => PING_MS,
        };
        self.core.timers.arm(self.slot, self.core.timers.after(ms));
    }

    /// Asks the backend whether it is there, or goes on waiting for its answer.
    fn ask(&mut self) {
        self.has_asked = self.question.ask();
        if !self.has_asked {
            // It can't be asked: its connection is about to end.
            self.state.is_doubted.set(false);
        }
        self.wait_for(Wait::Pong);
    }

    /// The time is up. Whether it is over at once.
    fn on_deadline(&mut self) -> bool {
        match self.wait {
            // Without a handle for new streams, h2 says goodbye and ends.
            Wait::Use if self.state.taken.get() == 0 => {
                self.state.retire();
                self.wait_for(Wait::End);
                false
            }
            Wait::Use | Wait::Streams | Wait::Pong if self.moved.0 != self.wire.moved().0 => {
                self.wait_for(Wait::Streams);
                false
            }
            // The question stands behind all that the socket holds, and a backend may take its time with that.
            Wait::Pong if self.moved != self.wire.moved() => {
                self.wait_for(Wait::Pong);
                false
            }
            Wait::Use | Wait::Streams => {
                self.ask();
                false
            }
            Wait::Pong | Wait::End => true,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.retire();
        self.core.timers.free_slot(self.slot);
    }
}
