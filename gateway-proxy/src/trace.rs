//! What is recorded of a request for its trace: nothing where no collector is named, and for a request that is not
//! sampled one draw. A recorded one has four spans:
//!
//! | span | from | to |
//! |---|---|---|
//! | `gateway.request` | the head of the request has come | the last byte of the response has gone |
//! | `gateway.match` | the same | its route is found |
//! | `gateway.select` | its route is found | its backend is chosen |
//! | `gateway.proxy` | its backend is chosen | the head of the response has come from there, after however many tries |
//!
//! The backend's `traceparent` names `gateway.proxy`. Where a request is not recorded, its `traceparent` goes on as it
//! came.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use hotswap_core::{Clock as _, SystemClock};
use hotswap_matcher::Routed as _;
use hotswap_telemetry::trace::{Attribute, RequestTrace, RequestTraces};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::config::RouteEntry;
use crate::reason::Reason;
use crate::rollout::Met;

/// The header of W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// When a decision reached its stages.
#[derive(Debug)]
pub struct Stages {
    began: SystemTime,
    matched: Cell<Option<SystemTime>>,
}

impl Stages {
    /// A route takes the request.
    pub(crate) fn matched(&self) {
        self.matched.set(Some(now()));
    }
}

/// A request that is recorded.
#[derive(Debug)]
pub(crate) struct Recording(Box<RequestTrace>);

impl Recording {
    /// Of a request whose `traceparent` is this, if it is to be recorded; `draw` is a random number.
    pub(crate) fn begin(traces: &RequestTraces, traceparent: Option<&[u8]>, draw: u64) -> Option<Self> {
        let traceparent = traceparent.and_then(|value| std::str::from_utf8(value).ok());
        traces.begin(traceparent, draw, now()).map(|trace| Self(Box::new(trace)))
    }

    /// The trace, 32 hexadecimal digits.
    pub(crate) fn trace_id(&self) -> String {
        self.0.trace_id()
    }

    /// A decision begins.
    pub(crate) fn stages() -> Stages {
        Stages { began: now(), matched: Cell::new(None) }
    }

    /// The decision is made: with a backend's address, where one was chosen.
    pub(crate) fn decided(&self, stages: &Stages, backend: Option<&str>) {
        let now = now();
        let matched = stages.matched.get();
        self.0.did("gateway.match", (stages.began, matched.unwrap_or(now)), vec![]);
        if let Some(matched) = matched {
            let backend = backend.map(|b| Attribute::new("hotswap.backend", b.to_owned()));
            self.0.did("gateway.select", (matched, now), backend.into_iter().collect());
        }
    }

    /// The request goes to a backend: with this `traceparent`.
    pub(crate) fn sent(&mut self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.0.attempt(now(), vec![])).ok()
    }

    /// The head of a backend's response has come.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.0.attempted(now(), Some(status.as_u16()), None);
    }

    /// The exchange is over.
    pub(crate) fn ended(mut self, told: &Told<'_>) {
        let trace = &mut self.0;
        let route = told.route.map(|r| r.name().to_string());
        let texts = [
            ("http.request.method", Some(told.method.to_owned())),
            ("url.path", Some(told.path.to_owned())),
            ("server.address", told.host.map(|h| String::from_utf8_lossy(h).into_owned())),
            ("hotswap.route", route),
            ("hotswap.backend", told.backend.map(str::to_owned)),
            ("hotswap.rollout", told.met.rollouts()),
            ("hotswap.arm", told.met.arms()),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                trace.say(Attribute::new(name, text));
            }
        }
        let status = told.status.map(|status| status.as_u16());
        self.0.ended(now(), status, told.reason.map(Reason::code));
    }
}

/// The trace that a `traceparent` names, 32 hexadecimal digits; `None`: it names none.
pub(crate) fn named_in(traceparent: &[u8]) -> Option<&str> {
    // Version, trace, span, flags; of later versions more may follow.
    let text = std::str::from_utf8(traceparent).ok()?;
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let (version, id, span) = (parts.next()?, parts.next()?, parts.next()?);
    let is_one = version.len() == 2
        && is_hex(version)
        && version != "ff"
        && id.len() == 32
        && is_hex(id)
        && id.bytes().any(|b| b != b'0')
        && span.len() == 16
        && is_hex(span);
    is_one.then_some(id)
}

/// What is known of an exchange at its end.
pub(crate) struct Told<'a> {
    pub(crate) method: &'a str,
    /// Without the query: secrets may stand there.
    pub(crate) path: &'a str,
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) route: Option<&'a RouteEntry>,
    pub(crate) backend: Option<&'a str>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) reason: Option<Reason>,
    pub(crate) met: Met,
}

fn now() -> SystemTime {
    let us = u64::try_from(SystemClock.now().0).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_micros(us)
}

#[cfg(test)]
mod tests {
    use super::named_in;

    #[test]
    fn a_traceparent_names_its_trace_and_anything_else_none() {
        const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for flags in ["00", "01", "01-and-more"] {
            let text = format!("00-{ID}-00f067aa0ba902b7-{flags}");
            assert_eq!(named_in(text.as_bytes()), Some(ID), "{text}");
        }
        for text in [
            "",
            ID,
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473\"-00f067aa0ba902b7-01",
        ] {
            assert_eq!(named_in(text.as_bytes()), None, "{text}");
        }
    }
}
