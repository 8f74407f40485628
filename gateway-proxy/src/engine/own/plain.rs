//! A connection of HTTP/1.1 as the client's side of its exchanges, one after another.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use hotswap_h1::body::Around;
use hotswap_h1::framing::{self, Framing};
use hotswap_h1::read;
use hotswap_h1::write::Coding;
use hotswap_h1::{Head, Known};
use tokio::net::TcpStream;

use super::client::{Client, Ending, Step};
use super::core::Core;
use super::front::Front;
use super::http2;
use super::reply::Reply;
use super::socket::Socket;
use super::upload::Fault;
use super::wire::{self, Rest};
use crate::engine::linger;
use crate::engine::order::Drain;
use crate::reason::Reason;

impl Front for Socket {
    const IN_TURN: bool = true;

    fn poll_head(client: &mut Client<Self>, cx: &mut Context<'_>) -> Poll<Step> {
        client.poll_next(cx)
    }

    fn lasts(head: &Head) -> bool {
        framing::lasts(head)
    }

    fn reads(framing: Framing) -> Framing {
        framing
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Fault>> {
        wire::poll_fill(self, cx, into).map(|n| match n {
            Ok(n @ 1..) => Ok(n),
            _ => Err(Fault::ClientGone),
        })
    }

    /// The runtime knows it of sockets, and asks the kernel no second time.
    fn is_drained(&self) -> bool {
        false
    }

    fn told_end(&self) -> Option<&Head> {
        None
    }

    /// What the client sends meanwhile is kept, one buffer of it.
    fn watch(client: &mut Client<Self>, cx: &mut Context<'_>) -> Result<(), Fault> {
        while client.early.is_empty() {
            let core = Rc::clone(&client.track.core);
            let mut input = core.input.borrow_mut();
            match Front::poll_read(&mut client.socket, cx, &mut input) {
                Poll::Pending => break,
                Poll::Ready(n) => client.early.put(input.get(..n?).unwrap_or_default(), &core),
            }
        }
        Ok(())
    }

    fn frame(head: &mut Head, framing: Framing, old: bool) -> (Coding, bool) {
        head.frame_response(framing, old)
    }

    fn send_interim(
        &mut self,
        cx: &mut Context<'_>,
        late: &mut Rest,
        head: &Head,
        core: &Core,
    ) -> io::Result<()> {
        let mut around = core.output.borrow_mut();
        around.clear();
        head.write_response(false, &mut around.before);
        wire::send(self, cx, late, [&around.before, &[], &[]], core)
    }

    fn send_head(&mut self, head: &Head, old: bool, _: bool, around: &mut Around) -> io::Result<()> {
        head.write_response(old, &mut around.before);
        Ok(())
    }

    fn send(
        &mut self,
        cx: &mut Context<'_>,
        late: &mut Rest,
        around: &mut Around,
        data: &[u8],
        _: bool,
        core: &Core,
    ) -> io::Result<()> {
        wire::send(self, cx, late, wire::pieces(around, data), core)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, late: &mut Rest, core: &Core) -> Poll<io::Result<()>> {
        wire::poll_flush(self, cx, late, core)
    }

    fn sent(&self) -> u64 {
        Self::sent(self)
    }

    fn plain(&self) -> Option<&TcpStream> {
        Self::plain(self)
    }

    fn is_out(&self, late: &Rest) -> bool {
        wire::is_out(self, late)
    }

    fn say_switched(&mut self, head: &mut Head, protocol: &str) {
        head.push(Known::Connection.name(), b"upgrade");
        head.push(Known::Upgrade.name(), protocol.as_bytes());
    }

    fn poll_relayed(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        wire::poll_fill(self, cx, into)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_end(self, cx)
    }

    /// HTTP/1.1 does not carry gRPC.
    fn fail(&mut self, _: &Rest, _: Reason) -> bool {
        false
    }

    fn close(self, ending: Ending, core: &Rc<Core>) {
        match ending {
            Ending::Plain | Ending::Http2 => drop(self.into_tcp()),
            Ending::Linger => linger::close(self.into_tcp(), core),
            Ending::Abort => self.reset_at_end(),
        }
    }
}

impl Client<Socket> {
    /// Waits for the next head, and begins its exchange.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let core = self.core();
        if std::mem::take(&mut self.unseen) && !self.early.is_empty() {
            if let Some(step) = self.look_at_early(cx) {
                return Poll::Ready(step);
            }
            self.track.wait_for_head();
        }
        loop {
            let mut input = core.input.borrow_mut();
            let n = match wire::poll_fill(&mut self.socket, cx, &mut input) {
                // Nothing of a request has come, and none is taken any more. What has come the runtime may not know yet, as
                // on a connection that has just been accepted.
                Poll::Pending if self.early.is_empty() && core.drain() == Drain::Stopping => {
                    return if self.socket.has_come() { Poll::Pending } else { Poll::Ready(Step::End) };
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(n @ 1..)) => n,
                Poll::Ready(_) => return Poll::Ready(Step::End),
            };
            let came = input.get_mut(..n).unwrap_or_default();
            let had = self.early.len();
            if had > 0 {
                self.early.put(came, &core);
                drop(input);
                let full = self.early.len() >= core.head_limits.bytes;
                if (full || read::may_end(self.early.as_mut_slice(), had))
                    && let Some(step) = self.look_at_early(cx)
                {
                    return Poll::Ready(step);
                }
                continue;
            }
            if let Some((step, used)) = self.look_at(cx, came) {
                self.early.put(came.get(used..).unwrap_or_default(), &core);
                return Poll::Ready(step);
            }
            self.early.put(came, &core);
            self.track.wait_for_head();
        }
    }

    fn look_at_early(&mut self, cx: &mut Context<'_>) -> Option<Step> {
        let mut early = std::mem::take(&mut self.early);
        let begun = self.look_at(cx, early.as_mut_slice());
        if let Some((_, used)) = begun {
            early.advance(used, &self.track.core);
        }
        self.early = early;
        begun.map(|(step, _)| step)
    }

    /// Begins an exchange if `bytes` begin with a whole head, or with none. How many of them were used.
    fn look_at(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Option<(Step, usize)> {
        let core = self.core();
        let mut head = core.take_head();
        match read::request(bytes, core.head_limits, &mut head) {
            Ok(Some(len)) => {
                self.is_first = false;
                let (step, used) = self.begin(cx, head, bytes.get_mut(len..).unwrap_or_default());
                Some((step, len + used))
            }
            Ok(None) => {
                core.give_head(head);
                None
            }
            // A connection of HTTP/2 begins with what is no head of HTTP/1.1, so that this costs the others nothing.
            Err(_) if self.is_first && http2::may_begin(bytes) => {
                core.give_head(head);
                http2::begins(bytes).then(|| {
                    self.ending = Ending::Http2;
                    (Step::End, 0)
                })
            }
            Err(refused) => {
                let reason = refused.into();
                core.give_head(head);
                self.track.unreadable(reason);
                (self.old, self.to_head) = (false, false);
                Some((self.reply(cx, Reply::Failure(reason), true), bytes.len()))
            }
        }
    }
}
