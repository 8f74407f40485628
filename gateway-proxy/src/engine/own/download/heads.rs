//! The heads of responses: found in what comes, interim ones passed on, the last one made ready for the client.

use std::rc::Rc;
use std::task::Context;

use hotswap_h1::body::Pipe;
use hotswap_h1::framing::{self, Framing};
use hotswap_h1::read;
use hotswap_h1::write::Coding;
use hotswap_h1::{Head, Known};

use super::{Down, LIMITS};
use crate::backend_state::Outcome;
use crate::engine::own::client::Client;
use crate::engine::own::compress::Squeeze;
use crate::engine::own::core::Core;
use crate::engine::own::edit;
use crate::engine::own::exchange::Exchange;
use crate::engine::own::front::Front;
use crate::engine::retry::{self, Tries};
use crate::grpc::Code;
use crate::reason::Reason;

/// Interim responses to one request, at most.
const MAX_INTERIM: u8 = 100;

impl<F: Front> Client<F> {
    pub(super) fn on_head_bytes(
        &mut self,
        cx: &mut Context<'_>,
        came: &mut [u8],
        core: &Rc<Core>,
    ) -> Result<(), Down> {
        let Some(exchange) = &mut self.exchange else { return Ok(()) };
        let early = &mut exchange.download.early;
        if early.is_empty() {
            return self.look_at_response(cx, came, core);
        }
        let had = early.len();
        early.put(came, core);
        if !read::may_end(early.as_mut_slice(), had) && early.len() < LIMITS.bytes {
            return Ok(());
        }
        let mut early = std::mem::take(early);
        let looked = self.look_at_response(cx, early.as_mut_slice(), core);
        early.clear(core);
        looked
    }

    /// Looks at bytes that begin with a head, or with a part of it. Interim responses come before the final one.
    fn look_at_response(
        &mut self,
        cx: &mut Context<'_>,
        mut bytes: &mut [u8],
        core: &Rc<Core>,
    ) -> Result<(), Down> {
        let mut head = core.take_head();
        loop {
            let read = read::response(bytes, LIMITS, &mut head);
            let Some(len) = read.map_err(|_| Down::Failed(Reason::BackendProtocol))? else {
                if let Some(exchange) = &mut self.exchange {
                    exchange.download.early.put(bytes, core);
                }
                break;
            };
            bytes = bytes.get_mut(len..).unwrap_or_default();
            if !(100..200).contains(&head.status()) {
                self.begin_response(cx, &mut head, bytes, core)?;
                break;
            }
            if head.status() == 101 {
                return self.switch(cx, &mut head, bytes, core);
            }
            self.on_interim(cx, &mut head, core)?;
        }
        core.give_head(head);
        Ok(())
    }

    pub(in crate::engine::own) fn on_interim(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Head,
        core: &Rc<Core>,
    ) -> Result<(), Down> {
        let Some(exchange) = &mut self.exchange else { return Ok(()) };
        exchange.download.interim += 1;
        match head.status() {
            _ if exchange.download.interim > MAX_INTERIM => {
                return Err(Down::Failed(Reason::BackendProtocol));
            }
            100 if exchange.upload.is_kept_back() => self.let_body_come(cx),
            // Nobody waits for it.
            100 => {}
            // HTTP/1.0 does not know them.
            _ if self.old => {}
            _ => {
                exchange.download.passed_interim = true;
                head.strip_response();
                head.remove(Known::ContentLength);
                head.announce();
                self.socket.send_interim(cx, &mut self.late, head, core).map_err(|_| Down::ClientGone)?;
            }
        }
        Ok(())
    }

    /// Sends the head of the response, and what came of its body.
    pub(in crate::engine::own) fn begin_response(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Head,
        bytes: &mut [u8],
        core: &Rc<Core>,
    ) -> Result<(), Down> {
        let framed = framing::of_response(head, self.to_head);
        let (framing, lasts) = framed.ok_or(Down::Failed(Reason::BackendProtocol))?;
        let wishes = !F::IN_TURN && self.exchange.as_ref().is_some_and(|e| e.wish.is_some());
        if wishes && (200..300).contains(&head.status()) {
            // To the client it would mean that the backend has switched; and a backend need not know the protocol.
            self.track.tell(Outcome::Status(head.status()));
            return Err(Down::NotSwitched);
        }
        let code = if self.track.is_call() { Code::of(head) } else { None };
        let status = code.map(Code::outcome).filter(|of| *of >= 500).unwrap_or(head.status());
        let framed = (framing, lasts);
        if retry::is_worth_it(status) && self.is_retried(head, status, framed, bytes.len()) {
            return Err(Down::Again);
        }
        if let Some(code) = code {
            self.track.ended(code);
        }
        let trailers = head.trailer_names();
        let (framing, told) = self.told_framing(head, framing);
        head.strip_response();
        head.announce();
        if !head.has(Known::Date) {
            core.with_date(|date| head.push(Known::Date.name(), date.as_bytes()));
        }
        if let Some(cookie) = self.track.take_cookie() {
            head.push("set-cookie", cookie.as_bytes());
        }
        self.track.edit_response(head);
        if let Some(route) = self.track.route() {
            edit::apply(route.response_headers(), head);
        }
        let encoder = self.squeeze(head, framing, core);
        // How long it becomes shows when it is over.
        let framed = if encoder.is_some() { Framing::Chunked } else { framing };
        let coding = self.frame(head, framed, core);
        let mut around = core.output.borrow_mut();
        around.clear();
        let over = told.unwrap_or(framing) == Framing::None;
        self.socket.send_head(head, self.old, over, &mut around).map_err(|_| Down::ClientGone)?;
        drop(around);
        self.track.respond(head.status());
        let Some(exchange) = &mut self.exchange else { return Ok(()) };
        let Exchange { download, tries, .. } = exchange;
        if status < 500 && tries.as_ref().is_some_and(Tries::is_later) {
            core.metrics.tries_saved.add(1);
        }
        let trailers = trailers.filter(|_| download.trailers);
        download.lasts = lasts;
        download.squeeze = encoder.map(|encoder| Squeeze::new(encoder, coding, core));
        // What is compressed is framed behind that.
        let coding = if download.squeeze.is_some() { Coding::Told } else { coding };
        let body = Pipe::new(told.unwrap_or(framing), coding, trailers);
        let any_trailer = told.is_some() && (!F::IN_TURN || download.trailers);
        download.body = Some(if any_trailer { body.with_any_trailer_but(Box::default()) } else { body });
        if told.is_some() {
            exchange.keep_no_more();
        }
        self.pass_back(cx, bytes, core)
    }

    /// Says in the head how the body is framed towards the client, and whether the connection lasts.
    fn frame(&mut self, head: &mut Head, framing: Framing, core: &Rc<Core>) -> Coding {
        let (coding, lasts) = F::frame(head, framing, self.old);
        self.keep_alive &= lasts && !core.is_draining();
        self.say_whether_it_lasts(head);
        coding
    }
}
