//! What the gateway would do with a request, told without doing it: the route and why, the backends of its pool and
//! how they stand, and which of them each core would choose now.
//!
//! ```text
//!   control plane ──Explain──► discover ──► a thread for long work: every route is looked at
//!                                             │ pool
//!                                             ▼
//!                                           Cores: each would choose one; no turn moves
//!   control plane ◄─Explained── discover ◄──┘
//! ```

mod arms;
mod cores;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hotswap_api::route::v1 as wire;
use hotswap_api::route::v1::backend_outlook::Obstacle;
use hotswap_core::Violations;
use hotswap_matcher::{Backend, LoadBalancing, RequestHead as _, explain};
use hotswap_route_wire::{
    Described, NEAR_MISSES, backend_tls_to_wire, explanation_to_wire, load_balancing_to_wire, split_to_wire,
};

use self::arms::Foretold;
pub use self::cores::{Cores, Question};

use crate::backend_state::{BreakerState, Hold, View, clock};
use crate::balance::Wish;
use crate::balance::client::TrustedProxies;
use crate::balance::wish::Sender;
use crate::config::{Compiled, Live, PoolEntry, RouteEntry, SplitPools};
use crate::decide::path::has_dot_segment;
use crate::reason::Reason;
use crate::traffic::Outlook;

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The description is none of a request.
    #[error("{}", .0.iter().map(|v| format!("{}: {}", v.field, v.message)).collect::<Vec<_>>().join("; "))]
    Description(Violations),
    /// The thread that looked at the routes ended early.
    #[error("the routes could not be looked at")]
    Ended,
}

/// Explains a request on the configuration in force.
///
/// # Errors
/// Where the description is none of a request.
pub async fn live(
    config: &Live,
    request: wire::ExplainRequestRequest,
) -> Result<wire::ExplainRequestResponse, Error> {
    let described = Described::parse(request).map_err(Error::Description)?;
    let (compiled, cores) = (config.now(), config.cores().clone());
    // It looks at every route, which takes long where there are many.
    let matched = tokio::task::spawn_blocking(move || matched(&compiled, &described));
    let Matched { mut told, pool, drawn } = matched.await.map_err(|_| Error::Ended)?;
    for (outlook, pool) in told.split.iter_mut().zip(drawn) {
        let reason = match pool {
            Some((slot, pool)) => obstacle(&pool, &cores.ask(slot, &pool, Wish::default()).await),
            None => Some(Reason::PoolMissing),
        };
        outlook.gateway_reason = reason.map(|reason| reason.code().to_owned()).unwrap_or_default();
    }
    if let Some((slot, pool, wish)) = pool {
        choose(&mut told, slot, &pool, wish, &cores).await;
    }
    Ok(told)
}

/// What the routes say.
struct Matched {
    told: wire::ExplainRequestResponse,
    /// The pool's slot, its content, and what the request asks of it; `None` for the last where only a client's
    /// address would tell.
    pool: Option<(usize, Arc<PoolEntry>, Option<Wish>)>,
    /// The pools of a split, as they are told of, where they are there.
    drawn: Vec<Option<(usize, Arc<PoolEntry>)>>,
}

impl Matched {
    /// It goes to no backend.
    fn ends(told: wire::ExplainRequestResponse) -> Self {
        Self { told, pool: None, drawn: Vec::new() }
    }
}

fn matched(config: &Compiled, described: &Described) -> Matched {
    let foretold = Foretold { config, described };
    let entries = config.entries().map(Arc::as_ref).filter(|entry| foretold.admits(entry));
    let found = explain(entries, described, NEAR_MISSES);
    let route = found.taken.as_ref().map(|taken| taken.route);
    let mut told = explanation_to_wire(found, config.revision().unwrap_or_default());
    told.digest = config.digest().to_bytes().to_vec().into();
    let failure = if config.revision().is_none() {
        Some(Reason::NoConfig)
    } else if has_dot_segment(described.path().as_bytes()) {
        Some(Reason::BadPath)
    } else {
        route.is_none().then_some(Reason::NoRoute)
    };
    if let Some(reason) = failure {
        told.gateway_reason = reason.code().to_owned();
        return Matched::ends(told);
    }
    told.rollouts.extend(foretold.outlook(route.and_then(|route| route.part())));
    if let Some(traffic) = route.and_then(|route| route.traffic()) {
        let outlooks = traffic.outlook(described, described.client());
        let refused = outlooks.iter().find_map(|o| o.refused);
        told.traffic = outlooks.into_iter().map(outlook_to_wire).collect();
        if let Some(reason) = refused {
            told.gateway_reason = reason.code().to_owned();
            return Matched::ends(told);
        }
    }
    match route {
        Some(route) => to_pool(&foretold, route, told),
        None => Matched::ends(told),
    }
}

