//! The bytes of heads, as they came. hyper reads a head with both Content-Length and Transfer-Encoding as RFC
//! 9112 section 6.1 allows: by the latter, dropping the former in silence. A gateway should refuse it, since
//! another party may have read it by the former; so what a client sends outside of bodies is read through one
//! buffer of the core, and looked at again where a head says "Transfer-Encoding".
//!
//! A head that was pipelined behind a body is not seen here. hyper's way is safe for it too: one framing
//! reaches the backend, and the connection closes after the answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

const SIZE: usize = 16 * 1024;
const NOBODY: usize = usize::MAX;

/// The buffer, with what was read last and for whom.
#[derive(Debug)]
pub(super) struct Heads {
    buffer: Box<[u8]>,
    len: usize,
    slot: usize,
}

impl Default for Heads {
    fn default() -> Self {
        Self { buffer: vec![0; SIZE].into(), len: 0, slot: NOBODY }
    }
}

impl Heads {
    /// Reads for the connection in `slot`.
    pub(super) fn read(
        &mut self,
        stream: Pin<&mut TcpStream>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
        slot: usize,
    ) -> Poll<io::Result<()>> {
        let most = into.remaining().min(SIZE);
        let mut read = ReadBuf::new(self.buffer.get_mut(..most).unwrap_or_default());
        ready!(stream.poll_read(cx, &mut read))?;
        let filled = read.filled();
        into.put_slice(filled);
        self.len = filled.len();
        self.slot = slot;
        Poll::Ready(Ok(()))
    }

    /// What was read last, if it was for `slot`; else nothing.
    pub(super) fn last<T>(&self, slot: usize, look: impl FnOnce(&[u8]) -> T) -> T {
        let mine = if self.slot == slot { self.buffer.get(..self.len) } else { None };
        look(mine.unwrap_or_default())
    }

    /// Moves what was read last for `slot` to the end of `early`.
    pub(super) fn take_last(&mut self, slot: usize, early: &mut Vec<u8>) {
        self.last(slot, |last| early.extend_from_slice(last));
        if self.slot == slot {
            self.slot = NOBODY;
        }
    }
}

/// Whether the head that begins in `early` and ends in `late` has both framings. `method` is the request's:
/// bytes that begin otherwise are not its head.
pub(super) fn has_two_framings(early: &[u8], late: &[u8], method: &http::Method) -> bool {
    let joined;
    let bytes = if early.is_empty() {
        late
    } else {
        joined = [early, late].concat();
        &joined
    };
    let bytes = bytes.trim_ascii_start();
    if bytes.strip_prefix(method.as_str().as_bytes()).is_none_or(|rest| rest.first() != Some(&b' ')) {
        return false;
    }
    let (mut length, mut coding) = (false, false);
    for line in bytes.split(|b| *b == b'\n').skip(1) {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            break;
        }
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        length |= name.eq_ignore_ascii_case(b"content-length");
        coding |= name.eq_ignore_ascii_case(b"transfer-encoding");
    }
    length && coding
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn two(early: &str, late: &str) -> bool {
        has_two_framings(early.as_bytes(), late.as_bytes(), &Method::POST)
    }

    #[test]
    fn both_framings_are_seen_in_either_order_and_across_reads() {
        let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-LENGTH: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(two("", head));
        assert!(two("", &format!("\r\n{}", head.replace("\r\n", "\n"))));
        for at in 1..head.len() {
            assert!(two(&head[..at], &head[at..]), "{at}");
        }
    }

    #[test]
    fn what_stands_in_the_body_or_in_another_head_does_not_count() {
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(!two("", &format!("{chunked}11\r\ncontent-length: 5\r\n0\r\n\r\n")));
        assert!(!two("", &format!("GET / HTTP/1.1\r\ncontent-length: 5\r\n\r\n{chunked}")));
        assert!(!two("", ""));
    }
}
