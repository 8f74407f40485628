//! What is done with requests of a route beside its action, in both directions.

use hotswap_api::route::v1 as wire;
use hotswap_core::Violations;
use hotswap_matcher::{
    AccessDraft, AccessLogDraft, AccessLogModeDraft, ClaimHeaderDraft, CompressionDraft, ConcurrencyDraft,
    CorsDraft, FaultAbortDraft, FaultDelayDraft, FaultDraft, JwtDraft, MirrorDraft, RateFallbackDraft,
    RateLimitDraft, RateScopeDraft, RequestLimitsDraft, TrafficDraft,
};

use crate::from_wire::{inline, not_a_value};
use crate::to_wire::inline as inline_to_wire;

pub(super) fn from_wire(t: &wire::Traffic) -> Result<TrafficDraft, Violations> {
    Ok(TrafficDraft {
        access: t.access.as_ref().map(|a| AccessDraft { allow: a.allow.clone(), deny: a.deny.clone() }),
        cors: t.cors.as_ref().map(cors),
        limits: t.limits.map(|l| RequestLimitsDraft {
            max_body_bytes: l.max_body_bytes,
            max_head_bytes: l.max_head_bytes,
            max_headers: l.max_headers,
        }),
        rate_limit: t.rate_limit.as_ref().map(rate_limit).transpose()?,
        concurrency: t
            .concurrency
            .map(|c| ConcurrencyDraft { max_requests: c.max_requests, retry_after_s: c.retry_after_s }),
        fault: t.fault.as_ref().map(fault),
        access_log: t.access_log.map(access_log).transpose()?,
        jwt: t.jwt.as_ref().map(jwt),
        compression: t.compression.as_ref().map(|c| CompressionDraft {
            codings: c.codings.clone(),
            content_types: c.content_types.clone(),
            min_length: c.min_length,
            quality: c.quality,
        }),
        mirror: t.mirror.as_ref().map(mirror).transpose()?,
    })
}

pub(super) fn to_wire(t: &TrafficDraft) -> wire::Traffic {
    wire::Traffic {
        access: t.access.as_ref().map(|a| wire::Access { allow: a.allow.clone(), deny: a.deny.clone() }),
        cors: t.cors.as_ref().map(cors_to_wire),
        limits: t.limits.as_ref().map(|l| wire::RequestLimits {
            max_body_bytes: l.max_body_bytes,
            max_head_bytes: l.max_head_bytes,
            max_headers: l.max_headers,
        }),
        rate_limit: t.rate_limit.as_ref().map(rate_limit_to_wire),
        concurrency: t
            .concurrency
            .as_ref()
            .map(|c| wire::Concurrency { max_requests: c.max_requests, retry_after_s: c.retry_after_s }),
        fault: t.fault.as_ref().map(fault_to_wire),
        access_log: t.access_log.as_ref().map(access_log_to_wire),
        jwt: t.jwt.as_ref().map(jwt_to_wire),
        compression: t.compression.as_ref().map(|c| wire::Compression {
            codings: c.codings.clone(),
            content_types: c.content_types.clone(),
            min_length: c.min_length,
            quality: c.quality,
        }),
        mirror: t.mirror.as_ref().map(mirror_to_wire),
    }
}

fn cors(c: &wire::Cors) -> CorsDraft {
    CorsDraft {
        origins: c.origins.clone(),
        methods: c.methods.clone(),
        headers: c.headers.clone(),
        expose_headers: c.expose_headers.clone(),
        credentials: c.credentials,
        max_age_s: c.max_age_s,
    }
}

fn cors_to_wire(c: &CorsDraft) -> wire::Cors {
    wire::Cors {
        origins: c.origins.clone(),
        methods: c.methods.clone(),
        headers: c.headers.clone(),
        expose_headers: c.expose_headers.clone(),
        credentials: c.credentials,
        max_age_s: c.max_age_s,
    }
}

fn jwt(j: &wire::Jwt) -> JwtDraft {
    let claim = |c: &wire::ClaimHeader| ClaimHeaderDraft { claim: c.claim.clone(), header: c.header.clone() };
    JwtDraft {
        jwks: j.jwks.clone(),
        algorithms: j.algorithms.clone(),
        issuer: j.issuer.clone(),
        audiences: j.audiences.clone(),
        leeway_s: j.leeway_s,
        header: j.header.clone(),
        claim_headers: j.claim_headers.iter().map(claim).collect(),
        strip_token: j.strip_token,
        optional: j.optional,
        jwks_url: j.jwks_url.clone(),
        jwks_file: j.jwks_file.clone(),
        jwks_refresh_s: j.jwks_refresh_s,
    }
}

fn jwt_to_wire(j: &JwtDraft) -> wire::Jwt {
    let claim = |c: &ClaimHeaderDraft| wire::ClaimHeader { claim: c.claim.clone(), header: c.header.clone() };
    wire::Jwt {
        jwks: j.jwks.clone(),
        algorithms: j.algorithms.clone(),
        issuer: j.issuer.clone(),
        audiences: j.audiences.clone(),
        leeway_s: j.leeway_s,
        header: j.header.clone(),
        claim_headers: j.claim_headers.iter().map(claim).collect(),
        strip_token: j.strip_token,
        optional: j.optional,
        jwks_url: j.jwks_url.clone(),
        jwks_file: j.jwks_file.clone(),
        jwks_refresh_s: j.jwks_refresh_s,
    }
}

