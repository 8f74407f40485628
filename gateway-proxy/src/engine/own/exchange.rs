//! The two directions of an exchange together: who goes on, what ends it, and what is tried again.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hotswap_h1::Head;
use hotswap_h1::framing::Framing;
use tokio::time::Sleep;

use super::backend::{self, Opening};
use super::client::{Client, Ending, Step};
use super::core::{Backend, Core, INPUT};
use super::download::{Down, Download};
use super::front::Front;
use super::http2::heads;
use super::link::Link;
use super::multiplex::Lost;
use super::relay::Relay;
use super::reply::Reply;
use super::track::Track;
use super::upload::{Bounds, Fault, Upload};
use super::wish::Wish;
use crate::decide::Plan;
use crate::engine::dial;
use crate::engine::retry::{self, Later, Tries};
use crate::engine::shadow::Copied;
use crate::engine::shared::Asking;
use crate::reason::Reason;

/// How long a body waits for the backend's "100 Continue", in ms, when the client asked for one. A backend that
/// does not know the expectation waits for the body.
const CONTINUE_PATIENCE_MS: u64 = 1_000;
/// Bytes of a body that are kept until a backend of HTTP/2 answers: it may say that it did nothing about the request.
const SPARE: usize = 16 * 1024;
/// Bytes of it that come at first; before the backend has said how many streams it allows, no more goes out.
const FIRST: usize = INPUT;
/// How often a request goes on to another connection because of that.
const MOST_REFUSED: u8 = 3;

/// A request on its way to a backend, and the response on its way back. Dropped, it cuts the backend's
/// connection: only one whose both bodies came to their end is given back.
pub(super) struct Exchange {
    pub(super) backend: Backend,
    pub(super) connect_timeout: Duration,
    pub(super) link: Option<Link>,
    pub(super) opening: Option<Opening>,
    /// The request may be sent once more, if the connection turns out to be closed.
    pub(super) again: bool,
    idempotent: bool,
    /// The tries of a request that may have more than one.
    pub(super) tries: Option<Tries>,
    /// What of the body has been sent, as it was sent.
    pub(super) kept: Vec<u8>,
    /// It is kept, and none of it is lost.
    pub(super) keeps: bool,
    /// Some bytes of it, if there is one try alone.
    keeps_some: bool,
    /// Backends have done nothing about it so often.
    refused: u8,
    /// Goes to a candidate when the body is whole.
    pub(super) copy: Option<Box<Copied>>,
    /// Nothing has been sent yet: the request waits on purpose.
    pub(super) held: bool,
    /// Its backend is chosen when it has waited; until then `backend` is any of the pool's.
    pub(super) later: Option<Box<Later>>,
    /// Runs before the next try.
    pub(super) pause: Option<Pin<Box<Sleep>>>,
    /// The fleet is asked whether it goes on.
    pub(super) asking: Option<Asking>,
    /// The target that the backend sees, where it is not the one that came.
    pub(super) path: Option<String>,
    pub(super) upload: Upload,
    pub(super) download: Download,
    /// The protocol that the client asks to switch to.
    pub(super) wish: Option<Wish>,
    /// Both sides have switched.
    pub(super) relay: Option<Relay>,
}

impl Exchange {
    /// Of a request as it came: how its head frames the body, and how that is read.
    pub(super) fn new(
        head: &Head,
        plan: &mut Plan<Backend>,
        (framing, read): (Framing, Framing),
        bounds: Bounds,
        tries: Option<Tries>,
    ) -> Self {
        let idempotent = retry::is_idempotent(head.method());
        let shared = backend::is_shared(&plan.backend);
        Self {
            backend: Rc::clone(&plan.backend),
            connect_timeout: plan.connect_timeout,
            link: None,
            opening: None,
            again: false,
            idempotent: idempotent && framing == Framing::None,
            keeps: tries.is_some() || shared,
            keeps_some: shared,
            refused: 0,
            tries,
            kept: Vec::new(),
            copy: None,
            held: false,
            later: None,
            pause: None,
            asking: None,
            path: plan.path.take(),
            upload: Upload::new(head, (framing, read), bounds, shared),
            download: Download::new(head),
            wish: None,
            relay: None,
        }
    }

    /// Sends the first bytes on a connection that is open, or has one opened.
    pub(super) fn send_first(&mut self, cx: &mut Context<'_>, pieces: [&[u8]; 3], core: &Rc<Core>) -> Step {
        if backend::is_shared(&self.backend) {
            // The pieces are of the body alone. The stream begins in a step of its own, see `begin_stream`.
            self.upload.late.put_behind(pieces, 0, core);
            (self.link, self.opening) = (None, None);
            return Step::Connect;
        }
        if let Some(mut link) = self.backend.checkout() {
            core.metrics.reuses.add(1);
            if link.send(cx, &mut self.upload, pieces, core).is_ok() {
                self.again = self.idempotent;
                self.link = Some(link);
                return Step::Exchange;
            }
            // Nothing of it went out.
            core.metrics.retries.add(1);
        }
        self.upload.late.put_behind(pieces, 0, core);
        self.open(core)
    }

