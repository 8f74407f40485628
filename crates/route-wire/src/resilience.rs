//! Checks, breakers, ejection and retries, in both directions.

use hotswap_api::route::v1 as wire;
use hotswap_core::Violations;
use hotswap_matcher::{
    CircuitBreakerDraft, HealthCheckDraft, HealthCheckKindDraft, OutlierEjectionDraft, RetryDraft,
};

pub(super) fn health_check(h: &wire::HealthCheck, field: &str) -> Result<HealthCheckDraft, Violations> {
    let kind = match wire::HealthCheckKind::try_from(h.kind) {
        Ok(wire::HealthCheckKind::Unspecified | wire::HealthCheckKind::Http) => HealthCheckKindDraft::Http,
        Ok(wire::HealthCheckKind::Tcp) => HealthCheckKindDraft::Tcp,
        Ok(wire::HealthCheckKind::Grpc) => HealthCheckKindDraft::Grpc,
        Err(_) => {
            let fault = Violations::one(format!("{field}.kind"), "is not a value of HealthCheckKind");
            return Err(fault);
        }
    };
    Ok(HealthCheckDraft {
        path: h.path.clone(),
        interval_ms: h.interval_ms,
        timeout_ms: h.timeout_ms,
        unhealthy_threshold: h.unhealthy_threshold,
        healthy_threshold: h.healthy_threshold,
        kind,
        host: h.host.clone(),
        expected_statuses: h.expected_statuses.clone(),
        jitter_percent: h.jitter_percent,
        service: h.service.clone(),
    })
}

pub(super) fn health_check_to_wire(h: &HealthCheckDraft) -> wire::HealthCheck {
    let kind = match h.kind {
        HealthCheckKindDraft::Http => wire::HealthCheckKind::Http,
        HealthCheckKindDraft::Tcp => wire::HealthCheckKind::Tcp,
        HealthCheckKindDraft::Grpc => wire::HealthCheckKind::Grpc,
    };
    wire::HealthCheck {
        path: h.path.clone(),
        interval_ms: h.interval_ms,
        timeout_ms: h.timeout_ms,
        unhealthy_threshold: h.unhealthy_threshold,
        healthy_threshold: h.healthy_threshold,
        kind: kind.into(),
        host: h.host.clone(),
        expected_statuses: h.expected_statuses.clone(),
        jitter_percent: h.jitter_percent,
        service: h.service.clone(),
    }
}

pub(super) fn circuit_breaker(b: &wire::CircuitBreaker) -> CircuitBreakerDraft {
    CircuitBreakerDraft {
        failure_threshold: b.failure_threshold,
        open_ms: b.open_ms,
        half_open_requests: b.half_open_requests,
        failure_rate_percent: b.failure_rate_percent,
        window_ms: b.window_ms,
        min_requests: b.min_requests,
    }
}

pub(super) fn circuit_breaker_to_wire(b: &CircuitBreakerDraft) -> wire::CircuitBreaker {
    wire::CircuitBreaker {
        failure_threshold: b.failure_threshold,
        open_ms: b.open_ms,
        half_open_requests: b.half_open_requests,
        failure_rate_percent: b.failure_rate_percent,
        window_ms: b.window_ms,
        min_requests: b.min_requests,
    }
}

pub(super) fn outlier_ejection(o: &wire::OutlierEjection) -> OutlierEjectionDraft {
    OutlierEjectionDraft {
        consecutive_failures: o.consecutive_failures,
        base_ms: o.base_ms,
        max_ms: o.max_ms,
        max_ejected_percent: o.max_ejected_percent,
    }
}

pub(super) fn outlier_ejection_to_wire(o: &OutlierEjectionDraft) -> wire::OutlierEjection {
    wire::OutlierEjection {
        consecutive_failures: o.consecutive_failures,
        base_ms: o.base_ms,
        max_ms: o.max_ms,
        max_ejected_percent: o.max_ejected_percent,
    }
}

pub(super) fn retry(r: &wire::Retry) -> RetryDraft {
    RetryDraft {
        max_retries: r.max_retries,
        per_try_ms: r.per_try_ms,
        base_backoff_ms: r.base_backoff_ms,
        max_backoff_ms: r.max_backoff_ms,
        budget_percent: r.budget_percent,
        max_body_bytes: r.max_body_bytes,
        grpc_unavailable: r.grpc_unavailable,
    }
}

pub(super) fn retry_to_wire(r: &RetryDraft) -> wire::Retry {
    wire::Retry {
        max_retries: r.max_retries,
        per_try_ms: r.per_try_ms,
        base_backoff_ms: r.base_backoff_ms,
        max_backoff_ms: r.max_backoff_ms,
        budget_percent: r.budget_percent,
        max_body_bytes: r.max_body_bytes,
        grpc_unavailable: r.grpc_unavailable,
    }
}
