//! The request's way: from the client to the backend.

use std::task::{Context, Poll};

use bytes::Bytes;
use hotswap_h1::body::{Around, Pipe};
use hotswap_h1::chunked::Taken;
use hotswap_h1::framing::Framing;
use hotswap_h1::write::Coding;
use hotswap_h1::{Head, Known};
use http::StatusCode;

use super::client::Client;
use super::core::Core;
use super::exchange::Exchange;
use super::front::Front;
use super::link::Link;
use super::wire::{self, Rest};
use crate::reason::Reason;

/// Why an exchange can't go on, by the client's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It went away.
    ClientGone,
    /// What it sent is refused.
    Refused(Reason),
}

/// What may come of a request's body, and behind it.
pub(super) struct Bounds {
    /// Bytes, at most.
    pub(super) most: Option<u64>,
    /// Fields, as a list of names; `None`: none.
    pub(super) trailers: Option<Box<[u8]>>,
    /// Every field may but these, a list of names, where the backend is told the request as HTTP/2; `None`: as `trailers`
    /// says.
    pub(super) all_but: Option<Box<[u8]>>,
}

/// The state of a request that goes out.
pub(super) struct Upload {
    body: Pipe,
    /// What the backend has not taken yet.
    pub(super) late: Rest,
    /// Lines behind the body, where they go out apart from it.
    pub(super) trailers: Vec<u8>,
    /// The end of the body, and what is behind it, is told apart from it.
    told: bool,
    /// Bytes that may still come.
    room: u64,
    /// The client waits for "100 Continue".
    kept_back: bool,
    /// The backend does not take any more; it may have answered before.
    pub(super) broken: bool,
}

impl Upload {
    /// Of a request as it came: how its head frames the body, and how that is read. `told`: it goes on as HTTP/2.
    pub(super) fn new(head: &Head, (framing, read): (Framing, Framing), bounds: Bounds, told: bool) -> Self {
        let coding = match framing {
            _ if told => Coding::Told,
            Framing::Chunked => Coding::Chunked,
            Framing::None | Framing::Length(_) | Framing::UntilClose => Coding::Plain,
        };
        let asks = || head.first(Known::Expect).is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"));
        let body = Pipe::new(read, coding, bounds.trailers);
        Self {
            body: match bounds.all_but.filter(|_| told) {
                Some(these) => body.with_any_trailer_but(these),
                None => body,
            },
            late: Rest::default(),
            trailers: Vec::new(),
            told,
            room: bounds.most.unwrap_or(u64::MAX),
            kept_back: framing != Framing::None && !head.is_old() && asks(),
            broken: false,
        }
    }

    /// Whether the client has sent all of it.
    pub(super) fn is_read(&self) -> bool {
        self.body.is_over()
    }

    /// Whether the backend has taken all of it.
    pub(super) fn is_out(&self) -> bool {
        self.is_read() && self.late.is_empty() && !self.broken
    }

    /// Whether nothing has to look at what comes: data follow, however many, and all that came before are out.
    pub(super) fn is_straight(&self) -> bool {
        self.late.is_empty() && !self.broken && !self.kept_back && self.body.is_open()
    }

    /// Whether so many bytes may still come.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        bytes as u64 <= self.room
    }

    /// So many have gone on.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.room = self.room.saturating_sub(bytes as u64);
    }

    pub(super) fn is_kept_back(&self) -> bool {
        self.kept_back
    }

    /// What has not been sent is not sent this way: another try begins.
    pub(super) fn stop(&mut self, core: &Core) {
        self.late.clear(core);
        self.broken = false;
    }

    /// Takes what came with the head. `end`: the fields behind the body, where they are known.
    pub(super) fn begin(
        &mut self,
        rest: &mut [u8],
        end: Option<&Head>,
        around: &mut Around,
    ) -> Result<Taken, Reason> {
        if rest.is_empty() && end.is_none() {
            return Ok(Taken::default());
        }
        // A client that sends the body at once does not wait to be asked for it.
        self.kept_back = false;
        self.pass(rest, end, around)
    }

    fn pass(&mut self, bytes: &mut [u8], end: Option<&Head>, around: &mut Around) -> Result<Taken, Reason> {
        let taken = self.body.pass(bytes, around).map_err(|_| Reason::BadRequest)?;
        self.taken(taken, end, around)
    }

    /// The same for so many bytes of a body in which nothing but data stands.
    fn pass_bare(&mut self, came: usize, end: Option<&Head>, around: &mut Around) -> Result<Taken, Reason> {
        let taken = self.body.pass_bare(came, around).map_err(|_| Reason::BadRequest)?;
        self.taken(taken, end, around)
    }

    fn taken(&mut self, taken: Taken, end: Option<&Head>, around: &mut Around) -> Result<Taken, Reason> {
        if let Some(fields) = end
            && !self.body.told_end(fields, around)
        {
            return Err(Reason::BadRequest);
        }
        if self.told {
            self.trailers.append(&mut around.behind);
        }
        let len = (taken.to - taken.from) as u64;
        self.room = self.room.checked_sub(len).ok_or(Reason::BodyTooLarge)?;
        Ok(taken)
    }
}