fn rate_limit(r: &wire::RateLimit) -> Result<RateLimitDraft, Violations> {
    let (client_address, header) = match &r.key {
        None => (None, None),
        Some(wire::rate_limit::Key::ClientAddress(on)) => (Some(*on), None),
        Some(wire::rate_limit::Key::Header(name)) => (None, Some(name.clone())),
    };
    let scope = match wire::RateLimitScope::try_from(r.scope) {
        Ok(wire::RateLimitScope::Unspecified | wire::RateLimitScope::Gateway) => RateScopeDraft::Gateway,
        Ok(wire::RateLimitScope::Fleet) => RateScopeDraft::Fleet,
        Err(_) => return Err(not_a_value("traffic.rate_limit.scope", "RateLimitScope")),
    };
    let fallback = match wire::RateLimitFallback::try_from(r.fallback) {
        Ok(wire::RateLimitFallback::Unspecified) => None,
        Ok(wire::RateLimitFallback::Local) => Some(RateFallbackDraft::Local),
        Ok(wire::RateLimitFallback::Pass) => Some(RateFallbackDraft::Pass),
        Ok(wire::RateLimitFallback::Refuse) => Some(RateFallbackDraft::Refuse),
        Err(_) => return Err(not_a_value("traffic.rate_limit.fallback", "RateLimitFallback")),
    };
    Ok(RateLimitDraft {
        requests: r.requests,
        period_ms: r.period_ms,
        burst: r.burst,
        client_address,
        header,
        quiet: r.quiet,
        scope,
        fallback,
    })
}

fn rate_limit_to_wire(r: &RateLimitDraft) -> wire::RateLimit {
    let key = match (r.client_address, &r.header) {
        (Some(on), _) => Some(wire::rate_limit::Key::ClientAddress(on)),
        (None, Some(name)) => Some(wire::rate_limit::Key::Header(name.clone())),
        (None, None) => None,
    };
    // What is not said stays so, as for older ones.
    let scope = match r.scope {
        RateScopeDraft::Gateway => wire::RateLimitScope::Unspecified,
        RateScopeDraft::Fleet => wire::RateLimitScope::Fleet,
    };
    let fallback = match r.fallback {
        None => wire::RateLimitFallback::Unspecified,
        Some(RateFallbackDraft::Local) => wire::RateLimitFallback::Local,
        Some(RateFallbackDraft::Pass) => wire::RateLimitFallback::Pass,
        Some(RateFallbackDraft::Refuse) => wire::RateLimitFallback::Refuse,
    };
    wire::RateLimit {
        requests: r.requests,
        period_ms: r.period_ms,
        burst: r.burst,
        key,
        quiet: r.quiet,
        scope: scope.into(),
        fallback: fallback.into(),
    }
}

fn fault(f: &wire::Fault) -> FaultDraft {
    FaultDraft {
        abort: f.abort.map(|a| FaultAbortDraft { status: a.status, share_bps: a.share_bps }),
        delay: f.delay.map(|d| FaultDelayDraft { delay_ms: d.delay_ms, share_bps: d.share_bps }),
        header: f.header.clone(),
    }
}

fn fault_to_wire(f: &FaultDraft) -> wire::Fault {
    wire::Fault {
        abort: f.abort.as_ref().map(|a| wire::FaultAbort { status: a.status, share_bps: a.share_bps }),
        delay: f.delay.as_ref().map(|d| wire::FaultDelay { delay_ms: d.delay_ms, share_bps: d.share_bps }),
        header: f.header.clone(),
    }
}

fn mirror(m: &wire::Mirror) -> Result<MirrorDraft, Violations> {
    let (pool, own) = match &m.target {
        None => (None, None),
        Some(wire::mirror::Target::Pool(pool)) => (Some(pool.clone()), None),
        Some(wire::mirror::Target::Inline(i)) => (None, Some(inline(i, "traffic.mirror.inline")?)),
    };
    Ok(MirrorDraft { pool, inline: own, share_bps: m.share_bps })
}

fn mirror_to_wire(m: &MirrorDraft) -> wire::Mirror {
    let target = match (&m.pool, &m.inline) {
        (Some(pool), _) => Some(wire::mirror::Target::Pool(pool.clone())),
        (None, Some(i)) => Some(wire::mirror::Target::Inline(inline_to_wire(i))),
        (None, None) => None,
    };
    wire::Mirror { target, share_bps: m.share_bps }
}

fn access_log(l: wire::AccessLog) -> Result<AccessLogDraft, Violations> {
    let mode = match wire::AccessLogMode::try_from(l.mode) {
        Ok(wire::AccessLogMode::Unspecified | wire::AccessLogMode::All) => AccessLogModeDraft::All,
        Ok(wire::AccessLogMode::Errors) => AccessLogModeDraft::Errors,
        Ok(wire::AccessLogMode::Off) => AccessLogModeDraft::Off,
        Err(_) => return Err(not_a_value("traffic.access_log.mode", "AccessLogMode")),
    };
    Ok(AccessLogDraft { mode, share_bps: l.share_bps })
}

fn access_log_to_wire(l: &AccessLogDraft) -> wire::AccessLog {
    let mode = match l.mode {
        AccessLogModeDraft::All => wire::AccessLogMode::All,
        AccessLogModeDraft::Errors => wire::AccessLogMode::Errors,
        AccessLogModeDraft::Off => wire::AccessLogMode::Off,
    };
    wire::AccessLog { mode: mode.into(), share_bps: l.share_bps }
}
