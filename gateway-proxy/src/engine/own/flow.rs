//! Bytes into a stream of HTTP/2, as far as its window has room: alike towards clients and towards backends.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::SendStream;

/// Hands so much of `data` to h2 as the other side has room for; `is_last`: with its last byte the stream is over.
/// Gives how many bytes went. Where some are left, the task is woken as soon as there is room again.
///
/// Each word with h2 takes a lock and looks the stream up: there are three for a piece that the window has room for.
///
/// # Errors
/// The other side takes no more.
pub(super) fn push(
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    data: &[u8],
    is_last: bool,
) -> io::Result<usize> {
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
