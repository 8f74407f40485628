//! TLS on a socket, for the client's side and the backend's alike: the session belongs to rustls, and what goes in and
//! out of it goes through here, with one read of the socket for as much as a turn can use.
//!
//! ```text
//!   socket ──► scratch of the core ──► session ──► the turn's buffer
//!                                        │  what the turn has no room for waits: `unread`, then `backlog`
//!   socket ◄──────────────────────── session ◄── the turn's pieces
//!                                        │  what the socket does not take waits in it: `is_flushed`
//! ```

use std::cell::RefCell;
use std::io::{self, IoSlice, Read as _, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rustls::Connection;
use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;

use super::socket::{is_wait, poll_receive};

/// What is read at once at most, in bytes: with the rest of a record that had come in part, it fits into what a turn
/// reads.
const MOST: usize = 44 * 1024;
/// What is read at least, in bytes.
const LEAST: usize = 4 * 1024;
/// The largest record, in bytes.
const RECORD: usize = 18 * 1024;

thread_local! {
    /// What a read brings, before it is decrypted: one for all connections of a core.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A socket with a session of TLS on it.
#[derive(Debug)]
pub(crate) struct Secure {
    tcp: TcpStream,
    session: Connection,
    /// Bytes that the session has decrypted, and nobody has read.
    unread: usize,
    /// What came and the session has not got.
    backlog: Vec<u8>,
    /// The peer has said that nothing follows.
    ended: bool,
    /// Bytes that the socket has taken.
    sent: u64,
    /// Once it is true, other files are in force than those that the session was agreed on with.
    retired: Option<Arc<AtomicBool>>,
}

impl Secure {
    /// A session that begins.
    pub(in crate::engine) fn new(tcp: TcpStream, mut session: Connection) -> Self {
        // A turn writes into a session that has nothing to send, so what a turn has is the limit.
        session.set_buffer_limit(None);
        Self { tcp, session, unread: 0, backlog: Vec::new(), ended: false, sent: 0, retired: None }
    }

    /// It is not used again once this is true.
    pub(in crate::engine) fn retire_with(&mut self, retired: Arc<AtomicBool>) {
        self.retired = Some(retired);
    }

    /// Becomes true when it is not to be used again.
    pub(super) fn retired(&self) -> Option<&Arc<AtomicBool>> {
        self.retired.as_ref()
    }

    /// Whether it is not to be used again.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.as_ref().is_some_and(|retired| retired.load(Ordering::Relaxed))
    }

    /// The session, for what the handshake agreed on.
    pub(in crate::engine) fn session(&self) -> &Connection {
        &self.session
    }

    /// The socket beneath.
    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Waits until both sides agree.
    pub(in crate::engine) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_more(cx, &mut []))?;
            if self.ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Reads what has come; 0: the peer has said that nothing follows. A connection that ends without that is an error:
    /// somebody else may have cut it.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if self.unread > 0 {
                return Poll::Ready(self.take(into));
            }
            if !self.backlog.is_empty() {
                let backlog = std::mem::take(&mut self.backlog);
                let n = self.feed(&backlog, into)?;
                if n > 0 {
                    return Poll::Ready(Ok(n));
                }
                continue;
            }
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            let n = ready!(self.poll_more(cx, into))?;
            if n > 0 {
                return Poll::Ready(Ok(n));
            }
        }
    }

    /// Reads from the socket once; how many bytes for `into` came of it, which may be none.
    fn poll_more(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let most = into.len().saturating_sub(RECORD).clamp(LEAST, MOST);
            if scratch.len() < most {
                scratch.resize(MOST, 0);
            }
            let room = scratch.get_mut(..most).unwrap_or_default();
            let n = ready!(poll_receive(&mut self.tcp, cx, room))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            Poll::Ready(self.feed(room.get(..n).unwrap_or_default(), into))
        })
    }

    /// Gives the session what came, and reads what it makes of it.
    fn feed(&mut self, mut bytes: &[u8], into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while !bytes.is_empty() && !self.ended {
            self.session.read_tls(&mut bytes)?;
            let state = self.session.process_new_packets().map_err(|error| {
                // The alert that tells the peer why. It may not go out: the connection ends anyway.
                let _ = self.try_flush();
                io::Error::new(io::ErrorKind::InvalidData, error)
            })?;
            self.unread = state.plaintext_bytes_to_read();
            self.ended = state.peer_has_closed();
            filled += self.take(into.get_mut(filled..).unwrap_or_default())?;
            if self.unread > 0 && !self.ended {
                self.backlog.extend_from_slice(bytes);
                break;
            }
        }
        Ok(filled)
    }

    fn take(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.unread == 0 || into.is_empty() {
            return Ok(0);
        }
        let n = self.session.reader().read(into)?;
        self.unread = self.unread.saturating_sub(n);
        Ok(n)
    }

    /// Whether nothing that came waits to be read.
    pub(super) fn holds_nothing(&self) -> bool {
        self.unread == 0 && self.backlog.is_empty() && !self.ended
    }

    /// Takes all of the pieces, once what was taken before is out.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, pieces: [&[u8]; 3]) -> Poll<io::Result<usize>> {
        self.poll_write_all(cx, &pieces.map(IoSlice::new))
    }

    /// The same, of any number.
    pub(super) fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let n = self.session.writer().write_vectored(pieces)?;
        match self.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // What is left waits in the session.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(n)),
        }
    }

    /// Waits until all that was taken is out.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut out = Out { tcp: &mut self.tcp, cx };
            match self.session.write_tls(&mut out) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => self.sent += n as u64,
                Err(error) if is_wait(&error) => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether all that was taken is out.
    pub(super) fn is_flushed(&self) -> bool {
        !self.session.wants_write()
    }

    /// Writes what can be written now, and waits for nothing.
    fn try_flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut Now(&self.tcp))?;
        }
        Ok(())
    }

    /// How many bytes the socket has taken.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Says that nothing follows, and closes this side of the socket.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Said twice it goes out once.
        self.session.send_close_notify();
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    /// Says that nothing follows, as far as the socket takes it, and gives the socket.
    pub(super) fn end(mut self) -> TcpStream {
        self.session.send_close_notify();
        let _ = self.try_flush();
        self.tcp
    }
}

/// The socket, as the session writes to it; it is woken when there is room again.
struct Out<'a, 'b> {
    tcp: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

impl Write for Out<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_wait(Pin::new(&mut *self.tcp).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        or_wait(Pin::new(&mut *self.tcp).poll_write_vectored(self.cx, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The socket, as it is written to at the end.
struct Now<'a>(&'a TcpStream);

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn or_wait(written: Poll<io::Result<usize>>) -> io::Result<usize> {
    match written {
        Poll::Ready(written) => written,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

#[cfg(test)]
#[path = "secure_tests.rs"]
mod tests;
