//! A resource of the stream becomes one that can be served, or a list of what is wrong with it.

use std::sync::Arc;

use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::gateway::v1::{Resource, ResourceError};
use hotswap_core::{PoolName, RefusalReason, ResourceName, RouteName, Violations};
use hotswap_matcher::{PoolSpec, RouteSpec};
use hotswap_route_wire::{pool_from_wire, route_from_wire};

/// What a resource holds.
pub(super) enum Content {
    Route(RouteName, Arc<RouteSpec>),
    Pool(PoolName, Box<PoolSpec>),
}

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
            let draft = route_from_wire(route).map_err(invalid)?;
            Ok(Content::Route(name, Arc::new(RouteSpec::parse(&draft).map_err(invalid)?)))
        }
        Some(Spec::Pool(pool)) => {
            let name = PoolName::parse(&resource.name).map_err(misnamed)?;
            let draft = pool_from_wire(pool).map_err(invalid)?;
            Ok(Content::Pool(name, Box::new(PoolSpec::parse(&draft).map_err(invalid)?)))
        }
        None => Err(vec![error(
            "spec",
            RefusalReason::FeatureNotBuilt,
            "this build does not know the kind".into(),
        )]),
    }
}
