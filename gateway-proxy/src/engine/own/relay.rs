//! What has switched to another protocol, a client's connection or one stream of it: from the answer that says so on bytes
//! pass in both directions, unread. Each side may end by itself; the other then goes on.

use std::rc::Rc;
use std::task::{Context, Poll};

use hotswap_h1::{Head, Known};

use super::client::{Client, Ending, Step};
use super::core::Core;
use super::download::Down;
use super::edit;
use super::exchange::Exchange;
use super::front::Front;
use super::link::Link;
use super::wire::Rest;
use crate::engine::limits::Limit;
use crate::engine::order::Drain;
use crate::engine::timers::TICK_MS;
use crate::metrics::Count;
use crate::reason::Reason;

/// One direction of which something waits may stand still so many times as long as both may. The kernel takes more only when a
/// third of its buffer is free: a backend that reads a few KB in a second shows no movement for minutes.
const STUCK_IDLES: u64 = 10;

/// The open end of a relay. Dropped, it is counted no more.
pub(super) struct Relay {
    core: Rc<Core>,
    /// From the client to the backend.
    up: Way,
    /// From the backend to the client.
    down: Way,
    /// The time that is left is set for this.
    drain: Drain,
    /// Since when the backend has not taken what waits for it, in the core's ms.
    stuck_since: Option<u64>,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// Nothing more comes.
    ended: bool,
    /// The other side knows.
    told: bool,
    /// Bytes that came and are not noted yet.
    came: usize,
}

/// Which side of a direction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    From,
    To,
}

impl Relay {
    pub(super) fn new(core: Rc<Core>) -> Self {
        core.metrics.upgrades.add(1);
        core.metrics.upgraded.add(1);
        Self { core, up: Way::default(), down: Way::default(), drain: Drain::No, stuck_since: None }
    }

    /// Whether nothing has gone to the backend for very long of what waits for it, where both may stand still for `idle_ms`.
    /// What waits of a stream fills a part of its connection's window; a backend that goes on to send must not let it stand
    /// there for ever.
    fn is_stuck(&mut self, stands: bool, now: u64, idle_ms: u64) -> bool {
        let since = (stands && !self.up.ended).then(|| self.stuck_since.unwrap_or(now));
        self.stuck_since = since;
        since.is_some_and(|since| now.saturating_sub(since) >= idle_ms.saturating_mul(STUCK_IDLES))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.core.metrics.upgraded.sub(1);
    }
}

impl Way {
    fn is_over(&self) -> bool {
        self.ended && self.told
    }

    /// Moves what there is to move; whether anything did.
    fn pass<A: Front, B: Front>(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut A, &mut B),
        late: &mut Rest,
        core: &Core,
        count: &Count,
    ) -> Result<bool, Failed> {
        let mut moved = false;
        while !self.is_over() {
            if !to.is_out(late) {
                let had = (late.len(), to.sent());
                let flushed = to.poll_flush(cx, late, core);
                moved |= had != (late.len(), to.sent());
                match flushed {
                    Poll::Ready(flushed) => flushed.map_err(|_| Failed::To)?,
                    Poll::Pending => break,
                }
            }
            if self.ended {
                match to.poll_end(cx) {
                    Poll::Ready(ended) => ended.map_err(|_| Failed::To)?,
                    Poll::Pending => break,
                }
                self.told = true;
                continue;
            }
            let mut input = core.input.borrow_mut();
            match from.poll_relayed(cx, &mut input) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(n)) => {
                    moved = true;
                    count.add(n as u64);
                    self.came += n;
                    let came = input.get(..n).unwrap_or_default();
                    let mut around = core.output.borrow_mut();
                    around.clear();
                    to.send(cx, late, &mut around, came, false, core).map_err(|_| Failed::To)?;
                }
                Poll::Ready(Err(_)) => return Err(Failed::From),
            }
        }
        Ok(moved)
    }
}

impl<F: Front> Client<F> {
    /// Nothing has moved for too long, or the gateway stops: both sides get an orderly end. On a stream, a side for which
    /// something waits is cut: what it has would look whole.
    pub(super) fn end_relay(&mut self, limit: Limit) -> Step {
        self.track.failure(match limit {
            Limit::Idle => Reason::UpgradeIdle,
            _ => Reason::GatewayStopping,
        });
        if !F::IN_TURN && !self.late.is_empty() {
            self.ending = Ending::Abort;
        }
        if !F::IN_TURN
            && let Some(Exchange { upload, link: Some(Link::Line(far)), .. }) = &self.exchange
            && !far.is_out(&upload.late)
        {
            far.reset_at_end();
        }
        self.track.close();
        Step::End
    }

