//! Whether the other side of a connection is still there, asked by PING (RFC 9113, section 6.7).

use std::task::Context;

use h2::{Ping, PingPong};

/// The question. h2 has one at a time: it sends no other until the answer has come and has been taken, however late.
pub(in crate::engine::own) struct Question {
    pings: Option<PingPong>,
    is_open: bool,
}

impl Question {
    pub(in crate::engine::own) fn new(pings: Option<PingPong>) -> Self {
        Self { pings, is_open: false }
    }

    /// Asks, where no answer is waited for already. Whether one is waited for now.
    pub(in crate::engine::own) fn ask(&mut self) -> bool {
        if !self.is_open {
            self.is_open = self.pings.as_mut().is_some_and(|p| p.send_ping(Ping::opaque()).is_ok());
        }
        self.is_open
    }

    /// Whether the answer has come; once for each question. To be called in every turn of the connection.
    pub(in crate::engine::own) fn is_answered(&mut self, cx: &mut Context<'_>) -> bool {
        let has_come = self.is_open && self.pings.as_mut().is_some_and(|p| p.poll_pong(cx).is_ready());
        self.is_open &= !has_come;
        has_come
    }
}
