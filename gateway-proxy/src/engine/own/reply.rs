//! Answers of the gateway's own.

use std::task::Context;

use hotswap_h1::{Head, Known};
use http::{HeaderValue, StatusCode};

use super::client::{Client, Ending, Step};
use super::edit;
use super::front::Front;
use crate::grpc;
use crate::reason::{HEADER, Reason};

/// An answer.
#[derive(Debug)]
pub(super) enum Reply {
    /// A failure: its status, its code in a header, one line of text.
    Failure(Reason),
    /// A redirect.
    Redirect(StatusCode, HeaderValue),
    /// That there is nothing to say.
    Nothing,
}

impl Reply {
    fn status(&self) -> StatusCode {
        match self {
            Self::Failure(reason) => reason.status(),
            Self::Redirect(status, _) => *status,
            Self::Nothing => StatusCode::NO_CONTENT,
        }
    }

    fn write(&self, status: StatusCode, head: &mut Head) -> &'static str {
        head.respond(status);
        match self {
            Self::Failure(reason) => {
                head.push(HEADER.as_str(), reason.code().as_bytes());
                head.push("content-type", b"text/plain; charset=utf-8");
                reason.text()
            }
            Self::Redirect(_, location) => {
                head.push("location", location.as_bytes());
                ""
            }
            Self::Nothing => "",
        }
    }
}

impl<F: Front> Client<F> {
    /// Answers. `unread`: some of the request has not been read, so the connection can't be used again.
    pub(super) fn reply(&mut self, cx: &mut Context<'_>, reply: Reply, unread: bool) -> Step {
        let core = self.core();
        if let Reply::Failure(reason) = &reply {
            self.track.failure(*reason);
        }
        if unread {
            self.keep_alive = false;
            self.ending = Ending::Linger;
        }
        self.keep_alive &= !core.is_draining();
        let mut head = core.take_head();
        let status = match reply {
            Reply::Failure(Reason::FaultInjected) => self.track.own_status(),
            _ => None,
        };
        let mut status = status.unwrap_or(reply.status());
        let mut is_told = false;
        let text = match &reply {
            Reply::Failure(reason) if self.track.is_call() => {
                let code = grpc::code(*reason, status);
                grpc::refuse(*reason, code, &mut head);
                if *reason == Reason::FaultInjected && status.is_server_error() {
                    // It stands for a backend that fails so.
                    self.track.keep_code(code);
                } else {
                    self.track.told(code);
                }
                (status, is_told) = (StatusCode::OK, true);
                ""
            }
            reply => reply.write(status, &mut head),
        };
        core.with_date(|date| head.push(Known::Date.name(), date.as_bytes()));
        self.track.edit_response(&mut head);
        if let (Reply::Redirect(..), Some(route)) = (&reply, self.track.route()) {
            edit::apply(route.response_headers(), &mut head);
        }
        if !is_told && !matches!(reply, Reply::Nothing) {
            head.push(Known::ContentLength.name(), text.len().to_string().as_bytes());
        }
        self.say_whether_it_lasts(&mut head);
        let mut around = core.output.borrow_mut();
        around.clear();
        let text = if self.to_head { "" } else { text };
        let begun = self.socket.send_head(&head, self.old, text.is_empty(), &mut around);
        core.give_head(head);
        self.track.respond_self(status);
        // Who has the answer finds it counted.
        self.track.close();
        let (socket, late) = (&mut self.socket, &mut self.late);
        match begun.and_then(|()| socket.send(cx, late, &mut around, text.as_bytes(), true, &core)) {
            Ok(()) => Step::Flush,
            Err(_) => Step::End,
        }
    }

    /// Answers in the place of a backend, whose connection is cut.
    pub(super) fn reply_to_open(&mut self, cx: &mut Context<'_>, reply: Reply) -> Step {
        let unread = self.exchange.take().is_some_and(|e| !e.upload.is_read());
        self.reply(cx, reply, unread)
    }

    /// Tells the client whether it may send another request.
    pub(super) fn say_whether_it_lasts(&self, head: &mut Head) {
        if !F::IN_TURN {
            return;
        }
        if !self.keep_alive {
            head.push(Known::Connection.name(), b"close");
        } else if self.old {
            head.push(Known::Connection.name(), b"keep-alive");
        }
    }
}
