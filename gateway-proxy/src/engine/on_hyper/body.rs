//! The two bodies of an exchange, on their way through. Neither is copied or boxed; what they add is the
//! deadline that moves with the bytes, and what happens at their end.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::conn::Conn;
use super::connect::Lease;
use super::kept::Reader;
use crate::engine::shadow::Copied;
use crate::reason::Reason;

/// A body that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum CutShort {
    /// The peer that sends it failed.
    #[error("the sender failed")]
    Sender(#[source] hyper::Error),
    /// It has more bytes than allowed.
    #[error("more bytes than allowed")]
    TooLarge,
}

/// What goes to the backend.
pub(super) enum RequestBody {
    /// There is none.
    Empty,
    /// The client's.
    Client(ClientBody),
    /// The client's, of which the beginning is kept.
    Kept(Reader),
}

/// A client's body.
pub(super) struct ClientBody {
    body: Incoming,
    conn: Rc<Conn>,
    turn: u32,
    /// Bytes that may still come.
    left: u64,
    /// Closed while the backend has not said "100 Continue".
    gate: Option<Arc<Gate>>,
    /// Goes to a candidate when the body is whole.
    copy: Option<Box<Copied>>,
}

/// Keeps a body back until the backend asks for it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    open: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

/// What goes to the client.
pub(super) struct ResponseBody {
    source: Source,
    conn: Rc<Conn>,
    turn: u32,
    /// The source has said that it is over.
    over: bool,
}

enum Source {
    /// The gateway's own answer.
    Local(Option<Bytes>),
    /// The backend's, and its connection.
    Backend(Incoming, Option<Lease>),
}

// === impl Gate ===

impl Gate {
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Release);
        if let Some(waker) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        if self.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        // It may have opened before the waker was there.
        if self.open.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

// === impl RequestBody ===

impl RequestBody {
    pub(super) fn new(
        body: Incoming,
        conn: &Rc<Conn>,
        turn: u32,
        gate: Option<Arc<Gate>>,
        copy: Option<Box<Copied>>,
    ) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let most = conn.core.limits.max_body_bytes;
        let most = conn.notes.with_admitted(|admitted| admitted.max_body(most)).unwrap_or(most);
        let left = most.unwrap_or(u64::MAX);
        Self::Client(ClientBody { body, conn: Rc::clone(conn), turn, left, gate, copy })
    }

    /// From now on, at most `most` bytes of it are kept for another try.
    pub(super) fn kept(self, most: usize) -> Self {
        match self {
            Self::Client(body) => Self::Kept(Reader::new(body, most)),
            Self::Empty | Self::Kept(_) => self,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Client(client) => client.poll_frame(cx),
            Self::Kept(reader) => reader.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(client) => client.body.is_end_stream(),
            Self::Kept(reader) => reader.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(client) => client.body.size_hint(),
            Self::Kept(reader) => reader.size_hint(),
        }
    }
}

impl ClientBody {
    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        if let Some(gate) = &self.gate {
            ready!(gate.poll_open(cx));
        }
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let Some(left) = self.left.checked_sub(bytes as u64) else {
                    self.conn.notes.failure(Reason::BodyTooLarge);
                    return Poll::Ready(Some(Err(CutShort::TooLarge)));
                };
                self.left = left;
                self.conn.request_moved(self.turn, bytes);
                if let (Some(copy), Some(data)) = (&mut self.copy, frame.data_ref()) {
                    copy.keep(data);
                }
                if frame.is_trailers() || self.body.is_end_stream() {
                    self.ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.conn.notes.failure(Reason::ClientGone);
                Poll::Ready(Some(Err(CutShort::Sender(error))))
            }
            None => {
                self.ended();
                Poll::Ready(None)
            }
        }
    }

    fn ended(&mut self) {
        self.conn.request_ended(self.turn);
        self.copy.take().into_iter().for_each(|copy| self.conn.core.send_copy(copy));
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    pub(super) fn local(text: Bytes, conn: &Rc<Conn>, turn: u32) -> Self {
        Self { source: Source::Local(Some(text)), conn: Rc::clone(conn), turn, over: false }
    }

    pub(super) fn backend(body: Incoming, lease: Lease, conn: &Rc<Conn>, turn: u32) -> Self {
        Self { source: Source::Backend(body, Some(lease)), conn: Rc::clone(conn), turn, over: false }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let this = &mut *self;
        let polled = match &mut this.source {
            Source::Local(text) => return Poll::Ready(text.take().map(|t| Ok(Frame::data(t)))),
            Source::Backend(body, _) => ready!(Pin::new(body).poll_frame(cx)),
        };
        match polled {
            Some(Ok(frame)) => {
                this.conn.response_moved(this.turn, frame.data_ref().map_or(0, Bytes::len));
                // After trailers nobody asks again.
                this.over |= frame.is_trailers();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.conn.notes.failure(Reason::BackendCut);
                this.conn.set_abort();
                Poll::Ready(Some(Err(CutShort::Sender(error))))
            }
            None => {
                this.over = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Local(text) => text.as_ref().is_none_or(Bytes::is_empty),
            Source::Backend(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Local(text) => SizeHint::with_exact(text.as_ref().map_or(0, |t| t.len() as u64)),
            Source::Backend(body, _) => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let whole = match &mut self.source {
            // What hyper does not write of it (a HEAD, an empty text) it need not write.
            Source::Local(_) => true,
            Source::Backend(body, lease) => {
                let whole = self.over || body.is_end_stream();
                if whole
                    && !self.conn.request_is_open()
                    && let Some(lease) = lease.take()
                {
                    lease.give_back(self.conn.core.timers.now());
                }
                whole
            }
        };
        self.conn.response_ended(self.turn, whole);
    }
}