    /// Sends on what leads to the backend now; a stream begins with the head of the request.
    fn enter(&mut self, mut link: Link, head: Option<&Head>) -> Result<(), Lost> {
        if let (Link::Stream(stream), Some(head)) = (&mut link, head) {
            let upload = &self.upload;
            let over = upload.is_read() && upload.late.is_empty() && upload.trailers.is_empty();
            let scheme = dial::scheme(self.backend.address());
            let request = heads::request_to(head, self.path.as_deref(), scheme);
            stream.begin(request.map_err(|_| Lost::Malformed)?, over)?;
        }
        self.link = Some(link);
        Ok(())
    }

    /// What is sent anew: the head, where it goes the same way as the body, and what of that was sent.
    pub(super) fn write_anew(&self, head: Option<&Head>, out: &mut Vec<u8>) {
        if let Some(head) = head.filter(|_| !backend::is_shared(&self.backend)) {
            head.write_request(self.path.as_deref(), out);
        }
        out.extend_from_slice(&self.kept);
    }

    /// Keeps the first bytes until the fleet has been asked and the time is over.
    pub(super) fn send_later(
        &mut self,
        pieces: [&[u8]; 3],
        delay: Option<Duration>,
        core: &Rc<Core>,
    ) -> Step {
        self.upload.late.put_behind(pieces, 0, core);
        self.held = true;
        self.pause = delay.map(|delay| Box::pin(tokio::time::sleep(delay)));
        Step::Pause
    }

    /// Keeps a piece of the body for the copy, and sends that where it was the last.
    pub(super) fn copy_body(&mut self, data: &[u8], core: &Core) {
        let Some(mut copy) = self.copy.take() else { return };
        copy.keep(data);
        // A request that the fleet may still refuse is not copied yet.
        if self.upload.is_read() && self.asking.is_none() {
            core.send_copy(copy);
        } else {
            self.copy = Some(copy);
        }
    }

    /// Bytes of the body that are kept where there is one try alone.
    pub(super) fn spare(&self) -> usize {
        match (self.keeps_some, &self.link) {
            (false, _) => 0,
            (true, None) => FIRST,
            (true, Some(_)) => SPARE,
        }
    }

    fn open(&mut self, core: &Rc<Core>) -> Step {
        self.link = None;
        self.again = false;
        self.opening = Some(backend::open(&self.backend, core, self.connect_timeout));
        Step::Connect
    }

    /// Sets the deadline of an exchange that waits for its response.
    pub(super) fn arm(&self, track: &mut Track) {
        if self.upload.is_kept_back() {
            track.wait_for_continue(CONTINUE_PATIENCE_MS);
        } else {
            track.wait_for_response(!self.upload.is_read());
        }
    }
}

impl<F: Front> Client<F> {
    /// Whether the response's head is out.
    pub(super) fn answered(&self) -> bool {
        self.exchange.as_ref().is_none_or(|e| e.download.has_begun())
    }