impl<F: Front> Client<F> {
    /// Moves what there is to move of the request.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let mut is_drained = false;
        while let Some(Exchange { upload, link: Some(link), .. }) = &mut self.exchange {
            if !link.is_out(upload) && !upload.broken {
                let had = (upload.late.len(), link.sent());
                let flushed = link.poll_flush(cx, upload, &self.track.core);
                let moved = had != (upload.late.len(), link.sent());
                upload.broken = matches!(flushed, Poll::Ready(Err(_)));
                if moved {
                    self.request_moved();
                }
                if flushed.is_pending() {
                    break;
                }
                continue;
            }
            if upload.broken || upload.is_read() || link.poll_allowed(cx).is_pending() {
                break;
            }
            if upload.kept_back {
                self.watch(cx)?;
                if self.early.is_empty() && self.socket.told_end().is_none() {
                    return Ok(());
                }
                // It does not wait to be asked.
                self.open_gate();
            }
            if is_drained || !self.read_on(cx)? {
                return Ok(());
            }
            is_drained = self.early.is_empty() && self.socket.is_drained();
        }
        self.watch(cx)
    }

    /// Takes some more of the request; false: there is none yet.
    fn read_on(&mut self, cx: &mut Context<'_>) -> Result<bool, Fault> {
        if !self.early.is_empty() {
            let mut early = std::mem::take(&mut self.early);
            let used = self.pass_on(cx, early.as_mut_slice());
            early.advance(*used.as_ref().unwrap_or(&0), &self.track.core);
            self.early = early;
            return used.map(|_| true);
        }
        if let Some(Exchange { upload, link: Some(Link::Stream(_)), .. }) = &self.exchange
            && upload.body.is_bare()
        {
            match self.socket.poll_piece(cx) {
                Poll::Ready(Ok(Some(piece))) => return self.pass_piece(cx, piece).map(|()| true),
                Poll::Ready(Err(fault)) => return Err(fault),
                Poll::Ready(Ok(None)) => {}
                Poll::Pending => return Ok(false),
            }
        }
        let core = self.core();
        let mut input = core.input.borrow_mut();
        let Poll::Ready(n) = self.socket.poll_read(cx, &mut input) else { return Ok(false) };
        let n = n?;
        let came = input.get_mut(..n).unwrap_or_default();
        let used = self.pass_on(cx, came)?;
        self.early.put(came.get(used..).unwrap_or_default(), &core);
        Ok(true)
    }

    /// Passes some bytes of the body on; how many of them were used.
    fn pass_on(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Result<usize, Fault> {
        let core = self.core();
        let Some(exchange) = &mut self.exchange else { return Ok(0) };
        if exchange.link.is_none() {
            return Ok(0);
        }
        let mut around = core.output.borrow_mut();
        around.clear();
        let taken =
            exchange.upload.pass(bytes, self.socket.told_end(), &mut around).map_err(Fault::Refused)?;
        let data = self.track.received(bytes.get(taken.from..taken.to).unwrap_or_default());
        exchange.keep([&around.before, data, &around.behind]);
        exchange.copy_body(data, &core);
        let Some(link) = &mut exchange.link else { return Ok(0) };
        let pieces = wire::pieces(&mut around, data);
        exchange.upload.broken = link.send(cx, &mut exchange.upload, pieces, &core).is_err();
        self.request_moved();
        Ok(taken.used)
    }

    /// Passes a piece of the body on as it came, to a backend of HTTP/2.
    fn pass_piece(&mut self, cx: &mut Context<'_>, mut piece: Bytes) -> Result<(), Fault> {
        let core = self.core();
        let Some(exchange) = &mut self.exchange else { return Ok(()) };
        let mut around = core.output.borrow_mut();
        around.clear();
        let passed = exchange.upload.pass_bare(piece.len(), self.socket.told_end(), &mut around);
        piece.truncate(passed.map_err(Fault::Refused)?.to);
        self.track.received(&piece);
        exchange.keep([&[], &piece, &[]]);
        exchange.copy_body(&piece, &core);
        let Some(Link::Stream(stream)) = &mut exchange.link else { return Ok(()) };
        exchange.upload.broken = stream.send_piece(cx, &mut exchange.upload, piece, &core).is_err();
        self.request_moved();
        Ok(())
    }

    fn request_moved(&mut self) {
        let Some(exchange) = &self.exchange else { return };
        if exchange.download.has_begun() {
            self.track.moved();
        } else {
            exchange.arm(&mut self.track);
        }
    }

    /// Looks whether the client is still there.
    pub(super) fn watch(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        F::watch(self, cx)
    }

    /// The body may come.
    pub(super) fn open_gate(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.upload.kept_back = false;
            exchange.arm(&mut self.track);
        }
    }

    /// Tells a client that waits that the body may come.
    pub(super) fn let_body_come(&mut self, cx: &mut Context<'_>) {
        self.open_gate();
        let core = self.core();
        let mut head = core.take_head();
        head.respond(StatusCode::CONTINUE);
        // A client that has gone shows when it is read from.
        let _ = self.socket.send_interim(cx, &mut self.late, &head, &core);
        core.give_head(head);
    }
}
