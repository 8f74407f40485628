//! A connection that has switched to another protocol: from the 101 on bytes pass in both directions, unread. Each side
//! may end by itself; the other then goes on.

use std::rc::Rc;
use std::task::{Context, Poll};

use hotswap_h1::{Head, Known};

use super::client::{Client, Step};
use super::core::Core;
use super::download::Down;
use super::edit;
use super::front::Front;
use super::link::Link;
use super::socket::Socket;
use super::wire::{self, Rest};
use crate::engine::limits::Limit;
use crate::engine::order::Drain;
use crate::engine::timers::TICK_MS;
use crate::metrics::Count;
use crate::reason::Reason;

/// The open end of a relay. Dropped, it is counted no more.
pub(super) struct Relay {
    core: Rc<Core>,
    /// From the client to the backend.
    up: Way,
    /// From the backend to the client.
    down: Way,
    /// The time that is left is set for this.
    drain: Drain,
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
        Self { core, up: Way::default(), down: Way::default(), drain: Drain::No }
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
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut Socket, &mut Socket),
        late: &mut Rest,
        core: &Core,
        count: &Count,
    ) -> Result<bool, Failed> {
        let mut moved = false;
        while !self.is_over() {
            if !wire::is_out(to, late) {
                let had = (late.len(), to.sent());
                let flushed = wire::poll_flush(to, cx, late, core);
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
            match wire::poll_fill(from, cx, &mut input) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(n)) => {
                    moved = true;
                    count.add(n as u64);
                    self.came += n;
                    let came = input.get(..n).unwrap_or_default();
                    wire::send(to, cx, late, [came, &[], &[]], core).map_err(|_| Failed::To)?;
                }
                Poll::Ready(Err(_)) => return Err(Failed::From),
            }
        }
        Ok(moved)
    }
}

impl<F: Front> Client<F> {
    /// Nothing has moved for too long, or the gateway stops: both sides get an orderly end.
    pub(super) fn end_relay(&mut self, limit: Limit) -> Step {
        self.track.failure(match limit {
            Limit::Idle => Reason::UpgradeIdle,
            _ => Reason::GatewayStopping,
        });
        self.track.close();
        Step::End
    }
}

impl Client<Socket> {
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
        let Some(protocol) = exchange.upgrade.as_deref().filter(|wanted| head.switches_to(wanted)) else {
            // Nobody asked for it, or not for this.
            return Err(Down::Failed(Reason::BackendProtocol));
        };
        head.strip_response();
        head.remove(Known::ContentLength);
        head.push(Known::Connection.name(), b"upgrade");
        head.push(Known::Upgrade.name(), protocol.as_bytes());
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
        head.write_response(false, &mut around.before);
        around.before.extend_from_slice(bytes);
        self.track.switched(head.status());
        self.track.passed(bytes.len());
        core.metrics.upgraded_out.add(bytes.len() as u64);
        let pieces = [around.before.as_slice(), &[], &[]];
        wire::send(&mut self.socket, cx, &mut self.late, pieces, core).map_err(|_| Down::ClientGone)?;
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
        let up = relay.up.pass(cx, (near, far), &mut exchange.upload.late, &core, &core.metrics.upgraded_in);
        let down = relay.down.pass(cx, (far, near), &mut self.late, &core, &core.metrics.upgraded_out);
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
            return Poll::Ready(self.cut(reason));
        }
        if over {
            self.track.close();
            return Poll::Ready(Step::End);
        }
        if ends_anew {
            // A little before the core goes, so that both sides get an orderly end.
            let deadline = u64::try_from(core.drain_deadline().as_millis()).unwrap_or(u64::MAX);
            self.track.stop_within(deadline.saturating_sub((deadline / 8).max(4 * TICK_MS)));
        }
        Poll::Pending
    }
}
