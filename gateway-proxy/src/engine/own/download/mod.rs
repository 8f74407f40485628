//! The response's way: from the backend to the client.

mod heads;

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hotswap_h1::Head;
use hotswap_h1::body::{Around, Pipe};
use hotswap_h1::read::HeadLimits;

use super::client::Client;
use super::compress::{self, Squeeze};
use super::core::{Core, INPUT};
use super::exchange::Exchange;
use super::front::Front;
use super::link::Link;
use super::splice;
use super::track::Track;
use super::wire::{self, Rest};
use crate::grpc::Code;
use crate::reason::Reason;
use crate::tls;

/// Limits of a response's head.
pub(super) const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, headers: 100 };

/// What waiting for a response came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Down {
    /// It is over.
    Over,
    /// The connection ended before a byte of it came.
    Silent,
    /// The backend has done nothing about the request.
    Unprocessed,
    /// Nobody is there who would take it.
    ClientGone,
    /// It can't be passed on, or not any more.
    Failed(Reason),
    /// It is not passed on: the request is tried again.
    Again,
    /// The connection has switched to another protocol.
    Switched,
    /// It has not, and there is no other answer for the client.
    NotSwitched,
}

/// The state of a response that comes in.
pub(super) struct Download {
    /// The beginning of a head.
    pub(super) early: Rest,
    /// `None`: its head has not come.
    body: Option<Pipe>,
    /// The backend's connection can be used again.
    lasts: bool,
    /// The client takes trailers.
    trailers: bool,
    pub(super) interim: u8,
    /// One of them has gone to the client.
    passed_interim: bool,
    /// The rest of the body goes through it.
    pipe: Option<splice::Pipe>,
    /// The body is compressed.
    pub(super) squeeze: Option<Squeeze>,
}

impl Download {
    /// Of the response to a request as it came.
    pub(super) fn new(request: &Head) -> Self {
        let trailers = request.takes_trailers();
        Self {
            early: Rest::default(),
            body: None,
            lasts: false,
            trailers,
            interim: 0,
            passed_interim: false,
            pipe: None,
            squeeze: None,
        }
    }

    /// Whether its head is out.
    pub(super) fn has_begun(&self) -> bool {
        self.body.is_some()
    }

    /// Whether the client has anything of it.
    pub(super) fn is_seen(&self) -> bool {
        self.has_begun() || self.passed_interim
    }

    /// It comes from another backend.
    pub(super) fn restart(&mut self, core: &Core) {
        self.early.clear(core);
        (self.interim, self.lasts) = (0, false);
    }

    /// Whether the client has not taken what has come of its body.
    pub(super) fn waits_in_pipe(&self) -> bool {
        self.pipe.as_ref().is_some_and(|pipe| !pipe.is_empty())
    }

    /// Whether what comes of its body goes on as it is.
    pub(super) fn is_bare(&self) -> bool {
        self.squeeze.is_none() && self.body.as_ref().is_some_and(Pipe::is_bare)
    }

    /// Whether nothing has to look at what comes of its body: data follow, however many.
    pub(super) fn is_straight(&self) -> bool {
        self.squeeze.is_none() && self.body.as_ref().is_some_and(Pipe::is_open)
    }

    /// Whether the backend's connection can be used again, when the response is over.
    pub(super) fn lasts(&self) -> bool {
        self.lasts
    }
}

