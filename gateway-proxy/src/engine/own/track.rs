//! What is kept of a connection and its exchange beside the bytes: the deadline, and the notes that the log and
//! the metrics need. Dropped in the middle of an exchange, it says that the client went away.

use std::rc::Rc;
use std::time::{Duration, Instant};

use hotswap_h1::Head;
use http::{HeaderValue, Method, StatusCode, Uri};

use super::core::{Backend, Core};
use crate::access_log::Entry;
use crate::backend_state::{InFlight, Outcome};
use crate::config::RouteEntry;
use crate::engine::limits::{ExchangeLimits, Limit};
use crate::engine::serve::Engine as _;
use crate::engine::shared::{Config, Ended};
use crate::grpc::{self, Code};
use crate::reason::Reason;
use crate::rollout::{Arms, Met};
use crate::trace::{Recording, TRACEPARENT, Told};
use crate::traffic::{Admitted, Question, Verdict, Wanted};

/// The deadline and the notes of a connection.
pub(super) struct Track {
    pub(super) core: Rc<Core>,
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
    bytes: u64,
    recording: Option<Recording>,
    /// How long it took until the connection switched to another protocol.
    switched: Option<Duration>,
}

impl Track {
    /// Of a connection.
    pub(super) fn new(core: Rc<Core>) -> Self {
        core.opened();
        Self::of(core, true)
    }

    /// Of a stream, which is no connection, but is waited for as one.
    pub(super) fn of_stream(core: Rc<Core>) -> Self {
        core.entering();
        Self::of(core, false)
    }

    fn of(core: Rc<Core>, is_connection: bool) -> Self {
        let slot = core.timers.take_slot();
        let limits = ExchangeLimits::default();
        let mut track = Self {
            core,
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

    // === the deadline ===

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

    // === the notes ===

    /// An exchange begins.
    pub(super) fn begin(&mut self, head: Head) {
        let began = Instant::now();
        let recording = self.core.record(|| head.named(TRACEPARENT.as_str()).next());
        // Only HTTP/2 carries them, and its streams are no connections.
        let is_call = !self.is_connection && grpc::is_call(&head);
        self.record = Some(Record {
            began,
            head,
            route: None,
            arms: Arms::default(),
            admitted: None,
            backend: None,
            in_flight: None,
            set_cookie: None,
            status: None,
            reason: None,
            is_call,
            code: None,
            bytes: 0,
            recording,
            switched: None,
        });
        self.limits = ExchangeLimits::default();
        // Until a route sets its own.
        self.arm(Limit::Client, self.core.shared().limits.client_idle_ms);
    }

    /// The head of the request.
    pub(super) fn head(&self) -> Option<&Head> {
        self.record.as_ref().map(|r| &r.head)
    }

    pub(super) fn head_mut(&mut self) -> Option<&mut Head> {
        self.record.as_mut().map(|r| &mut r.head)
    }

    /// The route that took the request.
    pub(super) fn route(&self) -> Option<&RouteEntry> {
        let (config, slot) = self.record.as_ref()?.route.as_ref()?;
        config.route(*slot).map(|r| &**r)
    }

    /// Whether the request is recorded for a trace.
    pub(super) fn is_recorded(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.recording.is_some())
    }

    /// What is recorded for a trace, if something is.
    pub(super) fn recording(&mut self) -> Option<&mut Recording> {
        self.record.as_mut()?.recording.as_mut()
    }

    fn note(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }

    pub(super) fn taken_by(
        &mut self,
        config: &Config,
        slot: usize,
        arms: Arms,
        admitted: Option<Box<Admitted>>,
    ) {
        self.note(|r| {
            r.route = Some((Rc::clone(config), slot));
            r.arms = arms;
            r.admitted = admitted;
        });
    }

    fn admitted(&self) -> Option<&Admitted> {
        self.record.as_ref()?.admitted.as_deref()
    }

    /// Whether it is a call of gRPC.
    pub(super) fn is_call(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.is_call)
    }

    /// A call of gRPC has ended so.
    pub(super) fn ended(&mut self, code: Code) {
        if code.outcome() >= 500 {
            self.tell(Outcome::Status(code.outcome()));
        }
        self.keep_code(code);
    }

    /// The gateway answers a call of gRPC so.
    pub(super) fn keep_code(&mut self, code: Code) {
        self.note(|r| r.code = Some(code));
    }

