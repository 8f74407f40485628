//! What proxies tell, as it is kept.

use hotswap_api::gateway::v1 as wire;

use crate::app::Introduction;
use crate::domain::{Breaker, Condition, Conditions, Place, Refusal};

/// Backends that are kept of a report.
const MAX_CONDITIONS: usize = 1_000;

/// Features that are kept of a hello.
const MAX_FEATURES: usize = 64;

/// Who a proxy says that it is.
pub(super) fn introduction(hello: &wire::Hello) -> Introduction {
    Introduction {
        id: hello.proxy.clone(),
        instance_id: hello.instance_id.clone(),
        labels: hello.labels.clone().into_iter().collect(),
        build_version: hello.build_version.clone(),
        features: hello.features.iter().take(MAX_FEATURES).cloned().collect(),
        have: hello.have.as_ref().map(domain),
    }
}

/// Where it stands.
pub(super) fn domain(at: &wire::ResumeToken) -> Place {
    Place { store_id: at.store_id.clone(), revision: at.revision }
}

/// A report as it is kept: what is more than the contract allows is left out.
pub(super) fn conditions(report: wire::BackendReport) -> Conditions {
    let listed = report.backends.into_iter().take(MAX_CONDITIONS).map(condition).collect();
    Conditions { total: u32::try_from(report.total).unwrap_or(0), listed }
}

fn condition(c: wire::BackendCondition) -> Condition {
    use wire::backend_condition::Breaker as Wire;
    let breaker = match c.breaker() {
        Wire::Unspecified => Breaker::None,
        Wire::Closed => Breaker::Closed,
        Wire::Open => Breaker::Open,
        Wire::HalfOpen => Breaker::HalfOpen,
    };
    let wire::BackendCondition { pool, address, unhealthy, ejected, held, .. } = c;
    Condition { pool, address, unhealthy, ejected, breaker, held }
}

/// What it refused.
pub(super) fn refused(e: wire::ResourceError) -> Refusal {
    Refusal { name: e.name, version: e.version, field: e.field, reason: e.reason, message: e.message }
}