    /// The backend switches to the protocol that the client asked for. `bytes` came behind the head: they are of that
    /// protocol already.
    pub(super) fn switch(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Head,
        bytes: &[u8],
        core: &Rc<Core>,
    ) -> Result<(), Down> {
        let Some(exchange) = &mut self.exchange else { return Ok(()) };
        let Some(wish) = exchange.wish.as_ref().filter(|wish| wish.is_met(head)) else {
            // Nobody asked for it, or not for this.
            return Err(Down::Failed(Reason::BackendProtocol));
        };
        head.strip_response();
        head.remove(Known::ContentLength);
        self.socket.say_switched(head, wish.protocol());
        head.announce();
        if let Some(cookie) = self.track.take_cookie() {
            head.push("set-cookie", cookie.as_bytes());
        }
        self.track.edit_response(head);
        if let Some(route) = self.track.route() {
            edit::apply(route.response_headers(), head);
        }
        let mut around = core.output.borrow_mut();
        around.clear();
        self.socket.send_head(head, false, false, &mut around).map_err(|_| Down::ClientGone)?;
        self.track.switched(head.status());
        self.track.passed(bytes.len());
        core.metrics.upgraded_out.add(bytes.len() as u64);
        let sent = self.socket.send(cx, &mut self.late, &mut around, bytes, false, core);
        sent.map_err(|_| Down::ClientGone)?;
        // What the client sent ahead is of that protocol too.
        let ahead = self.early.len();
        core.metrics.upgraded_in.add(ahead as u64);
        self.track.relayed((ahead, 0));
        exchange.upload.late.put(self.early.as_mut_slice(), core);
        self.early.clear(core);
        self.keep_alive = false;
        exchange.relay = Some(Relay::new(Rc::clone(core)));
        Err(Down::Switched)
    }

    /// Lets bytes pass until both sides have ended.
    pub(super) fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let core = self.core();
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(Step::End) };
        let (Some(Link::Line(far)), Some(relay)) = (&mut exchange.link, &mut exchange.relay) else {
            return Poll::Ready(Step::End);
        };
        let near = &mut self.socket;
        let mut up =
            relay.up.pass(cx, (near, far), &mut exchange.upload.late, &core, &core.metrics.upgraded_in);
        let down = relay.down.pass(cx, (far, near), &mut self.late, &core, &core.metrics.upgraded_out);
        let waits = !far.is_out(&exchange.upload.late);
        // Nothing is read from the client then that would tell.
        if (waits || relay.up.ended) && up.is_ok() && near.is_gone(cx) {
            up = Err(Failed::From);
        }
        let is_stuck =
            !F::IN_TURN && relay.is_stuck(waits && up == Ok(false), core.timers.now(), self.track.idle_ms());
        let came = (std::mem::take(&mut relay.up.came), std::mem::take(&mut relay.down.came));
        // Many end TLS without a word: one who has got all, and its end, has not left early.
        let left = relay.down.is_over() && up.as_ref().is_err_and(|failed| *failed == Failed::From);
        let over = left || (relay.up.is_over() && relay.down.is_over());
        let ends_anew = std::mem::replace(&mut relay.drain, core.drain()) != core.drain();
        self.track.relayed(came);
        let failed = match (up, down) {
            _ if left => None,
            (Err(Failed::From), _) | (_, Err(Failed::To)) => Some(Reason::ClientGone),
            (Err(Failed::To), _) | (_, Err(Failed::From)) => Some(Reason::BackendCut),
            (Ok(up), Ok(down)) => {
                if up || down {
                    self.track.moved();
                }
                None
            }
        };
        if let Some(reason) = failed {
            if !F::IN_TURN && reason == Reason::ClientGone && !relay.up.is_over() {
                // What is cut must not look whole. Clients of HTTP/1.1 may end TLS without a word, having said all.
                far.reset_at_end();
            }
            return Poll::Ready(self.cut(reason));
        }
        if over {
            self.track.close();
            return Poll::Ready(Step::End);
        }
        if is_stuck {
            return Poll::Ready(self.end_relay(Limit::Idle));
        }
        if ends_anew {
            // A little before the core goes, so that both sides get an orderly end.
            let deadline = u64::try_from(core.drain_deadline().as_millis()).unwrap_or(u64::MAX);
            self.track.stop_within(deadline.saturating_sub((deadline / 8).max(4 * TICK_MS)));
        }
        Poll::Pending
    }
}
