//! Bytes into a stream of HTTP/2, as far as its window has room: alike towards clients and towards backends.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason as Code, SendStream};
use http::HeaderMap;

/// How much room beyond a small piece h2 is asked about, in bytes: what follows goes into it unasked, for a question costs
/// what a small message costs. It is of the stream's own window, which no other fills. What the connection has for all its
/// streams may be gone by then, or the other side may have made all windows smaller: so much of each then waits in h2.
const AHEAD: usize = 4 * 1024;
/// Pieces that go unasked, at most: each may keep a buffer of the connection that it came on.
const UNASKED: u8 = 16;
/// A piece of more bytes is no small one.
const SMALL: usize = 512;

/// What follows a piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// More of it, as far as is known.
    More,
    /// Fields.
    Trailers,
    Nothing,
}

/// The way out.
pub(super) struct Outflow {
    stream: SendStream<Bytes>,
    /// Bytes that there was room for when h2 was asked, beyond those that went.
    ahead: usize,
    /// Pieces that have gone since.
    unasked: u8,
}

impl Outflow {
    pub(super) fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream, ahead: 0, unasked: 0 }
    }

    /// Whether what went may wait in h2 because other streams have filled the connection's window. That there is room for
    /// one byte more says that it does not.
    pub(super) fn may_wait(&mut self) -> bool {
        self.unasked > 0 && !self.has_room(1)
    }

    /// Hands a piece to h2 as it is, where there is room for all of it; else gives it back.
    ///
    /// # Errors
    /// The other side takes no more.
    pub(super) fn hand(&mut self, piece: Bytes, after: After) -> io::Result<Option<Bytes>> {
        let len = piece.len();
        if after == After::More && len <= self.ahead && self.unasked < UNASKED {
            self.ahead -= len;
            self.unasked += 1;
        } else if !self.has_room(len) {
            return Ok(Some(piece));
        }
        self.stream.send_data(piece, after == After::Nothing).map_err(io::Error::other)?;
        Ok(None)
    }

    /// Asks h2 for so many bytes, and whether what follows a small piece has room, too.
    fn has_room(&mut self, len: usize) -> bool {
        let ahead = if len <= SMALL { AHEAD } else { 0 };
        self.stream.reserve_capacity(len + ahead);
        let room = self.stream.capacity();
        if ahead > 0 {
            // Nobody else could use it while it is reserved.
            self.stream.reserve_capacity(len);
        }
        (self.ahead, self.unasked) = (if room >= len + ahead { ahead } else { 0 }, 0);
        room >= len
    }

    /// Hands so much of `data` to h2 as the other side has room for; `is_last`: with its last byte the stream is over.
    /// Gives how many bytes went. Where some are left, the task is woken as soon as there is room again.
    ///
    /// Each word with h2 takes a lock and looks the stream up: there are three for a piece that the window has room for.
    ///
    /// # Errors
    /// The other side takes no more.
    pub(super) fn push(&mut self, cx: &mut Context<'_>, data: &[u8], is_last: bool) -> io::Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        (self.ahead, self.unasked) = (0, 0);
        let stream = &mut self.stream;
        let mut sent = 0;
        while let Some(left) = data.get(sent..).filter(|left| !left.is_empty()) {
            stream.reserve_capacity(left.len());
            let n = stream.capacity().min(left.len());
            if n == 0 {
                match stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                    Poll::Pending => break,
                }
            }
            let piece = Bytes::copy_from_slice(left.get(..n).unwrap_or_default());
            sent += n;
            stream.send_data(piece, is_last && sent == data.len()).map_err(io::Error::other)?;
        }
        Ok(sent)
    }

    /// Tells that it is over, and which fields follow, if any do.
    ///
    /// # Errors
    /// The stream has ended.
    pub(super) fn end(&mut self, trailers: Option<HeaderMap>) -> io::Result<()> {
        let told = match trailers {
            Some(fields) => self.stream.send_trailers(fields),
            None => self.stream.send_data(Bytes::new(), true),
        };
        told.map_err(io::Error::other)
    }

    /// Waits until the other side has no use for it any more.
    ///
    /// # Errors
    /// The connection has ended.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Code, h2::Error>> {
        self.stream.poll_reset(cx)
    }
}
