//! A resource of the stream becomes one that can be served, or a list of what is wrong with it.

use std::sync::Arc;

use hotswap_api::gateway::v1::candidate::Spec as Beside;
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::gateway::v1::{Candidate, Resource, ResourceError};
use hotswap_api::route::v1 as wire;
use hotswap_certificate::CertificateSpec;
use hotswap_core::{CertificateName, PoolName, RefusalReason, ResourceName, RouteName, Violations};
use hotswap_matcher::{CandidateSpec, PoolSpec, RouteSpec};
use hotswap_route_wire::{candidate_from_wire, certificate_from_wire, pool_from_wire, route_from_wire};

use crate::config;

/// What a resource holds, and the revision that a rollout brings.
pub(super) enum Content {
    Route(RouteName, Arc<RouteSpec>, Option<Box<config::Candidate<Arc<RouteSpec>>>>),
    Pool(PoolName, Box<PoolSpec>, Option<Box<config::Candidate<PoolSpec>>>),
    Certificate(CertificateName, Box<CertificateSpec>),
}

/// What is wrong with a certificate without its key.
const NO_KEY: &str = "is not there: the control plane could not open it, or the gateway has not kept it on disk \
     (--state-key-file)";

/// Every fault at once.
pub(super) fn parse(resource: &Resource) -> Result<Content, Vec<ResourceError>> {
    let error = |field: &str, reason: RefusalReason, message: String| ResourceError {
        name: resource.name.clone(),
        version: resource.version,
        field: field.to_owned(),
        reason: reason.name().to_owned(),
        message,
    };
    let invalid = |violations: Violations| -> Vec<ResourceError> {
        violations.iter().map(|v| error(&v.field, RefusalReason::InvalidInput, v.message.clone())).collect()
    };
    let misnamed =
        |e: hotswap_core::InvalidName| vec![error("name", RefusalReason::InvalidInput, e.to_string())];
    match &resource.spec {
        Some(Spec::Route(route)) => {
            let name = RouteName::parse(&resource.name).map_err(misnamed)?;
            let spec = route_spec(route).map_err(invalid)?;
            let other = resource.candidate.as_ref().map(|candidate| {
                of_candidate(candidate, |spec| match spec {
                    Some(Beside::Route(route)) => Some(route_spec(route)),
                    Some(Beside::Pool(_)) | None => None,
                })
            });
            Ok(Content::Route(name, spec, other.transpose().map_err(invalid)?.map(Box::new)))
        }
        Some(Spec::Pool(pool)) => {
            let name = PoolName::parse(&resource.name).map_err(misnamed)?;
            let spec = pool_spec(pool).map_err(invalid)?;
            let other = resource.candidate.as_ref().map(|candidate| {
                of_candidate(candidate, |spec| match spec {
                    Some(Beside::Pool(pool)) => Some(pool_spec(pool)),
                    Some(Beside::Route(_)) | None => None,
                })
            });
            let other = other.transpose().map_err(invalid)?;
            Ok(Content::Pool(name, Box::new(spec), other.map(Box::new)))
        }
        Some(Spec::Certificate(certificate)) => {
            let name = CertificateName::parse(&resource.name).map_err(misnamed)?;
            let spec = certificate_spec(certificate).map_err(invalid)?;
            Ok(Content::Certificate(name, Box::new(spec)))
        }
        None => Err(vec![error(
            "spec",
            RefusalReason::FeatureNotBuilt,
            "this build does not know the kind".into(),
        )]),
    }
}

fn route_spec(route: &wire::Route) -> Result<Arc<RouteSpec>, Violations> {
    RouteSpec::parse(&route_from_wire(route)?).map(Arc::new)
}

fn pool_spec(pool: &wire::Pool) -> Result<PoolSpec, Violations> {
    PoolSpec::parse(&pool_from_wire(pool)?)
}

/// A certificate that can be shown. One whose time is over is: the clients say so, and the metric did before.
fn certificate_spec(certificate: &wire::Certificate) -> Result<CertificateSpec, Violations> {
    let spec = CertificateSpec::parse(&certificate_from_wire(certificate))?;
    match spec.key() {
        Some(_) => Ok(spec),
        None => Err(Violations::one("private_key_pem", NO_KEY)),
    }
}

/// A candidate of the resource's own kind, which `content` reads; its faults stand under "candidate".
fn of_candidate<T>(
    candidate: &Candidate,
    content: impl FnOnce(Option<&Beside>) -> Option<Result<T, Violations>>,
) -> Result<config::Candidate<T>, Violations> {
    let mut v = Violations::new();
    let who = CandidateSpec::parse(&candidate_from_wire(candidate)).map_err(|e| v.nest("candidate", e));
    let field = match &candidate.spec {
        Some(Beside::Route(_)) => "candidate.route",
        Some(Beside::Pool(_)) => "candidate.pool",
        None => "candidate.spec",
    };
    let other = || Err(Violations::one("", "must be of the resource's own kind"));
    let content = content(candidate.spec.as_ref()).unwrap_or_else(other).map_err(|e| v.nest(field, e));
    match (content, who) {
        (Ok(content), Ok(who)) => Ok((content, who)),
        _ => Err(v),
    }
}
