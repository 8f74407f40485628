//! `/pools`: the pools in force, those that are a route's own included.

use hotswap_matcher::Backend;
use hotswap_route_wire::load_balancing_to_wire;
use hotswap_runtime::admin::Asked;
use serde::Serialize;

use super::Part;
use super::text::table;
use crate::backend_state::{BreakerState, clock};
use crate::config::{Compiled, PoolEntry};

/// A pool.
#[derive(Debug, Serialize)]
pub(super) struct Pool {
    name: String,
    /// As "round_robin".
    strategy: String,
    backends: usize,
    /// Backends that take requests now.
    usable: usize,
    /// Requests in flight.
    active: u64,
    /// Its breakers; `None`: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    breakers: Option<Breakers>,
}

/// How many breakers are where.
#[derive(Debug, Default, Serialize)]
struct Breakers {
    closed: usize,
    open: usize,
    half_open: usize,
}

/// The pools that are asked for: of a `name`, or a part of one.
pub(super) fn page(config: &Compiled, asked: &Asked) -> Result<Part<Pool>, String> {
    let name = asked.get("name").unwrap_or_default();
    let wanted = config.pools().filter(|pool| pool.name().contains(name));
    Part::of(asked, wanted.map(|pool| (pool.name(), pool.as_ref())).collect(), |_, pool| of(pool))
}

fn of(pool: &PoolEntry) -> Pool {
    let now = clock::now_ms();
    let backends = pool.backends();
    let strategy = load_balancing_to_wire(&backends.balancing.strategy).as_str_name();
    let mut breakers = backends.resilience.circuit_breaker.as_ref().map(|_| Breakers::default());
    let (mut usable, mut active) = (0, 0);
    for (backend, state) in backends.backends.iter().zip(pool.states().members()) {
        let view = state.view(now);
        usable += usize::from(view.usable && Backend::is_enabled(backend));
        active += u64::from(state.active());
        if let (Some(breakers), Some(breaker)) = (&mut breakers, view.breaker) {
            match breaker {
                BreakerState::Closed => breakers.closed += 1,
                BreakerState::Open => breakers.open += 1,
                BreakerState::HalfOpen => breakers.half_open += 1,
            }
        }
    }
    Pool {
        name: pool.name().to_owned(),
        strategy: strategy.trim_start_matches("LOAD_BALANCING_").to_ascii_lowercase(),
        backends: backends.backends.len(),
        usable,
        active,
        breakers,
    }
}

pub(super) fn text(page: &Part<Pool>) -> String {
    let breakers = |p: &Pool| match &p.breakers {
        None => "none".to_owned(),
        Some(b) => format!("{} closed, {} open, {} half-open", b.closed, b.open, b.half_open),
    };
    let row = |p: &Pool| {
        let takes = format!("{} of {}", p.usable, p.backends);
        vec![p.name.clone(), p.strategy.replace('_', " "), takes, p.active.to_string(), breakers(p)]
    };
    let rows: Vec<_> = page.entries.iter().map(row).collect();
    table(&["POOL", "STRATEGY", "TAKE REQUESTS", "ACTIVE", "BREAKERS"], &rows) + &page.rest("/pools")
}