    /// Tells the backend how long the caller of gRPC still waits.
    pub(super) fn tell_time_left(&mut self) {
        let left = self.total.saturating_sub(self.core.timers.now());
        if self.total < u64::MAX && self.is_call() {
            self.note(|r| grpc::set_timeout(&mut r.head, left));
        }
    }

    /// The largest body that the request may have, where the gateway allows `most`; and how long it waits on purpose.
    pub(super) fn allowed(&self, most: Option<u64>) -> (Option<u64>, Option<Duration>) {
        self.admitted().map_or((most, None), |admitted| (admitted.max_body(most), admitted.delay()))
    }

    /// The status of an answer of the gateway's own, where it is not its reason's.
    pub(super) fn own_status(&self) -> Option<StatusCode> {
        self.admitted()?.status()
    }

    /// Whether every field may follow the request's body: one of HTTP/2 does not announce them, and nothing is taken out
    /// of heads.
    pub(super) fn takes_any_trailer(&self) -> bool {
        self.head().is_some_and(Head::is_told) && self.admitted().is_none()
    }

    /// The fields that may follow the request's body: those that it says, without what its route's traffic features
    /// take out of heads.
    pub(super) fn trailer_names(&self) -> Option<Box<[u8]>> {
        let names = self.head()?.trailer_names()?;
        let Some(admitted) = self.admitted() else { return Some(names) };
        let may = |name: &&[u8]| !admitted.takes_out(name.trim_ascii());
        Some(names.split(|b| *b == b',').filter(may).collect::<Vec<_>>().join(&b","[..]).into())
    }

    /// What is to be asked before the request goes on; once.
    pub(super) fn take_question(&mut self) -> Option<Question> {
        self.record.as_mut()?.admitted.as_mut()?.take_question()
    }

    /// Keeps what was answered. Why the request does not go on; `None`: it does.
    pub(super) fn learn(&mut self, verdict: Verdict) -> Option<Reason> {
        self.record.as_mut()?.admitted.as_mut()?.learn(verdict)
    }

    /// How the answer may be compressed.
    pub(super) fn wanted_coding(&self) -> Option<&Wanted> {
        self.admitted()?.wanted()
    }

    /// Edits the head of the request as the route's traffic features want it.
    pub(super) fn edit_request(&mut self) {
        self.note(|r| {
            if let Some(admitted) = &r.admitted {
                admitted.edit_request(&mut r.head);
            }
        });
    }

    /// Edits the head of a response, the backend's or the gateway's own, as the route's traffic features want it.
    pub(super) fn edit_response(&self, head: &mut Head) {
        if let Some(admitted) = self.admitted() {
            admitted.edit_response(head);
        }
    }

    /// The request goes to a backend.
    pub(super) fn forward(&mut self, backend: &Backend, in_flight: InFlight, limits: ExchangeLimits) {
        self.limits = limits;
        self.total = limits.total.map_or(u64::MAX, |ms| self.core.timers.after(ms));
        self.begin_try(backend, in_flight);
    }

    /// The request goes to a backend, for the first time or anew.
    pub(super) fn begin_try(&mut self, backend: &Backend, in_flight: InFlight) {
        self.note(|r| {
            r.backend = Some(Rc::clone(backend));
            r.in_flight = Some(in_flight);
        });
        self.renew_try();
    }

    /// The request waits on purpose: until [`Track::begin_anew`] no time runs.
    pub(super) fn hold(&mut self) {
        (self.total, self.try_until) = (u64::MAX, u64::MAX);
    }

    /// The try begins only now: what was before is not the backend's doing.
    pub(super) fn begin_anew(&mut self) {
        self.note(|r| r.in_flight.iter_mut().for_each(InFlight::begin_anew));
        self.total = self.limits.total.map_or(u64::MAX, |ms| self.core.timers.after(ms));
        self.renew_try();
    }

    /// The try has its whole time again.
    fn renew_try(&mut self) {
        self.try_until = self.limits.per_try.map_or(u64::MAX, |ms| self.core.timers.after(ms));
    }

    /// What came of a try that is followed by another.
    pub(super) fn end_try(&mut self, outcome: Outcome) {
        self.tell(outcome);
        self.note(|r| r.in_flight = None);
        self.try_until = u64::MAX;
    }

    /// Tells the backend's state what came of the try.
    fn tell(&self, outcome: Outcome) {
        let in_flight = self.record.as_ref().and_then(|r| r.in_flight.as_ref());
        if let Some(took) = in_flight.and_then(|f| f.report(outcome, self.core.timers.now()))
            && matches!(outcome, Outcome::Status(_))
        {
            self.core.metrics.backends.add(took);
        }
    }

