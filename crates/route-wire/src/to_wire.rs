//! From drafts to the contract.

use hotswap_api::route::v1 as wire;
use hotswap_matcher::{
    BackendDraft, BackendProtocol, BackendState, BackendTls, BackendTlsDraft, BackendsDraft, ForwardDraft,
    HeaderDraft, HeaderEditsDraft, HeaderMatchDraft, LoadBalancing, LoadBalancingDraft, MatchDraft,
    PathMatchDraft, PoolDraft, QueryMatchDraft, RedirectDraft, RouteDraft, ValueMatchDraft,
    WeightedPoolDraft,
};

use crate::{balancing, resilience, traffic};

/// A route with its content and name; output-only fields are unset.
pub fn route_to_wire(name: &str, draft: &RouteDraft) -> wire::Route {
    let action = match (&draft.forward, &draft.redirect) {
        (Some(f), _) => Some(wire::route::Action::Forward(forward(f))),
        (None, Some(r)) => Some(wire::route::Action::Redirect(redirect(r))),
        (None, None) => None,
    };
    wire::Route {
        name: name.to_owned(),
        display_name: draft.display_name.clone(),
        labels: draft.labels.clone(),
        hosts: draft.hosts.clone(),
        matches: draft.matches.iter().map(route_match).collect(),
        priority: draft.priority,
        action,
        request_headers: draft.request_headers.as_ref().map(edits),
        response_headers: draft.response_headers.as_ref().map(edits),
        traffic: draft.traffic.as_deref().map(traffic::to_wire),
        ..wire::Route::default()
    }
}

/// A pool with its content and name; output-only fields are unset.
pub fn pool_to_wire(name: &str, draft: &PoolDraft) -> wire::Pool {
    wire::Pool {
        name: name.to_owned(),
        display_name: draft.display_name.clone(),
        labels: draft.labels.clone(),
        backends: draft.backends.iter().map(backend).collect(),
        load_balancing: load_balancing(draft.load_balancing),
        connect_timeout_ms: draft.connect_timeout_ms,
        balancing: draft.balancing.as_ref().map(balancing::to_wire),
        health_check: draft.health_check.as_ref().map(resilience::health_check_to_wire),
        circuit_breaker: draft.circuit_breaker.as_ref().map(resilience::circuit_breaker_to_wire),
        outlier_ejection: draft.outlier_ejection.as_ref().map(resilience::outlier_ejection_to_wire),
        tls: draft.tls.as_ref().map(tls_to_wire),
        protocol: protocol(draft.protocol),
        ..wire::Pool::default()
    }
}

/// The name of a strategy.
pub fn load_balancing_to_wire(strategy: &LoadBalancing) -> wire::LoadBalancing {
    match strategy {
        LoadBalancing::RoundRobin => wire::LoadBalancing::RoundRobin,
        LoadBalancing::WeightedRoundRobin => wire::LoadBalancing::WeightedRoundRobin,
        LoadBalancing::LeastConnections => wire::LoadBalancing::LeastConnections,
        LoadBalancing::IpHash => wire::LoadBalancing::IpHash,
        LoadBalancing::Header(_) => wire::LoadBalancing::Header,
        LoadBalancing::PowerOfTwo => wire::LoadBalancing::PowerOfTwo,
        LoadBalancing::Hash(_) => wire::LoadBalancing::Hash,
    }
}

fn load_balancing(draft: LoadBalancingDraft) -> i32 {
    let value = match draft {
        LoadBalancingDraft::RoundRobin => wire::LoadBalancing::RoundRobin,
        LoadBalancingDraft::WeightedRoundRobin => wire::LoadBalancing::WeightedRoundRobin,
        LoadBalancingDraft::LeastConnections => wire::LoadBalancing::LeastConnections,
        LoadBalancingDraft::IpHash => wire::LoadBalancing::IpHash,
        LoadBalancingDraft::Header => wire::LoadBalancing::Header,
        LoadBalancingDraft::PowerOfTwo => wire::LoadBalancing::PowerOfTwo,
        LoadBalancingDraft::Hash => wire::LoadBalancing::Hash,
    };
    value.into()
}

fn protocol(draft: BackendProtocol) -> i32 {
    let value = match draft {
        // What nobody has set is not said.
        BackendProtocol::Http1 => wire::BackendProtocol::Unspecified,
        BackendProtocol::Http2 => wire::BackendProtocol::Http2,
    };
    value.into()
}

fn backend(b: &BackendDraft) -> wire::Backend {
    let state = match b.state {
        // What nobody has set is not said.
        BackendState::Enabled => wire::BackendState::Unspecified,
        BackendState::Drained => wire::BackendState::Drained,
        BackendState::ForcedOpen => wire::BackendState::ForcedOpen,
        BackendState::ForcedClosed => wire::BackendState::ForcedClosed,
    };
    wire::Backend {
        address: b.address.clone(),
        weight: b.weight,
        priority: b.priority,
        state: state.into(),
        share_percent: 0.0,
    }
}

