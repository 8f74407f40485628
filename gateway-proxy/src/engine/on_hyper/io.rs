//! Sockets as hyper wants them.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Core;
use super::conn::Conn;
use super::local;
use crate::engine::linger;

/// Pieces of a write up to so many bytes are put together: a copy of this size costs less than the kernel's
/// work on a list of pieces.
const COALESCE: usize = 4_096;

/// A client's socket.
pub(super) struct ClientIo {
    io: Option<TokioIo<TcpStream>>,
    conn: Rc<Conn>,
    /// Our answer in place of hyper's own, and how much of it is out.
    instead: Option<(Vec<u8>, usize)>,
}

/// A backend's socket.
pub(super) struct BackendIo {
    io: TokioIo<TcpStream>,
    core: Rc<Core>,
}

// === impl ClientIo ===

impl ClientIo {
    pub(super) fn new(stream: TcpStream, conn: Rc<Conn>) -> Self {
        Self { io: Some(TokioIo::new(stream)), conn, instead: None }
    }

    fn io(&mut self) -> io::Result<Pin<&mut TokioIo<TcpStream>>> {
        // It is there until the drop.
        self.io.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn wrote(&self, done: &Poll<io::Result<usize>>) {
        if matches!(done, Poll::Ready(Ok(_))) {
            self.conn.on_write();
        }
    }

    /// hyper answers a head that it can't read by itself, without a body or a reason. Ours goes out instead.
    fn replace(&mut self, head: &[u8]) -> bool {
        if self.instead.is_none() && self.conn.writes_by_itself() {
            self.instead = local::in_place_of(head).map(|ours| (ours, 0));
            if let (Some(_), Some(reason)) = (&self.instead, local::reason_of(head)) {
                self.conn.notes.unreadable(&self.conn.core, &self.conn.peer, Some(reason.status()), reason);
            }
        }
        self.instead.is_some()
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((ours, out)) = self.instead.take() {
            let rest = ours.get(out..).unwrap_or_default();
            if rest.is_empty() {
                // Stays, so that nothing of hyper's goes out any more.
                self.instead = Some((ours, out));
                break;
            }
            let wrote = self.io()?.poll_write(cx, rest);
            let n = if let Poll::Ready(Ok(n)) = &wrote { *n } else { 0 };
            self.instead = Some((ours, out + n));
            std::task::ready!(wrote)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.conn.reads_heads() {
            return self.io()?.poll_read(cx, buf);
        }
        let this = &mut *self;
        let io = this.io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let done =
            this.conn.core.heads.borrow_mut().read(Pin::new(io.inner_mut()), cx, buf, this.conn.slot());
        if done.is_ready() {
            this.conn.on_read();
        }
        done
    }
}

impl Write for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.replace(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let done = self.io()?.poll_write(cx, buf);
        self.wrote(&done);
        done
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = bufs.first()
            && self.replace(first)
        {
            return Poll::Ready(Ok(bufs.iter().map(|b| b.len()).sum()));
        }
        let this = &mut *self;
        let io = this.io.as_mut().map(Pin::new).ok_or(io::ErrorKind::NotConnected)?;
        let done = write_pieces(io, cx, bufs, &this.conn.core.scratch);
        self.wrote(&done);
        done
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_instead(cx))?;
        let done = self.io()?.poll_flush(cx);
        if let Poll::Ready(Ok(())) = done {
            self.conn.on_flushed();
        }
        done
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_instead(cx))?;
        self.io()?.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        let Some(io) = self.io.take() else { return };
        let stream = io.into_inner();
        if self.conn.aborts() {
            // A reset: an end without it could pass for the end of the body.
            let _ = socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
        } else if self.conn.lingers() || self.instead.is_some() {
            linger::close(stream, &self.conn.core);
        }
    }
}

// === impl BackendIo ===

impl BackendIo {
    pub(super) fn new(stream: TcpStream, core: Rc<Core>) -> Self {
        Self { io: TokioIo::new(stream), core }
    }
}

impl Read for BackendIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for BackendIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        write_pieces(Pin::new(&mut this.io), cx, bufs, &this.core.scratch)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

fn write_pieces(
    io: Pin<&mut TokioIo<TcpStream>>,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
    scratch: &RefCell<Vec<u8>>,
) -> Poll<io::Result<usize>> {
    if let [one] = bufs {
        return io.poll_write(cx, one);
    }
    if bufs.iter().map(|b| b.len()).sum::<usize>() > COALESCE {
        return io.poll_write_vectored(cx, bufs);
    }
    let mut whole = scratch.borrow_mut();
    whole.clear();
    bufs.iter().for_each(|b| whole.extend_from_slice(b));
    io.poll_write(cx, &whole)
}
