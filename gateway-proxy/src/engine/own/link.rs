//! The backend's side of an exchange: a connection of HTTP/1.1, which is read and written as one row of bytes, or a
//! stream of HTTP/2. Which it is, is a look at a tag; no more is between an exchange and the socket of HTTP/1.1.

use std::io;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::core::Core;
use super::multiplex::{Lines, Stream};
use super::socket::Socket;
use super::upload::Upload;
use super::wire;
use crate::upstream::Reusable;

/// What leads to a backend.
#[derive(Debug)]
pub(in crate::engine) enum Link {
    /// A connection, for this exchange alone.
    Line(Socket),
    /// A stream of a connection that others use, too.
    Stream(Box<Stream>),
}

impl Reusable for Link {
    type Many = Lines;

    fn is_ready(&self) -> bool {
        match self {
            Self::Line(socket) => socket.is_quiet(),
            Self::Stream(_) => false,
        }
    }
}

impl Link {
    /// Whether all that is known of the request is out.
    pub(super) fn is_out(&self, upload: &Upload) -> bool {
        match self {
            Self::Line(socket) => wire::is_out(socket, &upload.late),
            Self::Stream(stream) => stream.is_out(upload),
        }
    }

    /// Sends pieces of a request; what can't go out yet is kept.
    ///
    /// # Errors
    /// The backend takes no more.
    pub(super) fn send(
        &mut self,
        cx: &mut Context<'_>,
        upload: &mut Upload,
        pieces: [&[u8]; 3],
        core: &Core,
    ) -> io::Result<()> {
        match self {
            Self::Line(socket) => wire::send(socket, cx, &mut upload.late, pieces, core),
            Self::Stream(stream) => stream.send(cx, upload, pieces, core),
        }
    }

    /// Waits until more of a body may go out than what is kept of it.
    pub(super) fn poll_allowed(&self, cx: &Context<'_>) -> Poll<()> {
        match self {
            Self::Line(_) => Poll::Ready(()),
            Self::Stream(stream) => stream.poll_allowed(cx),
        }
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// The backend takes no more.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        upload: &mut Upload,
        core: &Core,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Line(socket) => wire::poll_flush(socket, cx, &mut upload.late, core),
            Self::Stream(stream) => stream.poll_flush(cx, upload, core),
        }
    }

    /// How many bytes have gone out of those that it keeps itself.
    pub(super) fn sent(&self) -> u64 {
        match self {
            Self::Line(socket) => socket.sent(),
            Self::Stream(_) => 0,
        }
    }

    /// The socket, where its bytes are those of the response.
    pub(super) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Line(socket) => socket.plain(),
            Self::Stream(_) => None,
        }
    }

    /// Nothing came back in time. A connection that others share is looked at, where nothing came on it for so many ms.
    pub(super) fn doubt(&self, now: u64, least_ms: u64) {
        if let Self::Stream(stream) = self {
            stream.doubt(now, least_ms);
        }
    }
}