fn forward(f: &ForwardDraft) -> wire::Forward {
    let target = match (&f.pool, &f.inline) {
        (Some(pool), _) => Some(wire::forward::Target::Pool(pool.clone())),
        (None, Some(i)) => Some(wire::forward::Target::Inline(inline(i))),
        (None, None) => None,
    };
    let rewrite = f.rewrite.as_ref().map(|r| wire::Rewrite {
        path: match (&r.full_path, &r.replace_prefix) {
            (Some(p), _) => Some(wire::rewrite::Path::FullPath(p.clone())),
            (None, Some(p)) => Some(wire::rewrite::Path::ReplacePrefix(p.clone())),
            (None, None) => None,
        },
        host: r.host.clone(),
    });
    let timeouts = f.timeouts.as_ref().map(|t| wire::Timeouts {
        first_byte_ms: t.first_byte_ms,
        total_ms: t.total_ms,
        idle_ms: t.idle_ms,
    });
    let retry = f.retry.as_ref().map(resilience::retry_to_wire);
    let weighted = |p: &WeightedPoolDraft| wire::WeightedPool { pool: p.pool.clone(), weight: p.weight };
    let split = f.split.iter().flatten().map(weighted).collect();
    wire::Forward { target, rewrite, timeouts, retry, upgrades: f.upgrades.clone(), split }
}

pub(super) fn inline(i: &BackendsDraft) -> wire::InlineBackends {
    wire::InlineBackends {
        backends: i.backends.iter().map(backend).collect(),
        load_balancing: load_balancing(i.load_balancing),
        connect_timeout_ms: i.connect_timeout_ms,
        balancing: i.balancing.as_ref().map(balancing::to_wire),
        health_check: i.health_check.as_ref().map(resilience::health_check_to_wire),
        circuit_breaker: i.circuit_breaker.as_ref().map(resilience::circuit_breaker_to_wire),
        outlier_ejection: i.outlier_ejection.as_ref().map(resilience::outlier_ejection_to_wire),
        tls: i.tls.as_ref().map(tls_to_wire),
        protocol: protocol(i.protocol),
    }
}

fn redirect(r: &RedirectDraft) -> wire::Redirect {
    wire::Redirect {
        status: r.status,
        scheme: r.scheme.clone(),
        host: r.host.clone(),
        port: r.port,
        path: match (&r.full_path, &r.replace_prefix) {
            (Some(p), _) => Some(wire::redirect::Path::FullPath(p.clone())),
            (None, Some(p)) => Some(wire::redirect::Path::ReplacePrefix(p.clone())),
            (None, None) => None,
        },
        drop_query: r.drop_query,
    }
}

fn route_match(m: &MatchDraft) -> wire::RouteMatch {
    use wire::path_match::Kind as Path;
    let path = m.path.as_ref().map(|p| wire::PathMatch {
        kind: Some(match p {
            PathMatchDraft::Exact(t) => Path::Exact(t.clone()),
            PathMatchDraft::Prefix(t) => Path::Prefix(t.clone()),
            PathMatchDraft::Regex(t) => Path::Regex(t.clone()),
        }),
    });
    wire::RouteMatch {
        path,
        methods: m.methods.clone(),
        headers: m.headers.iter().map(header_match).collect(),
        query: m.query.iter().map(query_match).collect(),
    }
}

fn header_match(h: &HeaderMatchDraft) -> wire::HeaderMatch {
    use wire::header_match::Kind;
    let kind = h.kind.as_ref().map(|k| match k {
        ValueMatchDraft::Exact(t) => Kind::Exact(t.clone()),
        ValueMatchDraft::Prefix(t) => Kind::Prefix(t.clone()),
        ValueMatchDraft::Regex(t) => Kind::Regex(t.clone()),
        ValueMatchDraft::Present(p) => Kind::Present(*p),
    });
    wire::HeaderMatch { name: h.name.clone(), kind }
}

fn query_match(q: &QueryMatchDraft) -> wire::QueryMatch {
    use wire::query_match::Kind;
    let kind = q.kind.as_ref().and_then(|k| match k {
        ValueMatchDraft::Exact(t) => Some(Kind::Exact(t.clone())),
        ValueMatchDraft::Regex(t) => Some(Kind::Regex(t.clone())),
        ValueMatchDraft::Present(p) => Some(Kind::Present(*p)),
        // No valid query condition is by prefix.
        ValueMatchDraft::Prefix(_) => None,
    });
    wire::QueryMatch { name: q.name.clone(), kind }
}

fn edits(e: &HeaderEditsDraft) -> wire::HeaderEdits {
    let header = |h: &HeaderDraft| wire::Header { name: h.name.clone(), value: h.value.clone() };
    wire::HeaderEdits {
        remove: e.remove.clone(),
        set: e.set.iter().map(header).collect(),
        add: e.add.iter().map(header).collect(),
    }
}

/// How backends are reached with TLS, as the contract has it.
pub fn backend_tls_to_wire(tls: &BackendTls) -> wire::BackendTls {
    let text = |of: &Option<String>| of.clone().unwrap_or_default();
    wire::BackendTls {
        server_name: text(&tls.server_name),
        ca: text(&tls.ca),
        client_certificate: text(&tls.client_certificate),
        skip_verification: !tls.verify,
    }
}

fn tls_to_wire(tls: &BackendTlsDraft) -> wire::BackendTls {
    wire::BackendTls {
        server_name: tls.server_name.clone(),
        ca: tls.ca.clone(),
        client_certificate: tls.client_certificate.clone(),
        skip_verification: tls.skip_verification,
    }
}
