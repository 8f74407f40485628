//! The socket of a connection. What h2 writes is put together and goes out once a turn: the responses of many streams
//! in one call. What comes is counted by kind of frame before h2 sees it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Earned, Frames};
use crate::engine::own::core::Core;
use crate::engine::own::socket::Socket;
use crate::engine::own::wire::{Rest, is_out, poll_fill, poll_flush};
use crate::tls;

/// With so much unsent, in bytes, it is written within the turn, and h2 waits where it can't be.
const FULL: usize = 64 * 1024;

/// Where h2 has room for no more than so many bytes, a socket without TLS is read through the core's buffer: h2 fills 8 KB at a
/// time to the last byte before it takes others, and small messages of many streams would come in two or three calls, not
/// in one.
const NARROW: usize = 8 * 1024;
/// So much is read at once then. All of it is copied, and what h2 has no room for yet twice, so it is not done while every read
/// is filled: the most of a large body goes straight to h2.
const AT_ONCE: usize = 16 * 1024;

/// The socket with what waits on both sides of it.
pub(in crate::engine::own) struct Wire {
    socket: Socket,
    /// What had come before, or with what h2 had room for.
    early: Rest,
    /// The last read of the socket has brought all that there was room for.
    was_filled: bool,
    /// What is to be written.
    late: Rest,
    /// Of a client; a backend is not counted.
    frames: Option<Frames>,
    earned: Rc<Earned>,
    /// h2 waits for room.
    is_held: bool,
    /// How often h2 was given something, and bytes that went out.
    moved: (u64, u64),
    /// Why the other side turned the gateway down before it sent anything: h2 would keep the words of it alone.
    refusal: Option<io::Error>,
    core: Rc<Core>,
}

/// The same, for the connection and h2.
#[derive(Clone)]
pub(in crate::engine::own) struct Shared(Rc<RefCell<Wire>>);

impl Shared {
    pub(super) fn new(socket: Socket, early: Rest, earned: &Rc<Earned>, core: &Rc<Core>) -> Self {
        let frames = Frames::new(core.limits.http2.resets, core.timers.now());
        Self::with(socket, early, Some(frames), Rc::clone(earned), core)
    }

    /// Of a connection to a backend.
    pub(in crate::engine::own) fn of_backend(socket: Socket, core: &Rc<Core>) -> Self {
        Self::with(socket, Rest::default(), None, Rc::default(), core)
    }

    fn with(
        socket: Socket,
        early: Rest,
        frames: Option<Frames>,
        earned: Rc<Earned>,
        core: &Rc<Core>,
    ) -> Self {
        let (late, core) = (Rest::default(), Rc::clone(core));
        let wire = Wire {
            socket,
            early,
            was_filled: false,
            late,
            frames,
            earned,
            is_held: false,
            moved: (0, 0),
            refusal: None,
            core,
        };
        Self(Rc::new(RefCell::new(wire)))
    }

    /// Whether the client has sent more frames than it may.
    pub(super) fn is_flooded(&self) -> bool {
        self.0.borrow().is_flooded()
    }

    /// The number of a head that has come in part.
    pub(super) fn in_block(&self) -> Option<u64> {
        self.0.borrow().frames.as_ref().and_then(Frames::in_block)
    }

    /// How often something came, and how many bytes went out.
    pub(in crate::engine::own) fn moved(&self) -> (u64, u64) {
        let wire = self.0.borrow();
        (wire.moved.0, wire.moved.1 + wire.socket.sent())
    }

    /// Whether the socket has taken all.
    pub(super) fn is_out(&self) -> bool {
        let wire = self.0.borrow();
        is_out(&wire.socket, &wire.late)
    }

