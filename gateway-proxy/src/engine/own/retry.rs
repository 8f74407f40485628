//! Tries after the first: what of the request is kept for them, the pause, and how the next one begins. Nothing of a
//! response has gone to the client until then.

use std::future::Future as _;
use std::task::{Context, Poll};

use super::client::{Client, Step};
use super::exchange::Exchange;
use super::front::Front;
use super::reply::Reply;
use super::wire;
use crate::backend_state::Outcome;
use crate::engine::retry::{self, Tries};
use crate::reason::Reason;
use hotswap_h1::Head;
use hotswap_h1::framing::Framing;

impl Exchange {
    /// Keeps what goes to the backend of the body, while another try may need it.
    pub(super) fn keep(&mut self, pieces: [&[u8]; 3]) {
        if !self.keeps {
            return;
        }
        let len = self.kept.len() + pieces.iter().map(|p| p.len()).sum::<usize>();
        let most = self.tries.as_ref().map_or(0, Tries::most);
        if len > most {
            // It is too large: this try is the last.
            self.tries = None;
        }
        if len > most.max(self.spare()) {
            self.keep_no_more();
            return;
        }
        pieces.iter().for_each(|piece| self.kept.extend_from_slice(piece));
    }

    /// What was sent is sent no more.
    pub(super) fn keep_no_more(&mut self) {
        (self.kept, self.keeps, self.tries) = (Vec::new(), false, None);
    }
}

impl<F: Front> Client<F> {
    /// A try has failed: there is another, or the client is told.
    pub(super) fn fail(&mut self, cx: &mut Context<'_>, reason: Reason) -> Step {
        if retry::may_pass(reason) && self.try_again(reason.outcome(), None) {
            return Step::Pause;
        }
        self.reply_to_open(cx, Reply::Failure(reason))
    }

    /// Whether a response is not passed on, but followed by another try. `status`: what it comes to; `came`: bytes of its
    /// body.
    pub(super) fn is_retried(
        &mut self,
        head: &Head,
        status: u16,
        (framing, lasts): (Framing, bool),
        came: usize,
    ) -> bool {
        let core = self.core();
        let patience = head.named("retry-after").next().and_then(retry::patience);
        let link = self.exchange.as_mut().and_then(|e| e.link.take());
        let again = self.try_again(Outcome::Status(status), patience);
        let (Some(exchange), Some(link)) = (&mut self.exchange, link) else { return again };
        let whole = match framing {
            Framing::None => came == 0,
            Framing::Length(length) => length == came as u64,
            Framing::Chunked | Framing::UntilClose => false,
        };
        if !again {
            exchange.link = Some(link);
        } else if lasts && whole && exchange.upload.is_out() {
            exchange.backend.checkin(link, core.timers.now());
        }
        again
    }

    /// Ends a try, and lets the pause before the next begin; false: there is none.
    fn try_again(&mut self, failed: Outcome, patience: Option<u64>) -> bool {
        let core = self.core();
        let Some(exchange) = self.exchange.as_mut().filter(|e| !e.download.is_seen()) else { return false };
        let Some(pause) = exchange.tries.as_mut().and_then(|t| core.another_try(t, patience)) else {
            return false;
        };
        (exchange.link, exchange.opening) = (None, None);
        exchange.again = false;
        exchange.download.restart(&core);
        exchange.pause = Some(Box::pin(tokio::time::sleep(pause)));
        self.track.end_try(failed);
        self.track.wait_for_connection();
        true
    }

    /// Waits for the next try to begin.
    pub(super) fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(Step::End) };
        match exchange.asking.as_mut().map(|asking| asking.as_mut().poll(cx)) {
            Some(Poll::Pending) => {
                return match self.watch(cx) {
                    Ok(()) => Poll::Pending,
                    Err(fault) => Poll::Ready(self.on_fault(cx, fault)),
                };
            }
            Some(Poll::Ready(verdict)) => {
                exchange.asking = None;
                if let Some(reason) = self.track.learn(verdict) {
                    return Poll::Ready(self.reply_to_open(cx, Reply::Failure(reason)));
                }
                exchange.copy_body(&[], &self.track.core);
            }
            None => {}
        }
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(Step::End) };
        match exchange.pause.as_mut().map(|pause| pause.as_mut().poll(cx)) {
            Some(Poll::Pending) => match self.watch(cx) {
                Ok(()) => Poll::Pending,
                Err(fault) => Poll::Ready(self.on_fault(cx, fault)),
            },
            Some(Poll::Ready(())) | None if std::mem::take(&mut exchange.held) => {
                Poll::Ready(self.send_held(cx))
            }
            Some(Poll::Ready(())) | None => Poll::Ready(self.send_again(cx)),
        }
    }

    /// Sends a request that has waited on purpose.
    fn send_held(&mut self, cx: &mut Context<'_>) -> Step {
        let core = self.core();
        let Some(exchange) = &mut self.exchange else { return Step::End };
        exchange.pause = None;
        if let Some(later) = exchange.later.take() {
            let chosen = match core.choose_now(&later) {
                Ok(chosen) => chosen,
                Err(reason) => return self.reply_to_open(cx, Reply::Failure(reason)),
            };
            self.track.begin_try(&chosen.backend, chosen.in_flight);
            self.track.keep_cookie(chosen.set_cookie);
            exchange.tries.iter_mut().for_each(|tries| tries.begin_at(chosen.place));
            exchange.backend = chosen.backend;
        }
        // The backend has not kept it waiting.
        self.track.begin_anew();
        let step = exchange.send_first(cx, [&[], &[], &[]], &core);
        match step {
            Step::Exchange => exchange.arm(&mut self.track),
            _ => self.track.wait_for_connection(),
        }
        step
    }

    fn send_again(&mut self, cx: &mut Context<'_>) -> Step {
        let core = self.core();
        let Some(exchange) = &mut self.exchange else { return Step::End };
        exchange.pause = None;
        self.track.tell_time_left();
        exchange.upload.stop(&core);
        let Some(tries) = &mut exchange.tries else { return Step::End };
        let chosen = match core.choose_again(tries) {
            Ok(chosen) => chosen,
            Err(reason) => return self.reply_to_open(cx, Reply::Failure(reason)),
        };
        self.track.begin_try(&chosen.backend, chosen.in_flight);
        self.track.keep_cookie(chosen.set_cookie);
        exchange.backend = chosen.backend;
        let mut around = core.output.borrow_mut();
        around.clear();
        exchange.write_anew(self.track.head(), &mut around.before);
        let step = exchange.send_first(cx, wire::pieces(&mut around, &[]), &core);
        match step {
            Step::Exchange => exchange.arm(&mut self.track),
            _ => self.track.wait_for_connection(),
        }
        step
    }
}
