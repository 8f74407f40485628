//! `/pools`: the pools in force, those that are a route's own included.

use hotswap_matcher::Backend;
use hotswap_route_wire::load_balancing_to_wire;
use hotswap_runtime::admin::Asked;
use serde::Serialize;

use super::Part;
use super::text::table;
use crate::backend_state::{BreakerState, clock};
use crate::config::{Compiled, PoolEntry};
use crate::tls::BackendFiles;

/// Backends of a pool whose trouble is told, at most.
const TROUBLES: usize = 10;

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
    /// How its backends are reached with TLS; `None`: without.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
}

/// TLS to backends.
#[derive(Debug, Serialize)]
struct Tls {
    /// `None`: the host of each address.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
    /// `None`: those whom the machine trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    /// `None`: nothing is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<String>,
    verified: bool,
    /// Of the backends that could not be reached with it the last time; the first 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trouble: Vec<Trouble>,
}

#[derive(Debug, Serialize)]
struct Trouble {
    backend: String,
    error: String,
}

/// How many breakers are where.
#[derive(Debug, Default, Serialize)]
struct Breakers {
    closed: usize,
    open: usize,
    half_open: usize,
}

/// The pools that are asked for: of a `name`, or a part of one.
pub(super) fn page(config: &Compiled, files: &BackendFiles, asked: &Asked) -> Result<Part<Pool>, String> {
    let name = asked.get("name").unwrap_or_default();
    let wanted = config.pools().filter(|pool| pool.name().contains(name));
    Part::of(asked, wanted.map(|pool| (pool.name(), pool.as_ref())).collect(), |_, pool| of(pool, files))
}

fn tls_of(pool: &PoolEntry, files: &BackendFiles) -> Option<Tls> {
    let tls = pool.tls()?;
    let trouble = pool.backends().backends.iter().filter_map(|backend| {
        let error = files.trouble_with(&backend.address)?;
        Some(Trouble { backend: backend.address.to_string(), error })
    });
    Some(Tls {
        server_name: tls.server_name.clone(),
        ca: tls.ca.clone(),
        client_certificate: tls.client_certificate.clone(),
        verified: tls.verify,
        trouble: trouble.take(TROUBLES).collect(),
    })
}

fn of(pool: &PoolEntry, files: &BackendFiles) -> Pool {
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
        tls: tls_of(pool, files),
    }
}

pub(super) fn text(page: &Part<Pool>) -> String {
    let breakers = |p: &Pool| match &p.breakers {
        None => "none".to_owned(),
        Some(b) => format!("{} closed, {} open, {} half-open", b.closed, b.open, b.half_open),
    };
    let tls = |p: &Pool| match &p.tls {
        None => "no",
        Some(tls) if !tls.trouble.is_empty() => "fails",
        Some(tls) if tls.verified => "yes",
        Some(_) => "not verified",
    };
    let row = |p: &Pool| {
        let takes = format!("{} of {}", p.usable, p.backends);
        let strategy = p.strategy.replace('_', " ");
        vec![p.name.clone(), strategy, takes, p.active.to_string(), breakers(p), tls(p).to_owned()]
    };
    let rows: Vec<_> = page.entries.iter().map(row).collect();
    let mut text = table(&["POOL", "STRATEGY", "TAKE REQUESTS", "ACTIVE", "BREAKERS", "TLS"], &rows);
    for pool in &page.entries {
        for Trouble { backend, error } in pool.tls.iter().flat_map(|tls| &tls.trouble) {
            text.push_str(&format!("{}, {backend}: TLS: {error}\n", pool.name));
        }
    }
    text + &page.rest("/pools")
}
