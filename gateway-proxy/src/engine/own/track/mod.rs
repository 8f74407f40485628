//! What is kept of a connection and its exchange beside the bytes: the deadline, and the notes that the log and
//! the metrics need. Dropped in the middle of an exchange, it says that the client went away.

mod close;
mod notes;
mod tries;

use std::rc::Rc;
use std::time::{Duration, Instant};

use hotswap_h1::Head;
use http::{HeaderValue, StatusCode};

use super::core::{Backend, Core};
use crate::backend_state::InFlight;
use crate::engine::entry::Origin;
use crate::engine::limits::{ExchangeLimits, Limit};
use crate::engine::serve::Engine as _;
use crate::engine::shared::Config;
use crate::grpc::Code;
use crate::reason::Reason;
use crate::rollout::Arms;
use crate::trace::Recording;
use crate::traffic::Admitted;

/// The deadline and the notes of a connection.
pub(super) struct Track {
    pub(super) core: Rc<Core>,
    origin: Origin,
    is_connection: bool,
    slot: usize,
    known: bool,
    limit: Limit,
    total: u64,
    /// When the try that is under way must have been answered.
    try_until: u64,
    limits: ExchangeLimits,
    record: Option<Record>,
}

/// The notes of an exchange.
struct Record {
    began: Instant,
    head: Head,
    route: Option<(Config, usize)>,
    arms: Arms,
    admitted: Option<Box<Admitted>>,
    backend: Option<Backend>,
    in_flight: Option<InFlight>,
    /// Goes out with the backend's response.
    set_cookie: Option<HeaderValue>,
    status: Option<StatusCode>,
    reason: Option<Reason>,
    /// It is a call of gRPC.
    is_call: bool,
    /// How that ended.
    code: Option<Code>,
    /// What its caller was told behind what had gone out: no word of the backend's.
    told: Option<Code>,
    /// Of the response's body, passed on.
    bytes: u64,
    /// Of the request's body, taken.
    received: u64,
    recording: Option<Recording>,
    /// How long it took until the connection switched to another protocol.
    switched: Option<Duration>,
}

impl Track {
    /// Of a connection.
    pub(super) fn new(core: Rc<Core>, origin: Origin) -> Self {
        core.opened();
        Self::of(core, origin, true)
    }

    /// Of a stream, which is no connection, but is waited for as one.
    pub(super) fn of_stream(core: Rc<Core>, origin: Origin) -> Self {
        core.entering();
        Self::of(core, origin, false)
    }

    fn of(core: Rc<Core>, origin: Origin, is_connection: bool) -> Self {
        let slot = core.timers.take_slot();
        let limits = ExchangeLimits::default();
        let mut track = Self {
            core,
            origin,
            is_connection,
            slot,
            known: false,
            limit: Limit::Client,
            total: u64::MAX,
            try_until: u64::MAX,
            limits,
            record: None,
        };
        track.go_idle();
        track
    }

    /// Says whom to wake; the connection stays one task, so once is enough.
    pub(super) fn known_by(&mut self, cx: &std::task::Context<'_>) {
        if !self.known {
            self.known = true;
            self.core.timers.set_waker(self.slot, cx.waker());
        }
    }

    /// Whether the time is up.
    pub(super) fn expired(&self) -> bool {
        self.core.timers.expired(self.slot)
    }

    /// How long an exchange may stand still, in ms.
    pub(super) fn idle_ms(&self) -> u64 {
        self.limits.idle
    }

    /// What the deadline stands for.
    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    fn arm(&mut self, limit: Limit, ms: u64) {
        let deadline = self.core.timers.after(ms);
        let first = self.total.min(self.try_until);
        if first < deadline {
            self.limit = match self.total == first {
                true if self.limits.by_caller => Limit::Deadline,
                true => Limit::Total,
                false => Limit::Try,
            };
            self.core.timers.arm(self.slot, first);
        } else {
            self.limit = limit;
            self.core.timers.arm(self.slot, deadline);
        }
    }

    /// What the connection of HTTP/2 waits for has so much time.
    pub(super) fn wait(&mut self, ms: u64) {
        self.arm(Limit::Client, ms);
    }

    /// No exchange is under way.
    pub(super) fn go_idle(&mut self) {
        (self.total, self.try_until) = (u64::MAX, u64::MAX);
        self.arm(Limit::Client, self.core.shared().limits.client_idle_ms);
    }

    /// A head has begun to come.
    pub(super) fn wait_for_head(&mut self) {
        self.arm(Limit::Client, self.core.shared().limits.client_head_ms);
    }

    /// A connection to the backend is being opened, which has a limit of its own.
    pub(super) fn wait_for_connection(&mut self) {
        self.arm(Limit::Total, u64::MAX);
    }

    /// The request is on its way, or out. The time of a try is the backend's: while the client still sends, it stands.
    pub(super) fn wait_for_response(&mut self, request_open: bool) {
        if request_open {
            self.try_until = u64::MAX;
            self.arm(Limit::Idle, self.limits.idle);
        } else {
            if self.try_until == u64::MAX {
                self.renew_try();
            }
            self.arm(Limit::FirstByte, self.limits.first_byte);
        }
    }

    /// The client keeps its body back until the backend asks for it.
    pub(super) fn wait_for_continue(&mut self, ms: u64) {
        self.arm(Limit::Continue, ms);
    }

    /// Something of a body moved.
    pub(super) fn moved(&mut self) {
        self.arm(Limit::Idle, self.limits.idle);
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        self.failure(Reason::ClientGone);
        self.close();
        self.core.timers.free_slot(self.slot);
        if self.is_connection {
            self.core.closed();
        } else {
            self.core.left();
        }
    }
}
