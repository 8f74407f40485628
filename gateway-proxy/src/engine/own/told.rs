//! A response that comes on a stream of HTTP/2: its head, body and end are told apart.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hotswap_h1::framing::Framing;
use hotswap_h1::{Head, Known};

use super::client::Client;
use super::core::Core;
use super::download::Down;
use super::exchange::Exchange;
use super::front::Front;
use super::link::Link;
use super::multiplex::Lost;
use crate::reason::Reason;

impl<F: Front> Client<F> {
    /// Moves some of a response that comes on a stream.
    pub(super) fn poll_stream(&mut self, cx: &mut Context<'_>, core: &Rc<Core>) -> Poll<Result<(), Down>> {
        let Some(Exchange { download, link: Some(Link::Stream(stream)), .. }) = &mut self.exchange else {
            return Poll::Ready(Err(Down::Silent));
        };
        if download.has_begun() {
            if let Poll::Ready(is_drained) = self.poll_body(cx, core)
                && !is_drained?
            {
                return Poll::Ready(Ok(()));
            }
            return match self.flush_back(cx, core) {
                // Nobody else waits for room for what the client has not taken of that.
                Ok(()) if !self.socket.is_out(&self.late) => Poll::Ready(Ok(())),
                Ok(()) => Poll::Pending,
                Err(down) => Poll::Ready(Err(down)),
            };
        }
        let mut head = core.take_head();
        let passed = match stream.poll_head(cx, &mut head) {
            // HTTP/2 has no such answer (RFC 9113 section 8.6), and a proxy before the gateway would take it for the end of HTTP.
            Poll::Ready(Ok(())) if head.status() == 101 => Err(Down::Failed(Reason::BackendProtocol)),
            Poll::Ready(Ok(())) if (100..200).contains(&head.status()) => {
                self.on_interim(cx, &mut head, core)
            }
            Poll::Ready(Ok(())) => {
                download.early.clear(core);
                self.begin_response(cx, &mut head, &mut [], core)
            }
            Poll::Ready(Err(lost)) => Err(match lost {
                Lost::Unprocessed => {
                    stream.let_rest(core.timers.now());
                    Down::Unprocessed
                }
                Lost::Refused => Down::Failed(Reason::BackendTls),
                Lost::Closed if download.interim == 0 => Down::Silent,
                Lost::Closed | Lost::Reset => Down::Failed(Reason::BackendClosed),
                Lost::Malformed => Down::Failed(Reason::BackendProtocol),
            }),
            Poll::Pending => {
                core.give_head(head);
                return Poll::Pending;
            }
        };
        core.give_head(head);
        Poll::Ready(passed)
    }

    /// Moves some of its body. Whether nothing more has come, so that the task is woken when it does.
    fn poll_body(&mut self, cx: &mut Context<'_>, core: &Rc<Core>) -> Poll<Result<bool, Down>> {
        let Some(Exchange { download, link: Some(Link::Stream(stream)), .. }) = &mut self.exchange else {
            return Poll::Ready(Ok(false));
        };
        let cut = |_| Down::Failed(Reason::BackendCut);
        if F::IN_PIECES
            && download.is_bare()
            && let Some(piece) = ready!(stream.poll_piece(cx)).map_err(cut)?
        {
            let is_drained = stream.is_drained();
            self.pass_piece_back(cx, piece, core)?;
            return Poll::Ready(Ok(is_drained));
        }
        let mut input = core.input.borrow_mut();
        let n = ready!(stream.poll_read(cx, &mut input)).map_err(cut)?;
        let is_drained = stream.is_drained();
        core.output.borrow_mut().clear();
        self.pass_back(cx, input.get_mut(..n).unwrap_or_default(), core)?;
        Poll::Ready(Ok(is_drained))
    }

    /// How the body of a response goes on that came on a stream, and how it is read there: its end is told beside it.
    /// `None`: it came on no stream.
    pub(super) fn told_framing(&self, head: &mut Head, framing: Framing) -> (Framing, Option<Framing>) {
        let Some(Exchange { link: Some(Link::Stream(stream)), .. }) = &self.exchange else {
            return (framing, None);
        };
        let has_none = self.to_head || matches!(head.status(), 204 | 304);
        if has_none || !stream.has_no_body() {
            return (framing, Some(if has_none { Framing::None } else { Framing::UntilClose }));
        }
        if F::IN_TURN && !head.has(Known::ContentLength) {
            head.push(Known::ContentLength.name(), b"0");
        }
        (Framing::None, Some(Framing::None))
    }
}