impl<F: Front> Client<F> {
    /// Moves what there is to move of the response.
    pub(super) fn poll_download(&mut self, cx: &mut Context<'_>) -> Poll<Down> {
        let core = self.core();
        let mut squeezed = 0;
        loop {
            if let Some(gone) = ready!(self.poll_late(cx, &core)) {
                return Poll::Ready(gone);
            }
            let Some(exchange) = &mut self.exchange else { return Poll::Ready(Down::Over) };
            if exchange.download.body.as_ref().is_some_and(Pipe::is_over) {
                return Poll::Ready(Down::Over);
            }
            let socket = match &mut exchange.link {
                Some(Link::Line(socket)) => socket,
                Some(Link::Stream(_)) => match ready!(self.poll_stream(cx, &core)) {
                    Ok(()) => continue,
                    Err(down) => return Poll::Ready(down),
                },
                None => return Poll::Ready(Down::Silent),
            };
            if exchange.download.pipe.is_some() {
                match ready!(self.poll_splice(cx)) {
                    Ok(()) => continue,
                    Err(splice::Stuck::ReceiverGone) => return Poll::Ready(Down::ClientGone),
                    Err(splice::Stuck::SenderEnded) => {
                        return Poll::Ready(self.backend_ended(cx, &core, false));
                    }
                }
            }
            let mut input = core.input.borrow_mut();
            let room = if exchange.download.has_begun() { INPUT } else { splice::HEAD_ROOM };
            let input = input.get_mut(..room).unwrap_or_default();
            if squeezed >= compress::AT_ONCE {
                return compress::let_others(cx);
            }
            let n = match wire::poll_fill(socket, cx, input) {
                Poll::Ready(Ok(n @ 1..)) => n,
                Poll::Ready(Err(error)) if self.is_refused(&error) => {
                    return Poll::Ready(Down::Failed(Reason::BackendTls));
                }
                Poll::Ready(ended) => return Poll::Ready(self.backend_ended(cx, &core, ended.is_ok())),
                Poll::Pending => match self.flush_back(cx, &core) {
                    // Nobody else waits for room for what the client has not taken of that.
                    Ok(()) if !self.socket.is_out(&self.late) => continue,
                    Ok(()) => return Poll::Pending,
                    Err(down) => return Poll::Ready(down),
                },
            };
            if exchange.download.squeeze.is_some() {
                squeezed += n;
            }
            let came = input.get_mut(..n).unwrap_or_default();
            let passed = if !exchange.download.has_begun() {
                self.on_head_bytes(cx, came, &core)
            } else {
                core.output.borrow_mut().clear();
                self.pass_back(cx, came, &core)
            };
            if let Err(down) = passed {
                return Poll::Ready(down);
            }
        }
    }

    /// Lets some of the body pass inside the kernel.
    fn poll_splice(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), splice::Stuck>> {
        let Some(Exchange { download, link: Some(link), .. }) = &mut self.exchange else {
            return Poll::Ready(Err(splice::Stuck::SenderEnded));
        };
        let (Some(pipe), Some(body)) = (&mut download.pipe, &mut download.body) else {
            return Poll::Ready(Err(splice::Stuck::SenderEnded));
        };
        let (Some(from), Some(to)) = (link.plain(), self.socket.plain()) else {
            return Poll::Ready(Err(splice::Stuck::SenderEnded));
        };
        let left = body.plain_left().unwrap_or(0);
        let moved = ready!(pipe.poll_move(cx, from, to, left))?;
        body.went_on(moved as u64);
        if body.is_over()
            && let Some(pipe) = download.pipe.take()
        {
            self.track.core.give_pipe(pipe);
        }
        self.track.passed(moved);
        Poll::Ready(Ok(()))
    }

    /// Whether the backend turns the gateway's certificate down, or the lack of one: it may say so only after the
    /// handshake, and has then looked at no request.
    fn is_refused(&self, error: &io::Error) -> bool {
        let Some(exchange) = self.exchange.as_ref().filter(|e| !e.again && !e.download.is_seen()) else {
            return false;
        };
        let refused = tls::is_refusal(error);
        if refused {
            let (core, address) = (&self.track.core, exchange.backend.address());
            core.metrics.backend_tls_failed.add(1);
            core.backend_tls.tell(address, Some(&tls::why(error, address.as_str())));
        }
        refused
    }

    /// Writes what the client has not taken yet, before more is read for it.
    fn poll_late(&mut self, cx: &mut Context<'_>, core: &Rc<Core>) -> Poll<Option<Down>> {
        if self.socket.is_out(&self.late) {
            return Poll::Ready(None);
        }
        let over = self.exchange.as_ref().and_then(|e| e.download.body.as_ref()).is_some_and(Pipe::is_over);
        if over {
            // The rest of it is no concern of the backend's connection.
            return Poll::Ready(Some(Down::Over));
        }
        let had = (self.late.len(), self.socket.sent());
        let flushed = self.socket.poll_flush(cx, &mut self.late, core);
        if had != (self.late.len(), self.socket.sent()) && self.answered() {
            self.track.moved();
        }
        Poll::Ready(ready!(flushed).err().map(|_| Down::ClientGone))
    }