/// The pool that it goes to, or those of which chance chooses.
fn to_pool(foretold: &Foretold<'_>, route: &RouteEntry, mut told: wire::ExplainRequestResponse) -> Matched {
    let Foretold { config, described } = foretold;
    let split = route.split();
    told.split = split.map(|split| split_to_wire(split.split())).unwrap_or_default();
    let drawn = split.into_iter().flat_map(SplitPools::iter);
    let drawn =
        drawn.map(|(slot, _)| foretold.pool(slot).map(|(slot, pool)| (slot, Arc::clone(pool)))).collect();
    let certain = |split: SplitPools<'_>| split.kept(config, *described).or_else(|| split.only());
    let slot = route.pool().or_else(|| split.and_then(certain));
    for slot in slot.map_or_else(|| route.pools().collect(), |slot| vec![slot]) {
        told.rollouts.extend(foretold.outlook(config.pool(slot).and_then(|pool| pool.part())));
    }
    let Some(slot) = slot else { return Matched { told, pool: None, drawn } };
    let Some((slot, pool)) = foretold.pool(slot) else {
        told.gateway_reason = Reason::PoolMissing.code().to_owned();
        return Matched { told, pool: None, drawn };
    };
    let wish = wish(pool, described);
    Matched { told, pool: Some((slot, Arc::clone(pool), wish)), drawn }
}

fn outlook_to_wire(outlook: Outlook) -> wire::TrafficOutlook {
    wire::TrafficOutlook {
        feature: outlook.feature.to_owned(),
        gateway_reason: outlook.refused.map(|r| r.code().to_owned()).unwrap_or_default(),
        message: outlook.message,
    }
}

fn wish(pool: &PoolEntry, described: &Described) -> Option<Wish> {
    let balancing = &pool.backends().balancing;
    let needs_client = matches!(balancing.strategy, LoadBalancing::IpHash);
    if needs_client && described.client().is_none() {
        return None;
    }
    let trusted = TrustedProxies::default();
    Some(Wish::of(balancing, pool.sticky(), described, sender_of(described, &trusted)))
}

/// The address that was told is the client's already: nobody is trusted to tell another.
fn sender_of<'a>(described: &Described, trusted: &'a TrustedProxies) -> Sender<'a> {
    let peer = described.client().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    Sender { peer, trusted }
}

/// Adds the backends, and what the cores would choose.
async fn choose(
    told: &mut wire::ExplainRequestResponse,
    slot: usize,
    pool: &Arc<PoolEntry>,
    wish: Option<Wish>,
    cores: &Cores,
) {
    if pool.name().starts_with("pools/") {
        told.pool = pool.name().to_owned();
    }
    told.load_balancing = load_balancing_to_wire(&pool.backends().balancing.strategy).into();
    told.backend_tls = pool.tls().map(|tls| backend_tls_to_wire(tls));
    let chosen = cores.ask(slot, pool, wish.unwrap_or_default()).await;
    told.cores = count(chosen.len());
    let now = clock::now_ms();
    let states = pool.states().members().iter();
    told.backends = pool
        .backends()
        .backends
        .iter()
        .zip(states)
        .map(|(backend, state)| outlook(backend, state.active(), &state.view(now)))
        .collect();
    if let Some(reason) = obstacle(pool, &chosen) {
        told.gateway_reason = reason.code().to_owned();
    }
    if wish.is_none() {
        return;
    }
    for (at, backend) in told.backends.iter_mut().enumerate() {
        backend.chosen_by_cores = count(chosen.iter().filter(|c| **c == Some(at)).count());
    }
    let all = |b: &&wire::BackendOutlook| b.chosen_by_cores > 0 && b.chosen_by_cores == told.cores;
    told.backend_address = told.backends.iter().find(all).map(|b| b.address.clone()).unwrap_or_default();
}

/// Why no backend of the pool takes requests, where the cores would choose these.
fn obstacle(pool: &PoolEntry, chosen: &[Option<usize>]) -> Option<Reason> {
    if !pool.backends().backends.iter().any(Backend::is_enabled) {
        return Some(Reason::NoBackend);
    }
    let is_none = !chosen.is_empty() && chosen.iter().all(Option::is_none);
    is_none.then_some(Reason::NoHealthyBackend)
}

fn outlook(backend: &Backend, active: u32, view: &View) -> wire::BackendOutlook {
    let takes_requests = backend.is_enabled() && view.usable;
    let obstacles = if takes_requests { Vec::new() } else { obstacles(backend, view) };
    wire::BackendOutlook {
        address: backend.address.to_string(),
        takes_requests,
        obstacles: obstacles.into_iter().map(i32::from).collect(),
        active,
        weight: backend.weight,
        priority: backend.priority.into(),
        chosen_by_cores: 0,
    }
}

/// All that keeps a backend from taking requests.
fn obstacles(backend: &Backend, view: &View) -> Vec<Obstacle> {
    let breaker = view.breaker.filter(|_| view.hold != Hold::ForcedClosed);
    let mut found = Vec::new();
    let mut note = |holds: bool, obstacle| {
        if holds {
            found.push(obstacle);
        }
    };
    note(view.hold == Hold::Drained, Obstacle::Drained);
    note(view.hold == Hold::ForcedOpen, Obstacle::ForcedOpen);
    note(backend.weight == 0, Obstacle::WeightZero);
    note(view.healthy == Some(false), Obstacle::Unhealthy);
    note(view.ejected_until.is_some(), Obstacle::Ejected);
    note(breaker == Some(BreakerState::Open), Obstacle::BreakerOpen);
    note(breaker == Some(BreakerState::HalfOpen), Obstacle::BreakerHalfOpen);
    found
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
