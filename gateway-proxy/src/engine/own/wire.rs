//! Reading and writing a socket. All I/O of the engine's exchanges goes through the few functions here, so that
//! another way to do it (io_uring) has one place to go to.

use std::io;
use std::task::{Context, Poll, ready};

use hotswap_h1::body::Around;

use super::core::Core;
use super::socket::Socket;

/// Pieces of a write up to so many bytes are put together: a copy of this size costs less than the kernel's
/// work on a list of pieces.
const COALESCE: usize = 4_096;

/// Bytes that wait: they came and nobody has used them yet, or a socket has not taken them.
#[derive(Debug, Default)]
pub(super) struct Rest {
    bytes: Vec<u8>,
    at: usize,
}

impl Rest {
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.at..).unwrap_or_default()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Adds bytes at the end.
    pub(super) fn put(&mut self, bytes: &[u8], core: &Core) {
        if bytes.is_empty() {
            return;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = core.take_buffer();
        }
        self.append(bytes);
    }

    fn append(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Where the bytes that were taken are at least as many as those that wait, their room is used before more is asked
    /// for. Without it a peer that never lets the last byte be taken would have memory kept for all that ever passed.
    fn make_room(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more && self.at >= self.len() {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
    }

    /// Adds what the pieces have behind the first `skip` bytes.
    pub(super) fn put_behind(&mut self, pieces: [&[u8]; 3], mut skip: usize, core: &Core) {
        for piece in pieces {
            self.put(piece.get(skip.min(piece.len())..).unwrap_or_default(), core);
            skip = skip.saturating_sub(piece.len());
        }
    }

    /// Takes so many bytes from the front. The memory goes back when none is left.
    pub(super) fn advance(&mut self, n: usize, core: &Core) {
        self.at = (self.at + n).min(self.bytes.len());
        if self.is_empty() && self.bytes.capacity() > 0 {
            self.at = 0;
            core.give_buffer(std::mem::take(&mut self.bytes));
        }
    }

    pub(super) fn clear(&mut self, core: &Core) {
        self.advance(usize::MAX / 2, core);
    }
}

/// Reads what has come; 0: the peer has ended its side.
pub(super) fn poll_fill(
    socket: &mut Socket,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<io::Result<usize>> {
    socket.poll_read(cx, into)
}

/// The pieces of a write: what stands before the data, the data, and what stands behind them. Small ones become
/// one, in `around`.
pub(super) fn pieces<'a>(around: &'a mut Around, data: &'a [u8]) -> [&'a [u8]; 3] {
    let Around { before, behind } = around;
    let bare = before.is_empty() && behind.is_empty();
    if bare || before.len() + data.len() + behind.len() > COALESCE {
        return [before, data, behind];
    }
    before.extend_from_slice(data);
    before.extend_from_slice(behind);
    [before, &[], &[]]
}

/// Writes the pieces, at once as far as the socket takes them; `late` keeps what it does not. On an error it
/// keeps nothing.
pub(super) fn send(
    socket: &mut Socket,
    cx: &mut Context<'_>,
    late: &mut Rest,
    pieces: [&[u8]; 3],
    core: &Core,
) -> io::Result<()> {
    let mut sent = 0;
    if late.is_empty()
        && let Poll::Ready(n) = socket.poll_write(cx, pieces)
    {
        sent = n?;
    }
    late.put_behind(pieces, sent, core);
    Ok(())
}

/// Writes what is left.
pub(super) fn poll_flush(
    socket: &mut Socket,
    cx: &mut Context<'_>,
    late: &mut Rest,
    core: &Core,
) -> Poll<io::Result<()>> {
    while !late.is_empty() {
        let n = ready!(socket.poll_write(cx, [late.as_slice(), &[], &[]]))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        late.advance(n, core);
    }
    socket.poll_flush(cx)
}

/// Whether nothing is left to be written.
pub(super) fn is_out(socket: &Socket, late: &Rest) -> bool {
    late.is_empty() && socket.is_flushed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_what_waits_and_not_what_has_passed() {
        let mut rest = Rest::default();
        let mut next = 0_u8;
        for n in 0..100_000_usize {
            // There is always something left.
            let piece: Vec<u8> = (0..1_000).map(|i| (n + i) as u8).collect();
            rest.append(&piece);
            let left = rest.len() - 1 - n % 900;
            assert_eq!(rest.as_slice().first(), Some(&next), "in order, at {n}");
            rest.at += left;
            next = *rest.as_slice().first().expect("something is left");
        }
        assert!(rest.bytes.capacity() <= 8_000, "{} bytes", rest.bytes.capacity());
    }
}
