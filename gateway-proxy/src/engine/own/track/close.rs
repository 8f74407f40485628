//! How an exchange ends: with whose answer, for which reason, and how that is counted and logged.

use http::header::USER_AGENT;
use http::{HeaderValue, Method, StatusCode, Uri, Version};

use super::{Record, Track};
use crate::access_log::{Entry, Sent};
use crate::backend_state::Outcome;
use crate::engine::limits::{ExchangeLimits, Limit};
use crate::engine::serve::Engine as _;
use crate::engine::shared::Ended;
use crate::grpc::Code;
use crate::headers::X_FORWARDED_FOR;
use crate::reason::Reason;
use crate::rollout::Met;
use crate::trace::{self, Recording, TRACEPARENT, Told};

impl Track {
    /// A call of gRPC has ended so.
    pub(in crate::engine::own) fn ended(&mut self, code: Code) {
        if code.outcome() >= 500 {
            self.tell(Outcome::Status(code.outcome()));
        }
        self.keep_code(code);
    }

    /// The backend has ended a call of gRPC so, or the gateway in its place.
    pub(in crate::engine::own) fn keep_code(&mut self, code: Code) {
        self.note(|r| r.code = Some(code));
    }

    /// The gateway ends a call of gRPC so, at once or behind what has gone out; whose fault that is, the reason says.
    pub(in crate::engine::own) fn told(&mut self, code: Code) {
        self.note(|r| r.told = Some(code));
    }

    /// What is to go out with the backend's response.
    pub(in crate::engine::own) fn keep_cookie(&mut self, cookie: Option<HeaderValue>) {
        self.note(|r| r.set_cookie = cookie);
    }

    pub(in crate::engine::own) fn take_cookie(&mut self) -> Option<HeaderValue> {
        self.record.as_mut()?.set_cookie.take()
    }

    /// The backend's response goes out.
    pub(in crate::engine::own) fn respond(&mut self, status: u16) {
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
    pub(in crate::engine::own) fn switched(&mut self, status: u16) {
        self.total = u64::MAX;
        self.note(|r| r.switched = Some(r.began.elapsed()));
        self.respond(status);
    }

    /// An answer of the gateway's own goes out. It has no route's limits.
    pub(in crate::engine::own) fn respond_self(&mut self, status: StatusCode) {
        self.note(|r| r.status = Some(status));
        (self.total, self.try_until) = (u64::MAX, u64::MAX);
        let idle = self.core.shared().limits.client_idle_ms;
        self.limits = ExchangeLimits { first_byte: idle, idle, ..ExchangeLimits::default() };
        self.arm(Limit::Client, idle);
    }

    /// Bytes of the response's body moved on.
    pub(in crate::engine::own) fn passed(&mut self, bytes: usize) {
        self.note(|r| r.bytes += bytes as u64);
        self.moved();
    }

    /// Notes what was taken of the request's body, and gives it back.
    pub(in crate::engine::own) fn received<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        self.note(|r| r.received += data.len() as u64);
        data
    }

    /// Bytes of both bodies have gone on: of the request, and of the response.
    pub(in crate::engine::own) fn passed_straight(&mut self, up: usize, down: usize) {
        self.relayed((up, down));
        self.moved();
    }

    /// Bytes of another protocol came: from the client, and from the backend.
    pub(in crate::engine::own) fn relayed(&mut self, (up, down): (usize, usize)) {
        self.note(|r| {
            r.received += up as u64;
            r.bytes += down as u64;
        });
    }

    /// The first reason stays: what follows is its consequence.
    pub(in crate::engine::own) fn failure(&mut self, reason: Reason) {
        if self.record.as_ref().is_some_and(|r| r.reason.is_none()) {
            self.tell(reason.outcome());
            self.note(|r| r.reason = Some(reason));
        }
    }

    /// A head that could not be read is an exchange that has nothing but a reason.
    pub(in crate::engine::own) fn unreadable(&mut self, reason: Reason) {
        let mut head = self.core.take_head();
        head.clear();
        self.begin(head);
        self.failure(reason);
    }

    /// Of its head no more is known than whether it begins a call of gRPC.
    pub(in crate::engine::own) fn is_known_as(&mut self, is_call: bool) {
        self.note(|r| r.is_call = is_call);
    }

    /// The exchange is over: it is counted and logged.
    pub(in crate::engine::own) fn close(&mut self) {
        let Some(record) = self.record.take() else { return };
        let core = &self.core;
        let took = record.began.elapsed();
        // How long people stay connected says nothing of how fast anything answers, nor how they leave.
        let answered = record.switched.unwrap_or(took);
        core.metrics.ended(record.status, record.reason, answered);
        let code = record.told.or(record.code);
        if record.is_call {
            core.metrics.call_ended(code);
        }
        let (arms, in_rollout) = (record.arms, record.route.as_ref().filter(|_| !record.arms.is_empty()));
        if let Some((config, _)) = in_rollout {
            let (status, reason) = (record.status, record.reason.filter(|_| record.switched.is_none()));
            let call_failed = record.code.is_some_and(Code::is_failure);
            core.count_arms(config, arms, Ended { status, reason, call_failed, took: answered });
        }
        let met = || in_rollout.map_or_else(Met::default, |(config, _)| arms.met(config));
        let taken = record.route.as_ref().map(|(config, slot)| (config, *slot));
        let sent = core.wants_line(taken, record.reason).then(|| self.sent(&record));
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
        if let Some(sent) = sent {
            let (head, met) = (&record.head, met());
            // Any token is a method, and "-" stands for none.
            let method = if head.method().is_empty() { "-" } else { head.method() };
            core.log.log(Entry {
                sent,
                method: Method::from_bytes(method.as_bytes()).unwrap_or_default(),
                host: head.host().and_then(|h| HeaderValue::from_bytes(h).ok()),
                uri: Uri::try_from(head.path()).unwrap_or_default(),
                route: record.route.and_then(|(config, slot)| config.route(slot).cloned()),
                backend: record.backend.map(|b| b.text().clone()),
                status: record.status,
                reason: record.reason,
                code,
                took,
                bytes: record.bytes,
                met,
            });
        }
        core.give_head(record.head);
    }

    /// Who sent the request, and how, for its line in the access log.
    fn sent(&self, record: &Record) -> Sent {
        let head = &record.head;
        let chain = |visit: &mut dyn FnMut(&[u8])| head.came(X_FORWARDED_FOR.as_str()).for_each(visit);
        let version = match head.method() {
            _ if !self.is_connection => Some(Version::HTTP_2),
            // Nothing that could be read.
            "" => None,
            _ if head.is_old() => Some(Version::HTTP_10),
            _ => Some(Version::HTTP_11),
        };
        let recorded = record.recording.as_ref().map(Recording::trace_id);
        let named = || head.came(TRACEPARENT.as_str()).next().and_then(trace::named_in).map(str::to_owned);
        let user_agent = head.came(USER_AGENT.as_str()).next();
        Sent {
            client: self.core.trusted.client_of(self.origin.ip, chain),
            version,
            tls: self.origin.tls,
            user_agent: user_agent.and_then(|value| HeaderValue::from_bytes(value).ok()),
            trace: recorded.or_else(named),
            bytes: record.received,
        }
    }
}
