//! From the contract to drafts.

use hotswap_api::route::v1 as wire;
use hotswap_core::Violations;
use hotswap_matcher::{
    BackendDraft, BackendProtocol, BackendState, BackendTlsDraft, BackendsDraft, ForwardDraft, HeaderDraft,
    HeaderEditsDraft, HeaderMatchDraft, LoadBalancingDraft, MatchDraft, PathMatchDraft, PoolDraft,
    QueryMatchDraft, RedirectDraft, RewriteDraft, RouteDraft, TimeoutsDraft, ValueMatchDraft,
    WeightedPoolDraft,
};

use crate::{balancing, resilience, traffic};

/// A route's content; name and output-only fields are left aside.
///
/// # Errors
/// Values that the contract does not have, each with its field.
pub fn route_from_wire(route: &wire::Route) -> Result<RouteDraft, Violations> {
    let (forward, redirect) = match &route.action {
        None => (None, None),
        Some(wire::route::Action::Forward(f)) => (Some(forward(f)?), None),
        Some(wire::route::Action::Redirect(r)) => (None, Some(redirect_draft(r))),
    };
    Ok(RouteDraft {
        display_name: route.display_name.clone(),
        labels: route.labels.clone(),
        hosts: route.hosts.clone(),
        matches: route.matches.iter().map(match_draft).collect(),
        priority: route.priority,
        forward,
        redirect,
        request_headers: route.request_headers.as_ref().map(edits),
        response_headers: route.response_headers.as_ref().map(edits),
        traffic: route.traffic.as_ref().map(traffic::from_wire).transpose()?.map(Box::new),
    })
}

/// A pool's content; name and output-only fields are left aside.
///
/// # Errors
/// As [`route_from_wire`].
pub fn pool_from_wire(pool: &wire::Pool) -> Result<PoolDraft, Violations> {
    let health_check = |h| resilience::health_check(h, "health_check");
    Ok(PoolDraft {
        display_name: pool.display_name.clone(),
        labels: pool.labels.clone(),
        backends: backends(&pool.backends, "backends")?,
        load_balancing: load_balancing(pool.load_balancing, "load_balancing")?,
        connect_timeout_ms: pool.connect_timeout_ms,
        balancing: pool.balancing.as_ref().map(|b| balancing::from_wire(b, "balancing")).transpose()?,
        health_check: pool.health_check.as_ref().map(health_check).transpose()?,
        circuit_breaker: pool.circuit_breaker.as_ref().map(resilience::circuit_breaker),
        outlier_ejection: pool.outlier_ejection.as_ref().map(resilience::outlier_ejection),
        tls: pool.tls.as_ref().map(tls_from_wire),
        protocol: protocol(pool.protocol, "protocol")?,
    })
}

fn load_balancing(value: i32, field: &str) -> Result<LoadBalancingDraft, Violations> {
    Ok(match wire::LoadBalancing::try_from(value) {
        Ok(wire::LoadBalancing::Unspecified | wire::LoadBalancing::RoundRobin) => {
            LoadBalancingDraft::RoundRobin
        }
        Ok(wire::LoadBalancing::WeightedRoundRobin) => LoadBalancingDraft::WeightedRoundRobin,
        Ok(wire::LoadBalancing::LeastConnections) => LoadBalancingDraft::LeastConnections,
        Ok(wire::LoadBalancing::IpHash) => LoadBalancingDraft::IpHash,
        Ok(wire::LoadBalancing::Header) => LoadBalancingDraft::Header,
        Ok(wire::LoadBalancing::PowerOfTwo) => LoadBalancingDraft::PowerOfTwo,
        Ok(wire::LoadBalancing::Hash) => LoadBalancingDraft::Hash,
        Err(_) => return Err(not_a_value(field, "LoadBalancing")),
    })
}

fn protocol(value: i32, field: &str) -> Result<BackendProtocol, Violations> {
    Ok(match wire::BackendProtocol::try_from(value) {
        Ok(wire::BackendProtocol::Unspecified | wire::BackendProtocol::Http1) => BackendProtocol::Http1,
        Ok(wire::BackendProtocol::Http2) => BackendProtocol::Http2,
        Err(_) => return Err(not_a_value(field, "BackendProtocol")),
    })
}

/// A number that the contract does not have among the values of an enum.
pub(crate) fn not_a_value(field: &str, of: &str) -> Violations {
    Violations::one(field, format!("is not a value of {of}"))
}

fn backends(all: &[wire::Backend], field: &str) -> Result<Vec<BackendDraft>, Violations> {
    let each = all.iter().enumerate();
    each.map(|(i, b)| {
        let state = state_from_wire(b.state)
            .ok_or_else(|| not_a_value(&format!("{field}[{i}].state"), "BackendState"))?;
        let state = state.unwrap_or_default();
        Ok(BackendDraft { address: b.address.clone(), weight: b.weight, priority: b.priority, state })
    })
    .collect()
}

/// What a backend may do; `None`: it is no value of the contract; `Some(None)`: it is not said.
pub fn state_from_wire(value: i32) -> Option<Option<BackendState>> {
    Some(match wire::BackendState::try_from(value).ok()? {
        wire::BackendState::Unspecified => None,
        wire::BackendState::Enabled => Some(BackendState::Enabled),
        wire::BackendState::Drained => Some(BackendState::Drained),
        wire::BackendState::ForcedOpen => Some(BackendState::ForcedOpen),
        wire::BackendState::ForcedClosed => Some(BackendState::ForcedClosed),
    })
}

