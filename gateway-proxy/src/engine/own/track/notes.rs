//! What is noted of an exchange before it goes to a backend: its head, its route, and what the route's traffic features
//! have to say.

use std::rc::Rc;
use std::time::{Duration, Instant};

use hotswap_h1::Head;
use http::{HeaderName, StatusCode};

use super::{Record, Track};
use crate::config::RouteEntry;
use crate::engine::limits::{ExchangeLimits, Limit};
use crate::engine::serve::Engine as _;
use crate::engine::shared::Config;
use crate::grpc;
use crate::reason::Reason;
use crate::rollout::Arms;
use crate::trace::{Recording, TRACEPARENT};
use crate::traffic::{Admitted, Question, Verdict, Wanted};

impl Track {
    /// An exchange begins.
    pub(in crate::engine::own) fn begin(&mut self, head: Head) {
        let began = Instant::now();
        let recording = self.core.record(|| head.named(TRACEPARENT.as_str()).next());
        // Only HTTP/2 carries them, and its streams are no connections. A wish to switch is told apart by its status.
        let may_call = !self.is_connection && head.method() != "CONNECT" && head.wanted_protocol().is_none();
        let is_call = may_call && grpc::is_call(&head);
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
            told: None,
            bytes: 0,
            received: 0,
            recording,
            switched: None,
        });
        self.limits = ExchangeLimits::default();
        // Until a route sets its own.
        self.arm(Limit::Client, self.core.shared().limits.client_idle_ms);
    }

    /// The head of the request.
    pub(in crate::engine::own) fn head(&self) -> Option<&Head> {
        self.record.as_ref().map(|r| &r.head)
    }

    pub(in crate::engine::own) fn head_mut(&mut self) -> Option<&mut Head> {
        self.record.as_mut().map(|r| &mut r.head)
    }

    /// The route that took the request.
    pub(in crate::engine::own) fn route(&self) -> Option<&RouteEntry> {
        let (config, slot) = self.record.as_ref()?.route.as_ref()?;
        config.route(*slot).map(|r| &**r)
    }

    /// Whether the request is recorded for a trace.
    pub(in crate::engine::own) fn is_recorded(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.recording.is_some())
    }

    /// What is recorded for a trace, if something is.
    pub(in crate::engine::own) fn recording(&mut self) -> Option<&mut Recording> {
        self.record.as_mut()?.recording.as_mut()
    }

    pub(super) fn note(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }

    pub(in crate::engine::own) fn taken_by(
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

    pub(super) fn admitted(&self) -> Option<&Admitted> {
        self.record.as_ref()?.admitted.as_deref()
    }

    /// Whether it is a call of gRPC.
    pub(in crate::engine::own) fn is_call(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.is_call)
    }

    /// The largest body that the request may have, where the gateway allows `most`; and how long it waits on purpose.
    pub(in crate::engine::own) fn allowed(&self, most: Option<u64>) -> (Option<u64>, Option<Duration>) {
        self.admitted().map_or((most, None), |admitted| (admitted.max_body(most), admitted.delay()))
    }

    /// The status of an answer of the gateway's own, where it is not its reason's.
    pub(in crate::engine::own) fn own_status(&self) -> Option<StatusCode> {
        self.admitted()?.status()
    }

    /// Every field may follow the request's body but these, which its route takes out of heads: one of HTTP/2 does not
    /// announce them. `None`: it is of HTTP/1.1, and [`Self::trailer_names`] are those that may.
    pub(in crate::engine::own) fn all_trailers_but(&self) -> Option<Box<[u8]>> {
        let told = self.head().is_some_and(Head::is_told);
        let join =
            || self.taken_out().map(|name| name.as_str().as_bytes()).collect::<Vec<_>>().join(&b","[..]);
        told.then(|| join().into())
    }

    /// The fields that may follow the request's body: those that it says, without what its route takes out of heads.
    pub(in crate::engine::own) fn trailer_names(&self) -> Option<Box<[u8]>> {
        let names = self.head()?.trailer_names()?;
        let is = |name: &[u8], known: &HeaderName| name.eq_ignore_ascii_case(known.as_str().as_bytes());
        let may = |name: &&[u8]| !self.taken_out().any(|known| is(name.trim_ascii(), known));
        Some(names.split(|b| *b == b',').filter(may).collect::<Vec<_>>().join(&b","[..]).into())
    }

    /// What the backend does not get as the client says it: what the route's traffic features take out of the head or put
    /// there, and what its edits remove or set.
    fn taken_out(&self) -> impl Iterator<Item = &HeaderName> {
        let edits = self.route().map(RouteEntry::request_headers);
        let edited =
            edits.into_iter().flat_map(|edits| edits.remove.iter().chain(edits.set.iter().map(|e| &e.0)));
        self.admitted().into_iter().flat_map(Admitted::taken_out).chain(edited)
    }

    /// What is to be asked before the request goes on; once.
    pub(in crate::engine::own) fn take_question(&mut self) -> Option<Question> {
        self.record.as_mut()?.admitted.as_mut()?.take_question()
    }

    /// Keeps what was answered. Why the request does not go on; `None`: it does.
    pub(in crate::engine::own) fn learn(&mut self, verdict: Verdict) -> Option<Reason> {
        self.record.as_mut()?.admitted.as_mut()?.learn(verdict)
    }

    /// How the answer may be compressed.
    pub(in crate::engine::own) fn wanted_coding(&self) -> Option<&Wanted> {
        self.admitted()?.wanted()
    }

    /// Edits the head of the request as the route's traffic features want it.
    pub(in crate::engine::own) fn edit_request(&mut self) {
        self.note(|r| {
            if let Some(admitted) = &r.admitted {
                admitted.edit_request(&mut r.head);
            }
        });
    }

    /// Edits the head of a response, the backend's or the gateway's own, as the route's traffic features want it.
    pub(in crate::engine::own) fn edit_response(&self, head: &mut Head) {
        if let Some(admitted) = self.admitted() {
            admitted.edit_response(head);
        }
    }
}
