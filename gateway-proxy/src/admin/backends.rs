//! `/backends`: every backend and how it stands, at most 10,000.

use hotswap_runtime::admin::Asked;

use super::text::table;
use crate::backend_state::States;
use crate::standing::{BackendStanding, of_pools};

/// The backends that are asked for: of a `pool`, or of all.
pub(super) fn page(states: &States, asked: &Asked) -> Result<Vec<BackendStanding>, String> {
    let pools = match asked.get("pool") {
        None => states.pools(|_| true),
        Some(name) => {
            let pool = states.pool(name).ok_or_else(|| format!("there is no pool {name}"))?;
            vec![(name.to_owned(), pool)]
        }
    };
    Ok(of_pools(&pools))
}

pub(super) fn text(all: &[BackendStanding]) -> String {
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&["POOL", "BACKEND", "USABLE", "ACTIVE", "HEALTH", "EJECTED", "BREAKER", "HELD"], &rows)
}

fn row(b: &BackendStanding) -> Vec<String> {
    let yes = |holds: bool| if holds { "yes" } else { "no" }.to_owned();
    let health = match b.healthy {
        None => "-",
        Some(true) => "healthy",
        Some(false) => "unhealthy",
    };
    let or_none = |word: Option<&str>| word.unwrap_or("-").replace('_', "-");
    vec![
        b.pool.clone(),
        b.address.clone(),
        yes(b.usable),
        b.active.to_string(),
        health.to_owned(),
        b.ejected_for_ms.map_or_else(|| "-".to_owned(), |ms| format!("for {ms} ms")),
        or_none(b.breaker),
        or_none(b.hold),
    ]
}
