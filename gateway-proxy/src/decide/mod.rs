//! What to do with a request: pure, without I/O, a clock or an HTTP library. An engine reads a head, asks
//! here, and carries the answer out.
//!
//! ```text
//!   head ─► path sound? ─► a route takes it? ─► traffic? ─► redirect ─────────────► Respond
//!             │ no             │ no              │ no    └► pool ─► backend ─────► Forward(Plan)
//!             ▼                ▼                 ▼               │ none takes requests
//!          BAD_PATH         NO_ROUTE       RATE_LIMITED, …       ▼
//!                                                          NO_BACKEND, POOL_MISSING
//! ```
//! A request that waits on purpose is in nobody's way meanwhile: its backend is chosen when it has waited.

pub mod path;
mod redirect;
mod split;
mod targets;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use hotswap_matcher::{Address, Forward, Found, RequestHead, Timeouts};
use http::{HeaderValue, StatusCode};

pub use targets::{Chosen, Resolve, Targets};

use crate::backend_state::InFlight;
use crate::balance::Wish;
use crate::balance::wish::Sender;
use crate::config::{Compiled, PoolEntry, RouteEntry};
use crate::dice::Dice;
use crate::reason::Reason;
use crate::rollout::{Arms, Draws, Forced};
use crate::trace::Stages;
use crate::traffic::{Admitted, Mark, Stopped};

/// What is done with a request.
#[derive(Debug)]
pub enum Decision<H> {
    /// The gateway answers by itself.
    Respond(LocalReply),
    /// A backend answers.
    Forward(Plan<H>),
}

/// An answer of the gateway's own.
#[derive(Debug)]
pub enum LocalReply {
    /// Something is wrong.
    Failure {
        /// What.
        reason: Reason,
        /// The route, where one took the request.
        route: Option<usize>,
        /// The rollouts that it has met.
        arms: Arms,
        /// What the route's traffic features say to it.
        admitted: Option<Box<Admitted>>,
    },
    /// The traffic features of a route answer, with a status of 204 and without a body.
    Nothing {
        /// The route's slot.
        route: usize,
        /// The rollouts that the request has met.
        arms: Arms,
        /// What they say.
        admitted: Option<Box<Admitted>>,
    },
    /// The route redirects.
    Redirect {
        /// A 3xx.
        status: StatusCode,
        /// Where to.
        location: HeaderValue,
        /// The route's slot.
        route: usize,
        /// The rollouts that the request has met.
        arms: Arms,
        /// What the route's traffic features say to it.
        admitted: Option<Box<Admitted>>,
    },
}

/// How to forward a request. `H` is the engine's handle of a backend.
#[derive(Debug)]
pub struct Plan<H> {
    /// The route's slot.
    pub route: usize,
    /// The pool's slot.
    pub pool: usize,
    /// The rollouts that the request has met.
    pub arms: Arms,
    /// What the route's traffic features say to it; kept until the exchange is over.
    pub admitted: Option<Box<Admitted>>,
    /// The backend; where the request waits on purpose, any of the pool's: they are all reached in the same way.
    pub backend: H,
    /// Its place in the pool.
    pub place: usize,
    /// The request, counted there. `None`: it waits on purpose, and its backend is chosen when it has waited.
    pub in_flight: Option<InFlight>,
    /// What the request asks of the balancer, should another backend be chosen.
    pub wish: Wish,
    /// Goes to the client with the backend's response.
    pub set_cookie: Option<HeaderValue>,
    /// Limit for connecting.
    pub connect_timeout: Duration,
    /// Limits of the exchange.
    pub timeouts: Timeouts,
    /// The path and query that the backend sees; `None`: as sent.
    pub path: Option<String>,
}

/// How the request's address was written; what a redirect keeps comes from here.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'a> {
    /// The port that the client wrote beside the host.
    pub port: Option<u16>,
    /// The host as the matcher sees it.
    pub host: &'a str,
    /// It came with TLS.
    pub secure: bool,
}

/// Where a request comes from, and when.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The port that the client wrote beside the host.
    pub port: Option<u16>,
    /// Who sent it.
    pub sender: Sender<'a>,
    /// In ms, on the clock that all cores agree on.
    pub now: u64,
    /// Told what is reached, where the request is recorded.
    pub stages: Option<&'a Stages>,
    /// The core's, for what is drawn.
    pub dice: &'a RefCell<Dice>,
    /// What the gateway's copies tell of it.
    pub mark: &'a Mark,
    /// The test of a candidate that the request belongs to.
    pub forced: Option<&'a Forced>,
    /// It came with TLS.
    pub secure: bool,
}

