//! What is noted of an exchange, for the log, the metrics, and a second try.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Uri};

use super::exchange::Again;
use super::{Backend, Core};
use crate::access_log::{Entry, Sent};
use crate::backend_state::{InFlight, Outcome, clock};
use crate::config::RouteEntry;
use crate::engine::shared::{Config, Ended, Peer};
use crate::headers::X_FORWARDED_FOR;
use crate::reason::Reason;
use crate::rollout::{Arms, Met};
use crate::trace::{self, Recording, TRACEPARENT, Told};
use crate::traffic::{Admitted, Question, Verdict};

/// The notes of a connection: there is one exchange at a time.
#[derive(Default)]
pub(super) struct Notes {
    record: RefCell<Option<Record>>,
    /// The request, where it may be sent once more.
    again: RefCell<Option<Again>>,
}

struct Record {
    began: Instant,
    sent: Sent,
    method: Method,
    host: Option<HeaderValue>,
    uri: Uri,
    route: Option<(Config, usize)>,
    arms: Arms,
    admitted: Option<Box<Admitted>>,
    backend: Option<Backend>,
    in_flight: Option<InFlight>,
    /// Goes out with the backend's response.
    set_cookie: Option<HeaderValue>,
    status: Option<StatusCode>,
    reason: Option<Reason>,
    bytes: u64,
    recording: Option<Recording>,
}

/// Who sends a request, and how; what of its body is taken is counted later.
pub(super) fn sent(core: &Core, peer: &Peer, parts: &Parts) -> Sent {
    let chain = |visit: &mut dyn FnMut(&[u8])| {
        parts.headers.get_all(X_FORWARDED_FOR).iter().for_each(|line| visit(line.as_bytes()));
    };
    let traceparent = parts.headers.get(TRACEPARENT).map(HeaderValue::as_bytes);
    Sent {
        version: Some(parts.version),
        client: core.trusted.client_of(peer.ip, chain),
        user_agent: parts.headers.get(USER_AGENT).cloned(),
        trace: traceparent.and_then(trace::named_in).map(str::to_owned),
        ..unread(peer)
    }
}

/// Who sends a request whose head could not be read.
fn unread(peer: &Peer) -> Sent {
    let (client, tls) = (peer.ip, peer.entered.tls);
    Sent { client, version: None, tls, user_agent: None, trace: None, bytes: 0 }
}

impl Notes {
    /// An exchange begins.
    pub(super) fn begin(&self, sent: Sent, method: &Method, uri: &Uri, recording: Option<Recording>) {
        *self.record.borrow_mut() = Some(Record {
            began: Instant::now(),
            sent,
            method: method.clone(),
            host: None,
            uri: uri.clone(),
            route: None,
            arms: Arms::default(),
            admitted: None,
            backend: None,
            in_flight: None,
            set_cookie: None,
            status: None,
            reason: None,
            bytes: 0,
            recording,
        });
    }

    /// Does something with what is recorded for a trace, if something is.
    pub(super) fn with_recording<T>(&self, act: impl FnOnce(&mut Recording) -> T) -> Option<T> {
        self.record.borrow_mut().as_mut()?.recording.as_mut().map(act)
    }

    fn note(&self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.record.borrow_mut().as_mut() {
            change(record);
        }
    }

    pub(super) fn host(&self, host: Option<HeaderValue>) {
        self.note(|r| r.host = host);
    }

    pub(super) fn route(&self, config: &Config, slot: usize, arms: Arms, admitted: Option<Box<Admitted>>) {
        self.note(|r| {
            r.route = Some((Rc::clone(config), slot));
            r.arms = arms;
            r.admitted = admitted;
        });
    }

    /// Looks at what the route's traffic features say to the request, if they say anything.
    pub(super) fn with_admitted<T>(&self, look: impl FnOnce(&Admitted) -> T) -> Option<T> {
        self.record.borrow().as_ref()?.admitted.as_deref().map(look)
    }

    /// What is to be asked before the request goes on; once.
    pub(super) fn take_question(&self) -> Option<Question> {
        self.record.borrow_mut().as_mut()?.admitted.as_mut()?.take_question()
    }

    /// Keeps what was answered. Why the request does not go on; `None`: it does.
    pub(super) fn learn(&self, verdict: Verdict) -> Option<Reason> {
        self.record.borrow_mut().as_mut()?.admitted.as_mut()?.learn(verdict)
    }

    pub(super) fn backend(&self, backend: &Backend, in_flight: InFlight) {
        self.note(|r| {
            r.backend = Some(Rc::clone(backend));
            r.in_flight = Some(in_flight);
        });
    }

    /// What is to go out with the backend's response.
    pub(super) fn keep_cookie(&self, cookie: Option<HeaderValue>) {
        self.note(|r| r.set_cookie = cookie);
    }