    /// Writes what the turn has brought. Whether h2 waited for the room that there is now.
    pub(in crate::engine::own) fn flush(&self, cx: &mut Context<'_>) -> io::Result<bool> {
        let wire = &mut *self.0.borrow_mut();
        if let Poll::Ready(done) = wire.poll_out(cx) {
            done?;
        }
        Ok(wire.late.len() < FULL && std::mem::take(&mut wire.is_held))
    }

    /// Whether what is sent waits in h2, since the other side does not take it.
    pub(in crate::engine::own) fn is_behind(&self) -> bool {
        self.0.borrow().is_held
    }

    /// Why the other side turned the gateway down, where it did so before it sent anything.
    pub(in crate::engine::own) fn take_refusal(&self) -> Option<io::Error> {
        self.0.borrow_mut().refusal.take()
    }

    /// The socket, where nobody else has it.
    pub(super) fn into_socket(self) -> Option<Socket> {
        Rc::into_inner(self.0).map(|wire| {
            let mut wire = wire.into_inner();
            wire.early.clear(&wire.core);
            wire.late.clear(&wire.core);
            wire.socket
        })
    }
}

impl Wire {
    fn is_flooded(&self) -> bool {
        self.frames.as_ref().is_some_and(Frames::is_over)
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let had = self.late.len();
        let flushed = poll_flush(&mut self.socket, cx, &mut self.late, &self.core);
        self.moved.1 += (had - self.late.len()) as u64;
        flushed
    }

    fn failed(&mut self, error: io::Error) -> io::Error {
        if self.moved.0 > 0 || !tls::is_refusal(&error) {
            return error;
        }
        let kind = error.kind();
        self.refusal = Some(error);
        kind.into()
    }

    fn poll_in(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let early = self.early.as_slice();
            let n = early.len().min(buf.remaining());
            buf.put_slice(early.get(..n).unwrap_or_default());
            self.early.advance(n, &self.core);
            return Poll::Ready(Ok(()));
        }
        match &mut self.socket {
            Socket::Plain(_) if buf.remaining() <= NARROW && !self.was_filled => self.poll_wide(cx, buf),
            Socket::Plain(tcp) => {
                ready!(Pin::new(tcp).poll_read(cx, buf))?;
                self.was_filled = buf.remaining() == 0;
                Poll::Ready(Ok(()))
            }
            socket @ Socket::Tls(_) => AsyncRead::poll_read(Pin::new(socket), cx, buf),
        }
    }

    /// Reads more than there is room for, and keeps the rest.
    fn poll_wide(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut input = self.core.input.borrow_mut();
        let n = ready!(poll_fill(&mut self.socket, cx, input.get_mut(..AT_ONCE).unwrap_or_default()))?;
        self.was_filled = n == AT_ONCE;
        let came = input.get(..n).unwrap_or_default();
        let (now, later) = came.split_at(n.min(buf.remaining()));
        buf.put_slice(now);
        self.early.put(later, &self.core);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        if wire.is_flooded() {
            // The connection is ended by its task; nobody looks at what else comes.
            return Poll::Pending;
        }
        let had = buf.filled().len();
        if let Err(error) = ready!(wire.poll_in(cx, buf)) {
            return Poll::Ready(Err(wire.failed(error)));
        }
        let came = buf.filled().get(had..).unwrap_or_default();
        wire.moved.0 += u64::from(!came.is_empty());
        if let Some(frames) = &mut wire.frames {
            frames.saw(came, &wire.earned, wire.core.timers.now());
        }
        if wire.is_flooded() {
            buf.set_filled(had);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.borrow_mut();
        if wire.late.len() >= FULL {
            if let Poll::Ready(done) = wire.poll_out(cx) {
                done?;
            }
            if wire.late.len() >= FULL {
                wire.is_held = true;
                return Poll::Pending;
            }
        }
        wire.late.put(bytes, &wire.core);
        Poll::Ready(Ok(bytes.len()))
    }

    /// The connection's task does, when its turn is over.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        ready!(wire.poll_out(cx))?;
        wire.socket.poll_end(cx)
    }
}
