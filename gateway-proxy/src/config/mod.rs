//! The compiled configuration: immutable, built off the hot path, swapped in whole. A request keeps the one
//! that it began with.
//!
//! Routes and pools stand in numbered slots. A slot keeps its number for as long as its resource lives, so that
//! what a core keeps beside a pool (the balancing state, the connections) finds it again by number.
//!
//! Each configuration shares with the one before it all that did not change: the tables of hosts, the paths in
//! them, the slots. A change of one route among 100,000 copies some hundred pointers.

mod catalog;
mod live;
mod rollouts;
mod shelf;
mod split;

use std::sync::Arc;

use hotswap_core::{RouteName, SetDigest};
use hotswap_matcher::{
    Action, Arm, BackendTls, Backends, Forward, HeaderEdits, Redirect, RouteSpec, RouteTable, Routed,
};
use http::HeaderValue;

use crate::backend_state::{PoolStates, States};
use crate::balance::cookie::StickyIds;
use crate::keys::KeyRing;
use crate::rollout::{Part, Rollout};
use crate::tls::Served;
use crate::traffic::RouteTraffic;

pub use catalog::{Candidate, Catalog};
pub use live::{Live, View};
pub use split::SplitPools;

use self::shelf::Shelf;

/// A route, ready to serve.
#[derive(Debug)]
pub struct RouteEntry {
    name: RouteName,
    spec: Arc<RouteSpec>,
    slot: usize,
    /// The pool's slot; `None` for a redirect, and where requests are split.
    pool: Option<usize>,
    /// The slots of the pools that requests are split between.
    split: Option<Box<[usize]>>,
    /// The slot of the pool that copies of requests go to, or of the backends that they have for themselves.
    mirror: Option<usize>,
    /// The Host that the backend sees, where the route sets one.
    rewrite_host: Option<HeaderValue>,
    /// Its place in a rollout of the route.
    part: Option<Part>,
    /// What it does with requests beside its action.
    traffic: Option<Box<RouteTraffic>>,
}

/// A pool, or the inline backends of a route.
#[derive(Debug)]
pub struct PoolEntry {
    name: String,
    backends: Backends,
    /// Not owned: it outlives this content of the pool.
    states: Arc<PoolStates>,
    /// Where the pool keeps clients with their backends.
    sticky: Option<StickyIds>,
    /// Its place in a rollout of the pool.
    part: Option<Part>,
    /// It is no candidate, nor the inline backends of one.
    is_live: bool,
}

/// A whole configuration.
#[derive(Debug, Default)]
pub struct Compiled {
    revision: Option<i64>,
    /// Of the resources that it was compiled from.
    digest: SetDigest,
    table: RouteTable<RouteEntry>,
    routes: Shelf<RouteEntry>,
    pools: Shelf<PoolEntry>,
    states: States,
    keys: KeyRing,
    certificates: Arc<Served>,
    rollouts: Shelf<Rollout>,
    /// Whether there is a rollout of a route.
    of_routes: bool,
}

// === impl RouteEntry ===

impl RouteEntry {
    /// What it does with a request.
    pub fn action(&self) -> &Action {
        self.spec.action()
    }

    /// Its number in this configuration; see [`Compiled::route`].
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// How it forwards; `None`: it redirects.
    pub fn forward(&self) -> Option<&Forward> {
        match self.spec.action() {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) => None,
        }
    }

    /// How it redirects; `None`: it forwards.
    pub fn redirect(&self) -> Option<&Redirect> {
        match self.spec.action() {
            Action::Redirect(redirect) => Some(redirect),
            Action::Forward(_) => None,
        }
    }

    /// The slot of its pool; `None`: it redirects, or has several, of which [`Self::split`] tells.
    pub fn pool(&self) -> Option<usize> {
        self.pool
    }

    /// The slot of the pool that copies of requests go to; `None`: there is none.
    pub fn mirror(&self) -> Option<usize> {
        self.mirror
    }

    /// Edits of the request's headers.
    pub fn request_headers(&self) -> &HeaderEdits {
        self.spec.request_headers()
    }

    /// Edits of the response's headers.
    pub fn response_headers(&self) -> &HeaderEdits {
        self.spec.response_headers()
    }

    /// The Host that the backend sees; `None`: the one that the client sent.
    pub fn rewrite_host(&self) -> Option<&HeaderValue> {
        self.rewrite_host.as_ref()
    }

    /// Its place in a rollout of the route; `None`: there is none.
    pub fn part(&self) -> Option<Part> {
        self.part
    }

    /// What it does with requests beside its action; `None`: nothing.
    pub fn traffic(&self) -> Option<&RouteTraffic> {
        self.traffic.as_deref()
    }
}