    pub(super) fn take_cookie(&self) -> Option<HeaderValue> {
        self.record.borrow_mut().as_mut()?.set_cookie.take()
    }

    /// What came of a try that is followed by another. How long the head of its response took, where there is one.
    pub(super) fn end_try(&self, outcome: Outcome, now: u64) -> Option<Duration> {
        let in_flight = self.record.borrow_mut().as_mut()?.in_flight.take()?;
        in_flight.report(outcome, now).filter(|_| matches!(outcome, Outcome::Status(_)))
    }

    /// `by_backend`: the time, in ms, where it is the backend's and not the gateway's own. How long it took then.
    pub(super) fn status(&self, status: StatusCode, by_backend: Option<u64>) -> Option<Duration> {
        let mut took = None;
        self.note(|r| {
            r.status = Some(status);
            if let (Some(recording), Some(_)) = (&mut r.recording, by_backend) {
                recording.answered(status);
            }
            if let (Some(in_flight), Some(now)) = (&r.in_flight, by_backend) {
                took = in_flight.report(Outcome::Status(status.as_u16()), now);
            }
        });
        self.keep_again(None);
        took
    }

    /// Bytes of the request's body were taken.
    pub(super) fn received(&self, bytes: usize) {
        self.note(|r| r.sent.bytes += bytes as u64);
    }

    pub(super) fn moved(&self, bytes: usize) {
        self.note(|r| r.bytes += bytes as u64);
    }

    /// The first reason stays: what follows is its consequence.
    pub(super) fn failure(&self, reason: Reason) {
        self.note(|r| {
            if r.reason.is_none() {
                r.reason = Some(reason);
                if let Some(in_flight) = &r.in_flight {
                    in_flight.report(reason.outcome(), clock::now_ms());
                }
            }
        });
    }

    /// The reason noted so far.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.record.borrow().as_ref().and_then(|r| r.reason)
    }

    /// Shows the route that took the request.
    pub(super) fn with_route(&self, look: impl FnOnce(&RouteEntry)) {
        if let Some(record) = self.record.borrow().as_ref()
            && let Some((config, slot)) = &record.route
            && let Some(route) = config.route(*slot)
        {
            look(route);
        }
    }

    pub(super) fn keep_again(&self, again: Option<Again>) {
        *self.again.borrow_mut() = again;
    }

    pub(super) fn take_again(&self) -> Option<Again> {
        self.again.borrow_mut().take()
    }

    /// Whether an exchange is under way.
    pub(super) fn is_open(&self) -> bool {
        self.record.borrow().is_some()
    }

    /// The exchange is over: it is counted and logged.
    pub(super) fn close(&self, core: &Core) {
        let Some(record) = self.record.borrow_mut().take() else { return };
        let took = record.began.elapsed();
        core.metrics.ended(record.status, record.reason, took);
        let (arms, in_rollout) = (record.arms, record.route.as_ref().filter(|_| !record.arms.is_empty()));
        if let Some((config, _)) = in_rollout {
            let (status, reason) = (record.status, record.reason);
            core.count_arms(config, arms, Ended { status, reason, call_failed: false, took });
        }
        let met = || in_rollout.map_or_else(Met::default, |(config, _)| arms.met(config));
        let mut sent = record.sent;
        if let Some(recording) = &record.recording {
            sent.trace = Some(recording.trace_id());
        }
        if let Some(recording) = record.recording {
            recording.ended(&Told {
                method: record.method.as_str(),
                path: record.uri.path(),
                host: record.host.as_ref().map(HeaderValue::as_bytes),
                route: record.route.as_ref().and_then(|(config, slot)| config.route(*slot)).map(|r| &**r),
                backend: record.backend.as_ref().map(|b| &**b.text()),
                status: record.status,
                reason: record.reason,
                met: met(),
            });
        }
        let taken = record.route.as_ref().map(|(config, slot)| (config, *slot));
        if core.wants_line(taken, record.reason) {
            let met = met();
            core.log.log(Entry {
                sent,
                method: record.method,
                host: record.host,
                uri: record.uri,
                route: record.route.and_then(|(config, slot)| config.route(slot).cloned()),
                backend: record.backend.map(|b| b.text().clone()),
                status: record.status,
                reason: record.reason,
                code: None,
                took,
                bytes: record.bytes,
                met,
            });
        }
    }

    /// A head that could not be read ends as an exchange that has nothing but a reason.
    pub(super) fn unreadable(&self, core: &Core, peer: &Peer, status: Option<StatusCode>, reason: Reason) {
        // Any token is a method, and this one stands for none.
        self.begin(unread(peer), &Method::from_bytes(b"-").unwrap_or_default(), &Uri::default(), None);
        self.note(|r| r.status = status);
        self.failure(reason);
        self.close(core);
    }
}