fn forward(f: &wire::Forward) -> Result<ForwardDraft, Violations> {
    let (pool, inline) = match &f.target {
        None => (None, None),
        Some(wire::forward::Target::Pool(p)) => (Some(p.clone()), None),
        Some(wire::forward::Target::Inline(i)) => (None, Some(inline(i, "forward.inline")?)),
    };
    let rewrite = f.rewrite.as_ref().map(|r| {
        let (full_path, replace_prefix) = match &r.path {
            None => (None, None),
            Some(wire::rewrite::Path::FullPath(p)) => (Some(p.clone()), None),
            Some(wire::rewrite::Path::ReplacePrefix(p)) => (None, Some(p.clone())),
        };
        RewriteDraft { full_path, replace_prefix, host: r.host.clone() }
    });
    let timeouts = f.timeouts.as_ref().map(|t| TimeoutsDraft {
        first_byte_ms: t.first_byte_ms,
        total_ms: t.total_ms,
        idle_ms: t.idle_ms,
    });
    let retry = f.retry.as_ref().map(resilience::retry);
    let weighted = |p: &wire::WeightedPool| WeightedPoolDraft { pool: p.pool.clone(), weight: p.weight };
    let split = (!f.split.is_empty()).then(|| f.split.iter().map(weighted).collect());
    Ok(ForwardDraft { pool, inline, split, rewrite, timeouts, retry, upgrades: f.upgrades.clone() })
}

/// Backends of a route alone, which stand in this field.
pub(super) fn inline(i: &wire::InlineBackends, field: &str) -> Result<BackendsDraft, Violations> {
    let at = |part: &str| format!("{field}.{part}");
    let mut backends = backends(&i.backends, &at("backends"))?;
    for backend in &mut backends {
        // Nobody can set it there.
        backend.state = BackendState::Enabled;
    }
    let health_check = |h| resilience::health_check(h, &at("health_check"));
    let options = i.balancing.as_ref().map(|b| balancing::from_wire(b, &at("balancing")));
    Ok(BackendsDraft {
        backends,
        load_balancing: load_balancing(i.load_balancing, &at("load_balancing"))?,
        connect_timeout_ms: i.connect_timeout_ms,
        balancing: options.transpose()?,
        health_check: i.health_check.as_ref().map(health_check).transpose()?,
        circuit_breaker: i.circuit_breaker.as_ref().map(resilience::circuit_breaker),
        outlier_ejection: i.outlier_ejection.as_ref().map(resilience::outlier_ejection),
        tls: i.tls.as_ref().map(tls_from_wire),
        protocol: protocol(i.protocol, &at("protocol"))?,
    })
}

fn redirect_draft(r: &wire::Redirect) -> RedirectDraft {
    let (full_path, replace_prefix) = match &r.path {
        None => (None, None),
        Some(wire::redirect::Path::FullPath(p)) => (Some(p.clone()), None),
        Some(wire::redirect::Path::ReplacePrefix(p)) => (None, Some(p.clone())),
    };
    RedirectDraft {
        status: r.status,
        scheme: r.scheme.clone(),
        host: r.host.clone(),
        port: r.port,
        full_path,
        replace_prefix,
        drop_query: r.drop_query,
    }
}

fn match_draft(m: &wire::RouteMatch) -> MatchDraft {
    use wire::path_match::Kind as Path;
    let path = m.path.as_ref().map(|p| match &p.kind {
        // An empty path condition is a mistake; as an empty exact path it is named as one.
        None => PathMatchDraft::Exact(String::new()),
        Some(Path::Exact(t)) => PathMatchDraft::Exact(t.clone()),
        Some(Path::Prefix(t)) => PathMatchDraft::Prefix(t.clone()),
        Some(Path::Regex(t)) => PathMatchDraft::Regex(t.clone()),
    });
    MatchDraft {
        path,
        methods: m.methods.clone(),
        headers: m.headers.iter().map(header_match).collect(),
        query: m.query.iter().map(query_match).collect(),
    }
}

fn header_match(h: &wire::HeaderMatch) -> HeaderMatchDraft {
    use wire::header_match::Kind;
    let kind = h.kind.as_ref().map(|k| match k {
        Kind::Exact(t) => ValueMatchDraft::Exact(t.clone()),
        Kind::Prefix(t) => ValueMatchDraft::Prefix(t.clone()),
        Kind::Regex(t) => ValueMatchDraft::Regex(t.clone()),
        Kind::Present(p) => ValueMatchDraft::Present(*p),
    });
    HeaderMatchDraft { name: h.name.clone(), kind }
}

fn query_match(q: &wire::QueryMatch) -> QueryMatchDraft {
    use wire::query_match::Kind;
    let kind = q.kind.as_ref().map(|k| match k {
        Kind::Exact(t) => ValueMatchDraft::Exact(t.clone()),
        Kind::Regex(t) => ValueMatchDraft::Regex(t.clone()),
        Kind::Present(p) => ValueMatchDraft::Present(*p),
    });
    QueryMatchDraft { name: q.name.clone(), kind }
}

fn edits(e: &wire::HeaderEdits) -> HeaderEditsDraft {
    let header = |h: &wire::Header| HeaderDraft { name: h.name.clone(), value: h.value.clone() };
    HeaderEditsDraft {
        remove: e.remove.clone(),
        set: e.set.iter().map(header).collect(),
        add: e.add.iter().map(header).collect(),
    }
}

fn tls_from_wire(tls: &wire::BackendTls) -> BackendTlsDraft {
    BackendTlsDraft {
        server_name: tls.server_name.clone(),
        ca: tls.ca.clone(),
        client_certificate: tls.client_certificate.clone(),
        skip_verification: tls.skip_verification,
    }
}
