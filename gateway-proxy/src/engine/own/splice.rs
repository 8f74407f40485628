//! Large bodies of a known length on their way between two sockets without passing through this process: the kernel
//! moves them through a pipe (splice(2)), which saves two copies. HAProxy and nginx's stream proxy do the same.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What is left of a body must be so long, in bytes, for a pipe to be worth it: below that, one read and one write of
/// bytes that are in the cache cost less than the two calls more that a pipe takes.
pub(super) const WORTH: u64 = 32 * 1024;
/// Moved by one call, in bytes, at most: what a pipe takes where the kernel gives it whole pages.
const AT_ONCE: usize = 256 * 1024;
/// A response's head is read with no more than so many bytes: what has been read is no more to be spliced.
pub(super) const HEAD_ROOM: usize = 16 * 1024;

/// A pipe, and the bytes that are in it.
#[derive(Debug)]
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    held: usize,
}

/// Why bytes move no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// Nothing more comes.
    SenderEnded,
    /// Nobody takes it.
    ReceiverGone,
}

impl Pipe {
    /// An empty one.
    ///
    /// # Errors
    /// Where no descriptors are left, above all.
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { reader, writer, held: 0 })
    }

    /// Whether nothing is in it, so that it can serve another body.
    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Moves some of the `left` bytes of a body, those in the pipe among them. How many the receiver took; never 0.
    pub(super) fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        left: u64,
    ) -> Poll<Result<usize, Stuck>> {
        loop {
            if self.held > 0 {
                let moved = ready!(self.poll_out(cx, to));
                self.held = self.held.saturating_sub(*moved.as_ref().unwrap_or(&0));
                return Poll::Ready(moved);
            }
            let room = usize::try_from(left).map_or(AT_ONCE, |left| left.min(AT_ONCE));
            self.held = match ready!(self.poll_in(cx, from, room)) {
                Ok(n @ 1..) => n,
                Ok(0) | Err(_) => return Poll::Ready(Err(Stuck::SenderEnded)),
            };
        }
    }

    fn poll_in(&mut self, cx: &mut Context<'_>, from: &TcpStream, room: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            // The pipe is empty, so only the socket can make it wait.
            let moved = from.try_io(Interest::READABLE, || pass(from, &self.writer, room));
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                moved => return Poll::Ready(moved),
            }
        }
    }

    fn poll_out(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<Result<usize, Stuck>> {
        loop {
            if ready!(to.poll_write_ready(cx)).is_err() {
                return Poll::Ready(Err(Stuck::ReceiverGone));
            }
            // The pipe is not empty, so only the socket can make it wait.
            match to.try_io(Interest::WRITABLE, || pass(&self.reader, to, self.held)) {
                Ok(n @ 1..) => return Poll::Ready(Ok(n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return Poll::Ready(Err(Stuck::ReceiverGone)),
            }
        }
    }
}

fn pass(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn a_body_goes_through_whole_and_in_order_and_no_byte_more() {
        let (mut backend, from) = pair().await;
        let (to, mut client) = pair().await;
        let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut pipe, mut left, mut got) = (Pipe::new().unwrap(), body.len() as u64, vec![0; body.len()]);
        let send = async {
            backend.write_all(&body).await.unwrap();
            backend.write_all(b"more").await.unwrap();
        };
        let pass = async {
            while left > 0 {
                left -= poll_fn(|cx| pipe.poll_move(cx, &from, &to, left)).await.unwrap() as u64;
            }
        };
        let (.., read) = tokio::join!(send, pass, client.read_exact(&mut got));
        assert_eq!(read.unwrap(), body.len());
        assert!(pipe.is_empty());
        assert!(got == body, "what came is what was sent");
        let (mut rest, mut from) = ([0; 4], from);
        from.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"more", "what stands behind the body is still there");
    }

    #[tokio::test]
    async fn who_ends_early_is_told_apart() {
        let (backend, from) = pair().await;
        let (to, client) = pair().await;
        drop(backend);
        let mut pipe = Pipe::new().unwrap();
        let cut = poll_fn(|cx| pipe.poll_move(cx, &from, &to, 10)).await;
        assert_eq!(cut, Err(Stuck::SenderEnded));

        let (mut backend, from) = pair().await;
        drop(client);
        let told = loop {
            backend.write_all(&[7; 1_000]).await.unwrap();
            if let Err(why) = poll_fn(|cx| pipe.poll_move(cx, &from, &to, 1 << 40)).await {
                break why;
            }
        };
        assert_eq!(told, Stuck::ReceiverGone);
    }
}
