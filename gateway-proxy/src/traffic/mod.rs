//! What a route does with requests beside sending them on: who may send them, how many, what browsers are told, which
//! fail on purpose. Written once, for every engine and every version of HTTP.
//!
//! ```text
//!   decide ─► admit ─► access ─► cors ─► limits ─► jwt ─► rate ─► concurrency ─► fault ─► compression, mirror ─► Admitted ─► a backend
//!               │        │ 403    │ 204,403 │ 413,431 │ 401  │ 429     │ 503          │ as told
//!               │        └────────┴─────────┴─────────┴──────┴─────────┴──────────────┴─► Respond, with headers
//!               └─ a route without any of it: one look at an `Option`
//!
//!   engine:  Admitted ── request's head, response's head ── kept to the end of the exchange
//! ```
//!
//! What must survive a change of the configuration (buckets, requests under way, counts) is a [`TrafficState`], which
//! the compiled configuration points to and does not own: one for each route, shared by all cores and by both revisions
//! of a route under a rollout.

mod admitted;
mod compress;
mod cors;
mod encoder;
mod fault;
mod fleet;
mod gcra;
mod jwt;
mod limits;
mod mirror;
mod outlook;
mod rate;
mod state;

use std::sync::Arc;

use hotswap_matcher::{RequestHead, TrafficSpec};

pub use admitted::{Admitted, Fields};
pub use compress::{Told, Wanted};
pub use encoder::Encoder;
pub use fleet::{Question, Verdict};
pub use mirror::{COPY, Copies, CopyEnd, Mark};
pub use outlook::Outlook;
pub use state::{REASONS, Slot, TrafficState};

use crate::decide::Caller;
use crate::keys::{KeyRing, Remote};
use crate::reason::Reason;

/// The traffic features of a route, with what is kept for them.
#[derive(Debug)]
pub struct RouteTraffic {
    /// The route's name, which its buckets in Redis have.
    route: Box<str>,
    spec: Arc<TrafficSpec>,
    state: Arc<TrafficState>,
    /// Tokens that are good by this content of the route.
    verified: jwt::Verified,
    /// Whose signatures count, where they are fetched.
    keys: Option<Arc<Remote>>,
}

/// Why a request does not go on.
#[derive(Debug)]
pub enum Stopped {
    /// It is refused; the answer has what stands in the box.
    Refused(Reason, Option<Box<Admitted>>),
    /// It is answered with 204 and these headers.
    Answered(Box<Admitted>),
}

impl RouteTraffic {
    /// Features, and the state of their route.
    pub fn new(route: &str, spec: Arc<TrafficSpec>, state: Arc<TrafficState>, keys: &KeyRing) -> Self {
        let source = spec.jwt.as_ref().and_then(|jwt| jwt.keys.source());
        let keys = source.map(|source| keys.of(source));
        Self { route: route.into(), spec, state, verified: jwt::Verified::default(), keys }
    }

    /// What tokens are verified by.
    fn tokens(&self) -> jwt::Tokens<'_> {
        jwt::Tokens { verified: &self.verified, fetched: self.keys.as_deref() }
    }

    /// What is asked of requests.
    pub fn spec(&self) -> &TrafficSpec {
        &self.spec
    }

    /// What outlives this configuration.
    pub fn state(&self) -> &Arc<TrafficState> {
        &self.state
    }

    /// Lets a request pass, or not. `None`: it passes, and there is nothing to remember.
    ///
    /// # Errors
    /// Why it does not pass.
    pub fn admit(
        &self,
        head: &impl RequestHead,
        caller: &Caller<'_>,
    ) -> Result<Option<Box<Admitted>>, Stopped> {
        let mut admitted = Admitted::default();
        let passed = self.pass(head, caller, &mut admitted);
        let kept = (!admitted.is_empty()).then(|| Box::new(admitted));
        match passed {
            Ok(()) => Ok(kept),
            Err(None) => Err(Stopped::Answered(kept.unwrap_or_default())),
            Err(Some(reason)) => {
                self.state.refused(reason);
                Err(Stopped::Refused(reason, kept))
            }
        }
    }

    /// What a token in a request of the gateway's own tells its backend; nothing is refused.
    pub fn accompany(&self, head: &impl RequestHead) -> Option<Box<Admitted>> {
        let mut admitted = Admitted::default();
        if let Some(jwt) = &self.spec.jwt {
            let _ = jwt::pass(jwt, self.tokens(), head, &mut admitted);
        }
        (!admitted.is_empty()).then(|| Box::new(admitted))
    }

    /// The error: the reason to refuse it, or `None` where it is answered.
    fn pass(
        &self,
        head: &impl RequestHead,
        caller: &Caller<'_>,
        admitted: &mut Admitted,
    ) -> Result<(), Option<Reason>> {
        let spec = &*self.spec;
        if let Some(access) = &spec.access {
            let client = caller.sender.client(head);
            if !limits::may_send(access, client) {
                return Err(Some(Reason::AddressDenied));
            }
        }
        if let Some(cors) = &spec.cors {
            cors::pass(cors, head, admitted)?;
        }
        if let Some(limits) = &spec.limits {
            limits::pass(limits, head, admitted)?;
        }
        if let Some(jwt) = &spec.jwt {
            jwt::pass(jwt, self.tokens(), head, admitted)?;
        }
        if let Some(limit) = &spec.rate_limit {
            rate::pass((&self.route, &self.spec, limit), &self.state, head, caller, admitted)?;
        }
        if let Some(limit) = &spec.concurrency {
            let Some(slot) = Slot::take(&self.state, limit.max_requests) else {
                admitted.tell_retry_after(u64::from(limit.retry_after_s));
                return Err(Some(Reason::ConcurrencyLimit));
            };
            admitted.hold(slot);
        }
        if let Some(fault) = &spec.fault {
            fault::pass(fault, head, caller.dice, admitted)?;
        }
        compress::pass(&self.spec, head, admitted);
        if let Some(mirror) = &spec.mirror {
            mirror::pass(mirror, head, caller, admitted);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
