//! A socket of the engine: as it is, or with TLS on it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::secure::Secure;

/// A client's socket, or a backend's. What is plain costs a look at which of both it is, and nothing more.
#[derive(Debug)]
pub(crate) enum Socket {
    /// As it is.
    Plain(TcpStream),
    /// With TLS on it.
    Tls(Box<Secure>),
}

impl Socket {
    /// Reads what has come; 0: the peer has ended its side.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => poll_receive(tcp, cx, into),
            Self::Tls(secure) => secure.poll_read(cx, into),
        }
    }

    /// Writes of the pieces what can be written now; how many bytes of them were taken.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, pieces: [&[u8]; 3]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => match pieces {
                [one, [], []] | [[], one, []] => Pin::new(tcp).poll_write(cx, one),
                _ => Pin::new(tcp).poll_write_vectored(cx, &pieces.map(IoSlice::new)),
            },
            Self::Tls(secure) => secure.poll_write(cx, pieces),
        }
    }

    /// Waits until all that was taken is out.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(secure) => secure.poll_flush(cx),
        }
    }

    /// Whether all that was taken is out.
    pub(super) fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(secure) => secure.is_flushed(),
        }
    }

    /// How many bytes have gone out that were taken before; of a plain socket none are.
    pub(super) fn sent(&self) -> u64 {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(secure) => secure.sent(),
        }
    }

    /// Whether nothing is on its way out, nothing has come, and it has not ended: both would show as something to
    /// read; and whether it is to be used again. Mostly this is a look at what the runtime knows, and no call of the
    /// kernel.
    pub(super) fn is_quiet(&self) -> bool {
        let nothing = |tcp: &TcpStream| matches!(tcp.try_read(&mut [0]), Err(e) if is_wait(&e));
        match self {
            Self::Plain(tcp) => nothing(tcp),
            Self::Tls(secure) => {
                secure.is_flushed() && secure.holds_nothing() && !secure.is_retired() && nothing(secure.tcp())
            }
        }
    }

    /// Whether bytes wait in the kernel to be read.
    pub(super) fn has_come(&self) -> bool {
        rustix::io::ioctl_fionread(self.tcp()).is_ok_and(|n| n > 0)
    }

    /// When it is dropped, the peer learns that it was cut.
    pub(super) fn reset_at_end(&self) {
        let _ = socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
    }

    /// Says that nothing follows; the peer may go on.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(secure) => secure.poll_end(cx),
        }
    }

    /// The socket, where nothing is on it.
    pub(super) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Tls(_) => None,
        }
    }

    /// The socket beneath.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(secure) => secure.tcp(),
        }
    }

    /// Says that nothing follows, where TLS can say so, and gives the socket beneath.
    pub(super) fn into_tcp(self) -> TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(secure) => secure.end(),
        }
    }
}

/// As libraries want it that do their own reading and writing.
impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = ready!(Self::poll_read(&mut self, cx, buf.initialize_unfilled()))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(&mut self, cx, [bytes, &[], &[]])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, pieces),
            Self::Tls(secure) => secure.poll_write_all(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(&mut self, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(cx)
    }
}

/// Reads from a socket as it is.
pub(super) fn poll_receive(
    tcp: &mut TcpStream,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut room = ReadBuf::new(into);
    // Not `try_read`: this one clears the readiness after a short read, which saves a call that finds nothing.
    ready!(Pin::new(tcp).poll_read(cx, &mut room))?;
    Poll::Ready(Ok(room.filled().len()))
}

pub(super) fn is_wait(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