/// Decides. `targets` is what the core keeps of the pools: their balance, and the handles of
/// their backends.
pub fn decide<H: Clone, R: Resolve<Handle = H>>(
    config: &Compiled,
    head: &impl RequestHead,
    caller: &Caller<'_>,
    targets: &mut Targets<H>,
    resolve: &mut R,
) -> Decision<H> {
    if config.revision().is_none() {
        return failure(Reason::NoConfig);
    }
    if path::has_dot_segment(head.path().as_bytes()) {
        return failure(Reason::BadPath);
    }
    let mut draws = Draws::new(config, head, caller);
    let found = if config.has_two_arms() {
        config.table().find_where(head, &mut |entry| draws.admits(entry))
    } else {
        config.table().find(head)
    };
    let Some(found) = found else {
        return failure(Reason::NoRoute);
    };
    if let Some(stages) = caller.stages {
        stages.matched();
    }
    let route = found.route.part().and_then(|part| draws.draw(part.rollout));
    let mut arms = Arms { route, ..Arms::default() };
    let admitted = match admit(&found, head, caller) {
        Ok(admitted) => admitted,
        Err(stopped) => {
            draws.end(arms);
            return stop(stopped, found.route.slot(), arms);
        }
    };
    let slot = found.route.pool().or_else(|| split::choose(config, found.route, head, caller));
    let pool = slot.and_then(|slot| draws.pool(slot, &mut arms));
    draws.end(arms);
    match found.route.forward() {
        Some(forward) => {
            let met = Met { arms, admitted };
            to_backend(&found, forward, met, pool, (head, caller), targets, resolve)
        }
        None => to_elsewhere(&found, Met { arms, admitted }, head, caller),
    }
}

/// What a request has met so far.
struct Met {
    arms: Arms,
    admitted: Option<Box<Admitted>>,
}

/// Asks the route's traffic features. The gateway's own tests and copies of requests are not asked about.
fn admit(
    found: &Found<'_, RouteEntry>,
    head: &impl RequestHead,
    caller: &Caller<'_>,
) -> Result<Option<Box<Admitted>>, Stopped> {
    match found.route.traffic() {
        None => Ok(None),
        Some(traffic) if caller.forced.is_none() => traffic.admit(head, caller),
        Some(traffic) => Ok(traffic.accompany(head)),
    }
}

fn stop<H>(stopped: Stopped, route: usize, arms: Arms) -> Decision<H> {
    Decision::Respond(match stopped {
        Stopped::Refused(reason, admitted) => {
            LocalReply::Failure { reason, route: Some(route), arms, admitted }
        }
        Stopped::Answered(admitted) => LocalReply::Nothing { route, arms, admitted: Some(admitted) },
    })
}

/// A backend answers.
fn to_backend<H: Clone, R: Resolve<Handle = H>>(
    found: &Found<'_, RouteEntry>,
    forward: &Forward,
    met: Met,
    pool: Option<(usize, &Arc<PoolEntry>)>,
    (head, caller): (&impl RequestHead, &Caller<'_>),
    targets: &mut Targets<H>,
    resolve: &mut R,
) -> Decision<H> {
    let route = found.route.slot();
    let Met { arms, admitted } = met;
    let Some((slot, pool)) = pool else {
        return failed(Reason::PoolMissing, route, arms, admitted);
    };
    let wish = Wish::of(&pool.backends().balancing, pool.sticky(), head, caller.sender);
    let waits = admitted.as_ref().is_some_and(|admitted| admitted.is_held());
    let chosen = if waits {
        targets.any(slot, pool, resolve).map(|backend| (backend, 0, None, None))
    } else {
        let picked = targets.pick(slot, pool, &wish, &|_| false, resolve, caller.now);
        picked.map(|c| (c.backend, c.place, Some(c.in_flight), c.set_cookie))
    };
    let (backend, place, in_flight, set_cookie) = match chosen {
        Ok(chosen) => chosen,
        Err(reason) => return failed(reason, route, arms, admitted),
    };
    let path = forward
        .rewrite
        .path
        .as_ref()
        .map(|rewrite| path::rewritten(rewrite, head.path(), head.query(), found.prefix_len));
    Decision::Forward(Plan {
        route,
        pool: slot,
        arms,
        admitted,
        backend,
        place,
        in_flight,
        wish,
        set_cookie,
        connect_timeout: pool.backends().connect_timeout,
        timeouts: forward.timeouts,
        path,
    })
}

/// The route redirects.
fn to_elsewhere<H>(
    found: &Found<'_, RouteEntry>,
    Met { arms, admitted }: Met,
    head: &impl RequestHead,
    caller: &Caller<'_>,
) -> Decision<H> {
    let route = found.route.slot();
    let authority = Authority { port: caller.port, host: head.host(), secure: caller.secure };
    match found.route.redirect().and_then(|r| redirect::reply(r, head, authority, found.prefix_len)) {
        Some((status, location)) => {
            Decision::Respond(LocalReply::Redirect { status, location, route, arms, admitted })
        }
        None => failed(Reason::BadRequest, route, arms, admitted),
    }
}

/// No route has taken the request.
fn failure<H>(reason: Reason) -> Decision<H> {
    let arms = Arms::default();
    Decision::Respond(LocalReply::Failure { reason, route: None, arms, admitted: None })
}

/// A route has, and it fails.
fn failed<H>(reason: Reason, route: usize, arms: Arms, admitted: Option<Box<Admitted>>) -> Decision<H> {
    Decision::Respond(LocalReply::Failure { reason, route: Some(route), arms, admitted })
}

impl<H> Decision<H> {
    /// The backend, where one is chosen by now.
    pub fn chosen(&self) -> Option<&H> {
        match self {
            Self::Forward(plan) => plan.in_flight.as_ref().map(|_| &plan.backend),
            Self::Respond(_) => None,
        }
    }
}

/// A handle that is the address itself, for engines that need no more, and for tests.
#[derive(Debug, Default)]
pub struct ByAddress;

impl Resolve for ByAddress {
    type Handle = Address;

    fn resolve(&mut self, address: &Address) -> Address {
        address.clone()
    }
}

#[cfg(test)]
mod cores_tests;
#[cfg(test)]
mod tests;