    /// What is to go out with the backend's response.
    pub(super) fn keep_cookie(&mut self, cookie: Option<HeaderValue>) {
        self.note(|r| r.set_cookie = cookie);
    }

    pub(super) fn take_cookie(&mut self) -> Option<HeaderValue> {
        self.record.as_mut()?.set_cookie.take()
    }

    /// The backend's response goes out.
    pub(super) fn respond(&mut self, status: u16) {
        self.tell(Outcome::Status(status));
        self.note(|r| {
            r.status = StatusCode::from_u16(status).ok();
            if let (Some(recording), Some(status)) = (&mut r.recording, r.status) {
                recording.answered(status);
            }
        });
        self.try_until = u64::MAX;
        self.moved();
    }

    /// The connection switches to another protocol. What follows has no limit but that it moves.
    pub(super) fn switched(&mut self, status: u16) {
        self.total = u64::MAX;
        self.note(|r| r.switched = Some(r.began.elapsed()));
        self.respond(status);
    }

    /// It ends within so many ms, whatever moves.
    pub(super) fn stop_within(&mut self, ms: u64) {
        self.total = self.core.timers.after(ms);
        self.moved();
    }

    /// An answer of the gateway's own goes out. It has no route's limits.
    pub(super) fn respond_self(&mut self, status: StatusCode) {
        self.note(|r| r.status = Some(status));
        (self.total, self.try_until) = (u64::MAX, u64::MAX);
        let idle = self.core.shared().limits.client_idle_ms;
        self.limits = ExchangeLimits { first_byte: idle, idle, ..ExchangeLimits::default() };
        self.arm(Limit::Client, idle);
    }

    /// Bytes of the response's body moved on.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.note(|r| r.bytes += bytes as u64);
        self.moved();
    }

    /// The first reason stays: what follows is its consequence.
    pub(super) fn failure(&mut self, reason: Reason) {
        if self.record.as_ref().is_some_and(|r| r.reason.is_none()) {
            self.tell(reason.outcome());
            self.note(|r| r.reason = Some(reason));
        }
    }

    /// A head that could not be read is an exchange that has nothing but a reason.
    pub(super) fn unreadable(&mut self, reason: Reason) {
        let mut head = self.core.take_head();
        head.clear();
        self.begin(head);
        self.failure(reason);
    }

    /// The exchange is over: it is counted and logged.
    pub(super) fn close(&mut self) {
        let Some(record) = self.record.take() else { return };
        let core = &self.core;
        let took = record.began.elapsed();
        // How long people stay connected says nothing of how fast anything answers, nor how they leave.
        let answered = record.switched.unwrap_or(took);
        core.metrics.ended(record.status, record.reason, answered);
        let (arms, in_rollout) = (record.arms, record.route.as_ref().filter(|_| !record.arms.is_empty()));
        if let Some((config, _)) = in_rollout {
            let (status, reason) = (record.status, record.reason.filter(|_| record.switched.is_none()));
            let call_failed = record.code.is_some_and(Code::is_failure);
            core.count_arms(config, arms, Ended { status, reason, call_failed, took: answered });
        }
        let met = || in_rollout.map_or_else(Met::default, |(config, _)| arms.met(config));
        if let Some(recording) = record.recording {
            recording.ended(&Told {
                method: record.head.method(),
                path: record.head.path(),
                host: record.head.host(),
                route: record.route.as_ref().and_then(|(config, slot)| config.route(*slot)).map(|r| &**r),
                backend: record.backend.as_ref().map(|b| &**b.text()),
                status: record.status,
                reason: record.reason,
                met: met(),
            });
        }
        let taken = record.route.as_ref().map(|(config, slot)| (config, *slot));
        if core.wants_line(taken, record.reason) {
            let (head, met) = (&record.head, met());
            // Any token is a method, and "-" stands for none.
            let method = if head.method().is_empty() { "-" } else { head.method() };
            core.log.log(Entry {
                method: Method::from_bytes(method.as_bytes()).unwrap_or_default(),
                host: head.host().and_then(|h| HeaderValue::from_bytes(h).ok()),
                uri: Uri::try_from(head.path()).unwrap_or_default(),
                route: record.route.and_then(|(config, slot)| config.route(slot).cloned()),
                backend: record.backend.map(|b| b.text().clone()),
                status: record.status,
                reason: record.reason,
                took,
                bytes: record.bytes,
                met,
            });
        }
        core.give_head(record.head);
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