impl Routed for RouteEntry {
    fn name(&self) -> &RouteName {
        &self.name
    }

    fn spec(&self) -> &RouteSpec {
        &self.spec
    }

    fn arm(&self) -> Option<Arm> {
        self.part.map(|part| part.arm)
    }
}

// === impl PoolEntry ===

impl PoolEntry {
    /// "pools/{pool}", "routes/{route}" for the inline backends of a route, or "routes/{route} (mirror)" for those of
    /// its mirror; a candidate has the same name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its backends; there may be none.
    pub fn backends(&self) -> &Backends {
        &self.backends
    }

    /// How its backends are reached with TLS; `None`: without.
    pub fn tls(&self) -> Option<&Arc<BackendTls>> {
        self.backends.backends.first()?.address.tls()
    }

    /// The ids of its backends in sticky cookies; `None`: it sets none.
    pub fn sticky(&self) -> Option<&StickyIds> {
        self.sticky.as_ref()
    }

    /// What is known of its backends, in their order.
    pub fn states(&self) -> &PoolStates {
        &self.states
    }

    /// Its place in a rollout of the pool; `None`: there is none.
    pub fn part(&self) -> Option<Part> {
        self.part
    }
}

// === impl Compiled ===

impl Compiled {
    /// The revision it was compiled from; `None`: there is no configuration yet.
    pub fn revision(&self) -> Option<i64> {
        self.revision
    }

    /// The digest of what it was compiled from; see `hotswap.gateway.v1.Delta`.
    pub fn digest(&self) -> SetDigest {
        self.digest
    }

    /// The same, of resources that have this digest.
    pub fn with_digest(self, digest: SetDigest) -> Self {
        Self { digest, ..self }
    }

    /// Every route that is live; candidates of rollouts are left out.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<RouteEntry>> {
        self.routes.iter().filter(|route| route.arm() != Some(Arm::Candidate))
    }

    /// The same, and their candidates.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<RouteEntry>> {
        self.routes.iter()
    }

    /// Every pool that is live, and the inline backends of routes; candidates of rollouts are left out.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<PoolEntry>> {
        self.pools.iter().filter(|pool| pool.is_live)
    }

    /// The routes, to be looked up.
    pub fn table(&self) -> &RouteTable<RouteEntry> {
        &self.table
    }

    /// What is known of the backends of all pools.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// The key sets that its routes have fetched.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The certificates that clients are shown.
    pub fn certificates(&self) -> &Arc<Served> {
        &self.certificates
    }

    /// A route by its slot.
    pub fn route(&self, slot: usize) -> Option<&Arc<RouteEntry>> {
        self.routes.get(slot)
    }

    /// A pool by its slot; `None`: it does not exist.
    pub fn pool(&self, slot: usize) -> Option<&Arc<PoolEntry>> {
        self.pools.get(slot)
    }

    /// A rollout by its slot.
    pub fn rollout(&self, slot: usize) -> Option<&Arc<Rollout>> {
        self.rollouts.get(slot)
    }

    /// All rollouts.
    pub fn rollouts(&self) -> impl Iterator<Item = &Arc<Rollout>> {
        self.rollouts.iter()
    }

    /// Whether a route is under a rollout, so that not every request sees every entry of the table.
    pub fn has_two_arms(&self) -> bool {
        self.of_routes
    }
}