    /// Waits for a connection to the backend.
    pub(super) fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(Step::End) };
        let Some(opening) = &mut exchange.opening else { return Poll::Ready(self.begin_stream(cx)) };
        match opening.as_mut().poll(cx) {
            Poll::Ready(Ok(link)) => {
                exchange.opening = None;
                match exchange.enter(link, self.track.head()) {
                    Ok(()) => {
                        exchange.arm(&mut self.track);
                        Poll::Ready(Step::Exchange)
                    }
                    Err(Lost::Malformed) => Poll::Ready(self.fail(cx, Reason::BadRequest)),
                    Err(_) => Poll::Ready(self.elsewhere(cx)),
                }
            }
            Poll::Ready(Err(reason)) => Poll::Ready(self.fail(cx, reason)),
            Poll::Pending => match self.watch(cx) {
                Ok(()) => Poll::Pending,
                Err(fault) => Poll::Ready(self.on_fault(cx, fault)),
            },
        }
    }

    /// Begins a stream on a connection that is shared and open, or has one opened. Whether the client is still there is
    /// looked at before: of streams that are given up as soon as they have begun a backend bears few, and ends the
    /// connection of all others for them (CVE-2023-44487).
    fn begin_stream(&mut self, cx: &mut Context<'_>) -> Step {
        if let Err(fault) = self.watch(cx) {
            return self.on_fault(cx, fault);
        }
        let core = self.core();
        let Some(exchange) = &mut self.exchange else { return Step::End };
        if let Some(stream) = exchange.backend.many().take(core.timers.now()) {
            core.metrics.reuses.add(1);
            match exchange.enter(Link::Stream(Box::new(stream)), self.track.head()) {
                Ok(()) => {
                    exchange.again = exchange.idempotent;
                    exchange.arm(&mut self.track);
                    return Step::Exchange;
                }
                Err(Lost::Malformed) => return self.fail(cx, Reason::BadRequest),
                Err(_) => core.metrics.retries.add(1),
            }
        }
        exchange.open(&core)
    }

    /// Lets both bodies pass.
    pub(super) fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Err(fault) = self.poll_upload(cx) {
                return Poll::Ready(self.on_fault(cx, fault));
            }
            let kept_back = self.body_is_kept_back();
            match self.poll_download(cx) {
                Poll::Ready(Down::Over) => return Poll::Ready(self.finish()),
                Poll::Ready(Down::Silent) => return Poll::Ready(self.once_more(cx)),
                Poll::Ready(Down::Unprocessed) => return Poll::Ready(self.elsewhere(cx)),
                Poll::Ready(Down::ClientGone) => return Poll::Ready(self.on_fault(cx, Fault::ClientGone)),
                Poll::Ready(Down::Failed(reason)) if self.answered() => {
                    return Poll::Ready(self.cut(reason));
                }
                Poll::Ready(Down::Failed(reason)) => return Poll::Ready(self.fail(cx, reason)),
                Poll::Ready(Down::Switched) => return Poll::Ready(Step::Relay),
                Poll::Ready(Down::NotSwitched) => {
                    return Poll::Ready(self.reply_to_open(cx, Reply::Failure(Reason::NotSwitched)));
                }
                Poll::Ready(Down::Again) => return Poll::Ready(Step::Pause),
                // The backend wants the body now.
                Poll::Pending if kept_back && !self.body_is_kept_back() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn body_is_kept_back(&self) -> bool {
        self.exchange.as_ref().is_some_and(|e| e.upload.is_kept_back())
    }

    pub(super) fn on_fault(&mut self, cx: &mut Context<'_>, fault: Fault) -> Step {
        match fault {
            Fault::ClientGone => {
                self.track.failure(Reason::ClientGone);
                self.exchange = None;
                Step::End
            }
            Fault::Refused(reason) if self.answered() => self.cut(reason),
            Fault::Refused(reason) => self.reply_to_open(cx, Reply::Failure(reason)),
        }
    }

    /// A connection ended without a byte of a response. If it was open before, the backend had probably closed it
    /// already, and the request is sent once more where that does no harm.
    fn once_more(&mut self, cx: &mut Context<'_>) -> Step {
        if self.exchange.as_ref().is_some_and(|e| e.again) {
            self.resend()
        } else {
            self.fail(cx, Reason::BackendClosed)
        }
    }

    /// The backend has done nothing about the request: whatever that asks for, another connection may take it.
    fn elsewhere(&mut self, cx: &mut Context<'_>) -> Step {
        let may = |e: &&mut Exchange| e.keeps && e.refused < MOST_REFUSED && !e.download.is_seen();
        match self.exchange.as_mut().filter(may) {
            Some(exchange) => {
                exchange.refused += 1;
                self.resend()
            }
            None => self.fail(cx, Reason::BackendClosed),
        }
    }

    /// Sends on another connection to the same backend what was sent already.
    fn resend(&mut self) -> Step {
        let core = self.core();
        let Some(exchange) = &mut self.exchange else { return Step::End };
        core.metrics.retries.add(1);
        exchange.upload.stop(&core);
        exchange.download.restart(&core);
        let mut around = core.output.borrow_mut();
        around.clear();
        exchange.write_anew(self.track.head(), &mut around.before);
        exchange.upload.late.put(&around.before, &core);
        self.track.wait_for_connection();
        exchange.open(&core)
    }

    /// The response is over.
    fn finish(&mut self) -> Step {
        let core = self.core();
        if let Some(mut exchange) = self.exchange.take() {
            let read = exchange.upload.is_read();
            if exchange.upload.is_out()
                && exchange.download.lasts()
                && let Some(link) = exchange.link.take()
            {
                exchange.backend.checkin(link, core.timers.now());
            }
            exchange.upload.late.clear(&core);
            if !read {
                // The client has its whole answer, and nobody wants the rest of what it sends.
                self.keep_alive = false;
                self.ending = Ending::Linger;
            }
        }
        Step::Flush
    }
}
