//! A stream as the backend's side of an exchange.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason as Code;
use h2::client::{ResponseFuture, SendRequest};
use hotswap_h1::{Head, told};
use http::{Request, Response};

use super::connection;
use super::lines::Place;
use crate::engine::own::core::Core;
use crate::engine::own::download::LIMITS;
use crate::engine::own::flow::{After, Outflow};
use crate::engine::own::http2::heads;
use crate::engine::own::inflow::{Cut, Inflow, LARGE};
use crate::engine::own::upload::Upload;

/// Why no response comes, or no more of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::own) enum Lost {
    /// The backend has said that it did nothing about the request: another may get it.
    Unprocessed,
    /// The connection has ended.
    Closed,
    /// So it has, since the backend takes the gateway's certificate for nothing, or wants one.
    Refused,
    /// The backend has ended the stream.
    Reset,
    /// What it sent can't be read.
    Malformed,
}

/// One stream: a request and its response. Dropped before both are over, it is reset.
pub(in crate::engine) struct Stream {
    opener: Option<SendRequest<Bytes>>,
    request: Option<Outflow>,
    response: Option<ResponseFuture>,
    body: Option<Inflow>,
    /// The end of the request has been told.
    is_over: bool,
    /// Behind all else: it is free when the stream has ended.
    place: Place,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.place.fmt(f)
    }
}

impl Lost {
    fn of(error: &h2::Error) -> Self {
        let refused = error.is_reset() && error.reason() == Some(Code::REFUSED_STREAM);
        if error.is_remote() && (error.is_go_away() || refused) {
            Self::Unprocessed
        } else if error.is_io() {
            Self::Closed
        } else if error.is_remote() {
            Self::Reset
        } else {
            Self::Malformed
        }
    }
}

impl Stream {
    pub(super) fn new(opener: SendRequest<Bytes>, place: Place) -> Self {
        Self { opener: Some(opener), request: None, response: None, body: None, is_over: false, place }
    }

    /// Sends the head of a request. `over`: no body follows.
    ///
    /// # Errors
    /// The connection takes none any more.
    pub(in crate::engine::own) fn begin(&mut self, request: Request<()>, over: bool) -> Result<(), Lost> {
        let Some(mut opener) = self.opener.take() else { return Err(Lost::Closed) };
        // Nothing of the request has gone out, whatever the reason.
        let begun = opener.send_request(request, over).map_err(|error| match Lost::of(&error) {
            Lost::Malformed if error.reason().is_none() => Lost::Malformed,
            _ => Lost::Unprocessed,
        })?;
        (self.response, self.request, self.is_over) = (Some(begun.0), Some(Outflow::new(begun.1)), over);
        Ok(())
    }

    /// The backend takes no more streams on its connection, although it allows more.
    pub(in crate::engine::own) fn let_rest(&self, now: u64) {
        self.place.let_rest(now);
    }

    /// Nothing came back in time; see [`Place::doubt`].
    pub(in crate::engine::own) fn doubt(&self, now: u64, least_ms: u64) {
        self.place.doubt(now, least_ms);
    }

    // === the request ===

    /// Waits until more of the body may go out than what is kept of it.
    pub(in crate::engine::own) fn poll_allowed(&self, cx: &Context<'_>) -> Poll<()> {
        self.place.poll_allowed(cx)
    }

    /// Whether all that is known of the request is out.
    pub(in crate::engine::own) fn is_out(&self, upload: &Upload) -> bool {
        upload.late.is_empty() && (self.is_over || !upload.is_read())
    }

    /// Sends pieces of a body; `late` keeps what can't go out yet.
    ///
    /// # Errors
    /// The backend takes no more.
    pub(in crate::engine::own) fn send(
        &mut self,
        cx: &mut Context<'_>,
        upload: &mut Upload,
        pieces: [&[u8]; 3],
        core: &Core,
    ) -> io::Result<()> {
        let filled = pieces.iter().rposition(|piece| !piece.is_empty());
        for (i, piece) in pieces.into_iter().enumerate() {
            let is_last = upload.is_read() && upload.trailers.is_empty() && Some(i) == filled;
            let sent = if upload.late.is_empty() { self.push(cx, piece, is_last)? } else { 0 };
            upload.late.put(piece.get(sent..).unwrap_or_default(), core);
        }
        self.end(upload)
    }

    /// Sends a piece of a body as it is, where nothing is in its way.
    ///
    /// # Errors
    /// The backend takes no more.
    pub(in crate::engine::own) fn send_piece(
        &mut self,
        cx: &mut Context<'_>,
        upload: &mut Upload,
        piece: Bytes,
        core: &Core,
    ) -> io::Result<()> {
        // Before the backend has answered, the stream may have to wait; a small piece would keep what came beside it.
        let keeps = self.body.is_none() && piece.len() < LARGE;
        if keeps || !upload.late.is_empty() || self.place.is_behind() {
            return self.send(cx, upload, [&piece, &[], &[]], core);
        }
        let request = self.request.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let after = match upload.is_read() {
            false => After::More,
            true if upload.trailers.is_empty() => After::Nothing,
            true => After::Trailers,
        };
        match request.hand(piece, after)? {
            Some(piece) => self.send(cx, upload, [&piece, &[], &[]], core),
            None => {
                self.is_over |= after == After::Nothing;
                self.end(upload)
            }
        }
    }

    /// Whether a piece of the request can go at once to where it goes, and the response's body is read from.
    pub(in crate::engine::own) fn is_straight(&self) -> bool {
        !self.is_over && self.place.is_allowed() && !self.place.is_behind()
    }