    /// The backend has ended its side, or the connection failed.
    fn backend_ended(&mut self, cx: &mut Context<'_>, core: &Rc<Core>, in_order: bool) -> Down {
        let Some(exchange) = &mut self.exchange else { return Down::Over };
        let download = &mut exchange.download;
        let Some(body) = &mut download.body else {
            let silent = download.early.is_empty() && download.interim == 0;
            return if silent { Down::Silent } else { Down::Failed(Reason::BackendClosed) };
        };
        let mut around = core.output.borrow_mut();
        around.clear();
        if !in_order || !body.peer_ended(&mut around) {
            return Down::Failed(Reason::BackendCut);
        }
        match self.send_back(cx, &mut around, &[], true, core) {
            Ok(()) => Down::Over,
            Err(down) => down,
        }
    }

    /// Passes bytes of the body on, behind what stands in the core's output already.
    pub(super) fn pass_back(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
        core: &Rc<Core>,
    ) -> Result<(), Down> {
        let Some(Exchange { download, link, .. }) = &mut self.exchange else { return Ok(()) };
        let Some(body) = &mut download.body else { return Ok(()) };
        let mut around = core.output.borrow_mut();
        let taken = body.pass(bytes, &mut around).map_err(|_| Down::Failed(Reason::BackendCut))?;
        look_for_end(body, link.as_ref(), &mut around, &mut self.track);
        if taken.used < bytes.len() {
            // It said more than was asked: whatever it is, nobody else gets it.
            download.lasts = false;
        }
        let data = bytes.get(taken.from..taken.to).unwrap_or_default();
        let over = body.is_over();
        self.send_back(cx, &mut around, data, over, core)?;
        let Some(Exchange { download, link, .. }) = &mut self.exchange else { return Ok(()) };
        let Some(body) = &mut download.body else { return Ok(()) };
        // What `late` holds comes first; a client that is slow gains nothing by a pipe. Nor does what is encrypted.
        let both = self.socket.plain().is_some() && link.as_ref().is_some_and(|link| link.plain().is_some());
        if both && self.late.is_empty() && body.plain_left().is_some_and(|left| left >= splice::WORTH) {
            download.pipe = core.take_pipe();
        }
        Ok(())
    }

    /// Passes a piece of the body on as it came; of one that [`Download::is_bare`].
    pub(super) fn pass_piece_back(
        &mut self,
        cx: &mut Context<'_>,
        mut piece: Bytes,
        core: &Rc<Core>,
    ) -> Result<(), Down> {
        let Some(Exchange { download, link, .. }) = &mut self.exchange else { return Ok(()) };
        let Some(body) = &mut download.body else { return Ok(()) };
        let mut around = core.output.borrow_mut();
        around.clear();
        let passed = body.pass_bare(piece.len(), &mut around);
        let taken = passed.map_err(|_| Down::Failed(Reason::BackendCut))?;
        look_for_end(body, link.as_ref(), &mut around, &mut self.track);
        if taken.used < piece.len() {
            download.lasts = false;
            piece.truncate(taken.used);
        }
        let over = body.is_over();
        self.track.passed(piece.len());
        let sent = self.socket.send_piece(cx, &mut self.late, &mut around, piece, over, core);
        sent.map_err(|_| Down::ClientGone)
    }
}

/// Learns from a stream whether its body is over, and what follows it.
fn look_for_end(body: &mut Pipe, link: Option<&Link>, around: &mut Around, track: &mut Track) {
    let Some(Link::Stream(stream)) = link else { return };
    let Some(fields) = stream.told_end() else { return };
    body.told_end(fields, around);
    if let Some(code) = Code::of(fields).filter(|_| track.is_call()) {
        track.ended(code);
    }
}
