//! How backends stand, for people and for the control plane.

use std::sync::Arc;

use serde::Serialize;

use crate::backend_state::{BreakerState, Hold, PoolStates, States, View, clock};

/// Backends that are told of, at most.
const MOST: usize = 10_000;

/// One backend of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendStanding {
    /// "pools/{pool}", "routes/{route}" for the inline backends of a route, or "routes/{route} (mirror)" for those of
    /// its mirror.
    pub pool: String,
    /// Its address.
    pub address: String,
    /// Whether a request may go to it.
    pub usable: bool,
    /// Requests in flight.
    pub active: u32,
    /// What active checks say; `None`: there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// How long it stays ejected, in ms; `None`: it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejected_for_ms: Option<u64>,
    /// "closed", "open" or "half_open"; `None`: it has no breaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<&'static str>,
    /// "drained", "forced_open" or "forced_closed"; `None`: no operator has decided anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<&'static str>,
}

/// The backends of all pools of which `keep` holds, at most 10,000, by pool.
pub fn backends(states: &States, keep: impl Fn(&PoolStates) -> bool) -> Vec<BackendStanding> {
    let pools = states.pools(keep);
    of_pools(&pools)
}

/// The backends of these pools, at most 10,000.
pub fn of_pools(pools: &[(String, Arc<PoolStates>)]) -> Vec<BackendStanding> {
    let now = clock::now_ms();
    let all = pools.iter().flat_map(|(pool, states)| {
        states.members().iter().map(move |state| {
            let view = state.view(now);
            of(pool, state.address().as_str(), state.active(), &view, now)
        })
    });
    all.take(MOST).collect()
}

fn of(pool: &str, address: &str, active: u32, view: &View, now: u64) -> BackendStanding {
    BackendStanding {
        pool: pool.to_owned(),
        address: address.to_owned(),
        usable: view.usable,
        active,
        healthy: view.healthy,
        ejected_for_ms: view.ejected_until.map(|until| until.saturating_sub(now)),
        breaker: view.breaker.map(|breaker| match breaker {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }),
        hold: match view.hold {
            Hold::None => None,
            Hold::Drained => Some("drained"),
            Hold::ForcedOpen => Some("forced_open"),
            Hold::ForcedClosed => Some("forced_closed"),
        },
    }
}