    /// Hands a piece of the request, which is not its last, to h2, where there is room for all of it; else gives it back.
    ///
    /// # Errors
    /// The backend takes no more.
    pub(in crate::engine::own) fn hand(&mut self, piece: Bytes) -> io::Result<Option<Bytes>> {
        self.request.as_mut().ok_or(io::ErrorKind::NotConnected)?.hand(piece, After::More)
    }

    /// The response's body, once its head has come.
    pub(in crate::engine::own) fn body(&mut self) -> Option<&mut Inflow> {
        self.body.as_mut()
    }

    /// Whether it is known without a question that nothing more of that has come.
    pub(in crate::engine::own) fn is_silent(&self, cx: &Context<'_>) -> bool {
        self.body.as_ref().is_some_and(|body| body.is_silent(cx))
    }

    /// Some of it came.
    pub(in crate::engine::own) fn is_answered(&self) {
        self.place.is_answered();
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// The backend takes no more.
    pub(in crate::engine::own) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        upload: &mut Upload,
        core: &Core,
    ) -> Poll<io::Result<()>> {
        while !upload.late.is_empty() {
            let is_last = upload.is_read() && upload.trailers.is_empty();
            let n = self.push(cx, upload.late.as_slice(), is_last)?;
            upload.late.advance(n, core);
            if n == 0 {
                return Poll::Pending;
            }
        }
        Poll::Ready(self.end(upload))
    }

    /// Hands so much to h2 as the backend has room for; how much that is.
    fn push(&mut self, cx: &mut Context<'_>, data: &[u8], is_last: bool) -> io::Result<usize> {
        let request = self.request.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let sent = request.push(cx, data, is_last)?;
        self.is_over |= is_last && sent > 0 && sent == data.len();
        Ok(sent)
    }

    /// Tells that the request is over, where that is all that is left.
    fn end(&mut self, upload: &Upload) -> io::Result<()> {
        if self.is_over || !upload.is_read() || !upload.late.is_empty() {
            return Ok(());
        }
        let request = self.request.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let trailers = (!upload.trailers.is_empty()).then(|| heads::lines(&upload.trailers)).transpose()?;
        request.end(trailers)?;
        self.is_over = true;
        Ok(())
    }

    // === the response ===

    /// Waits for the head of a response, an interim one or the last.
    ///
    /// # Errors
    /// There is none.
    pub(in crate::engine::own) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Head,
    ) -> Poll<Result<(), Lost>> {
        let response = self.response.as_mut().ok_or(Lost::Closed)?;
        match response.poll_informational(cx) {
            Poll::Ready(Some(Ok(interim))) => return Poll::Ready(read(&interim, head)),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.lost(&error))),
            Poll::Ready(None) => {}
            Poll::Pending => return Poll::Pending,
        }
        let (parts, body) = match ready!(std::pin::Pin::new(response).poll(cx)) {
            Ok(response) => response.into_parts(),
            Err(error) => return Poll::Ready(Err(self.lost(&error))),
        };
        self.place.is_answered();
        (self.response, self.body) = (None, Some(Inflow::new(body, connection::slack())));
        Poll::Ready(read(&Response::from_parts(parts, ()), head))
    }

    fn lost(&self, error: &h2::Error) -> Lost {
        match Lost::of(error) {
            Lost::Closed if self.place.is_refused() => Lost::Refused,
            lost => lost,
        }
    }

    /// Whether nothing follows the head.
    pub(in crate::engine::own) fn has_no_body(&self) -> bool {
        self.body.as_ref().is_none_or(Inflow::is_none)
    }

    /// Whether the last read has found that nothing more has come, so that the task is woken when it does.
    pub(in crate::engine::own) fn is_drained(&self) -> bool {
        self.body.as_ref().is_some_and(Inflow::is_drained)
    }

    /// The fields behind the body, where all of it has been read.
    pub(in crate::engine::own) fn told_end(&self) -> Option<&Head> {
        self.body.as_ref().and_then(Inflow::told_end)
    }

    /// Reads some of the body. 0: it is over, see [`Stream::told_end`].
    ///
    /// # Errors
    /// It is cut.
    pub(in crate::engine::own) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize, Lost>> {
        let body = self.body.as_mut().ok_or(Lost::Closed)?;
        let read = ready!(body.poll_read(cx, into));
        Poll::Ready(self.came(read))
    }

    /// Takes the next piece of the body as it came, without a copy. `None`: [`Stream::poll_read`] tells what there is.
    ///
    /// # Errors
    /// As there.
    pub(in crate::engine::own) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Lost>> {
        let body = self.body.as_mut().ok_or(Lost::Closed)?;
        let read = ready!(body.poll_piece(cx));
        Poll::Ready(self.came(read))
    }

    fn came<T>(&self, read: Result<T, Cut>) -> Result<T, Lost> {
        if read.is_ok() {
            self.place.is_answered();
        }
        let cut = self.body.as_ref().and_then(Inflow::cut).map(Lost::of);
        match (read, cut) {
            // Nothing of what can't be read goes on.
            (Ok(_), Some(Lost::Malformed)) => Err(Lost::Malformed),
            (Ok(came), _) => Ok(came),
            (Err(Cut::Ended(error)), _) => Err(Lost::of(&error)),
            (Err(Cut::Refused(_)), _) => Err(Lost::Malformed),
        }
    }
}

/// Makes a response's head.
fn read(response: &Response<()>, head: &mut Head) -> Result<(), Lost> {
    let fields = heads::told(response.headers());
    told::response(response.status(), fields, LIMITS, head).map_err(|_| Lost::Malformed)
}
