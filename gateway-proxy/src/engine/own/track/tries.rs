//! The tries of an exchange: which backend has it, how long it may take, and what came of it.

use std::rc::Rc;

use super::Track;
use crate::backend_state::{InFlight, Outcome};
use crate::engine::limits::ExchangeLimits;
use crate::engine::own::core::Backend;
use crate::grpc;

impl Track {
    /// Tells the backend how long the caller of gRPC still waits.
    pub(in crate::engine::own) fn tell_time_left(&mut self) {
        let left = self.total.saturating_sub(self.core.timers.now());
        if self.total < u64::MAX && self.is_call() {
            self.note(|r| grpc::set_timeout(&mut r.head, left));
        }
    }

    /// The request goes to a backend; `None`: which one it is is found out later.
    pub(in crate::engine::own) fn forward(
        &mut self,
        to: Option<(&Backend, InFlight)>,
        limits: ExchangeLimits,
    ) {
        self.limits = limits;
        self.total = limits.total.map_or(u64::MAX, |ms| self.core.timers.after(ms));
        if let Some((backend, in_flight)) = to {
            self.begin_try(backend, in_flight);
        }
    }

    /// The request goes to a backend, for the first time or anew.
    pub(in crate::engine::own) fn begin_try(&mut self, backend: &Backend, in_flight: InFlight) {
        self.note(|r| {
            r.backend = Some(Rc::clone(backend));
            r.in_flight = Some(in_flight);
        });
        self.renew_try();
    }

    /// The request waits on purpose: until [`Track::begin_anew`] no time runs.
    pub(in crate::engine::own) fn hold(&mut self) {
        (self.total, self.try_until) = (u64::MAX, u64::MAX);
    }

    /// The try begins only now: what was before is not the backend's doing.
    pub(in crate::engine::own) fn begin_anew(&mut self) {
        self.note(|r| r.in_flight.iter_mut().for_each(InFlight::begin_anew));
        self.total = self.limits.total.map_or(u64::MAX, |ms| self.core.timers.after(ms));
        self.renew_try();
    }

    /// The try has its whole time again.
    pub(super) fn renew_try(&mut self) {
        self.try_until = self.limits.per_try.map_or(u64::MAX, |ms| self.core.timers.after(ms));
    }

    /// What came of a try that is followed by another.
    pub(in crate::engine::own) fn end_try(&mut self, outcome: Outcome) {
        self.tell(outcome);
        self.note(|r| r.in_flight = None);
        self.try_until = u64::MAX;
    }

    /// Tells the backend's state what came of the try.
    pub(in crate::engine::own) fn tell(&self, outcome: Outcome) {
        let in_flight = self.record.as_ref().and_then(|r| r.in_flight.as_ref());
        if let Some(took) = in_flight.and_then(|f| f.report(outcome, self.core.timers.now()))
            && matches!(outcome, Outcome::Status(_))
        {
            self.core.metrics.backends.add(took);
        }
    }

    /// It ends within so many ms, whatever moves.
    pub(in crate::engine::own) fn stop_within(&mut self, ms: u64) {
        self.total = self.core.timers.after(ms);
        self.moved();
    }
}
