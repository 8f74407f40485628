//! ExplainRequest: a described request, held against the configuration that the control plane distributes.

use std::sync::Arc;

use hotswap_api::gateway::v1::Resource;
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::route::v1 as wire;
use hotswap_core::{PoolName, Reason, ResourceName as _, RouteName};
use hotswap_matcher::{Action, Backends, Forward, PoolSpec, RouteSpec, Routed, Split, Target, explain};
use hotswap_route_wire::{
    Described, NEAR_MISSES, explanation_to_wire, pool_from_wire, route_from_wire, split_to_wire,
};
use hotswap_rpc::WireError;
use tonic::Status;

/// A route, parsed.
struct Named(RouteName, RouteSpec);

impl Routed for Named {
    fn name(&self) -> &RouteName {
        &self.0
    }
    fn spec(&self) -> &RouteSpec {
        &self.1
    }
}

/// Explains a request on a thread for long work: it looks at every route.
pub(super) async fn run(
    described: Described,
    revision: i64,
    resources: Vec<Arc<Resource>>,
) -> Result<wire::ExplainRequestResponse, Status> {
    let work = tokio::task::spawn_blocking(move || explained(&described, revision, &resources));
    work.await
        .map_err(|_| Status::from(WireError::new(Reason::Internal, "the request could not be explained")))
}

fn explained(
    described: &Described,
    revision: i64,
    resources: &[Arc<Resource>],
) -> wire::ExplainRequestResponse {
    let routes: Vec<Named> = resources.iter().filter_map(|r| named(r)).collect();
    let found = explain(&routes, described, NEAR_MISSES);
    let forward = found.taken.as_ref().and_then(|taken| match taken.route.spec().action() {
        Action::Forward(forward) => Some(forward),
        Action::Redirect(_) => None,
    });
    let target = forward.and_then(Forward::target);
    let split = forward.and_then(Forward::split);
    let all_to =
        |split: &Split| split.only().and_then(|place| split.pools().get(place)).map(|p| p.pool.clone());
    let whole = split.and_then(all_to).map(Target::Pool);
    let (pool, backend) = match target.or(whole.as_ref()) {
        None => (None, None),
        Some(Target::Inline(backends)) => (None, only_one(backends)),
        Some(Target::Pool(name)) => (Some(name.to_string()), only_of(name, resources)),
    };
    let split = split.map(split_to_wire).unwrap_or_default();
    let told = explanation_to_wire(found, revision);
    wire::ExplainRequestResponse {
        split,
        pool: pool.unwrap_or_default(),
        backend_address: backend.unwrap_or_default(),
        ..told
    }
}

fn named(resource: &Resource) -> Option<Named> {
    let Some(Spec::Route(route)) = &resource.spec else { return None };
    let draft = route_from_wire(route).ok()?;
    Some(Named(RouteName::parse(&resource.name).ok()?, RouteSpec::parse(&draft).ok()?))
}

fn only_of(name: &PoolName, resources: &[Arc<Resource>]) -> Option<String> {
    let resource = resources.iter().find(|r| r.name == name.as_str())?;
    let Some(Spec::Pool(pool)) = &resource.spec else { return None };
    let spec = PoolSpec::parse(&pool_from_wire(pool).ok()?).ok()?;
    only_one(spec.backends())
}

/// The backend that takes a request where there is no choice. Else each proxy, and each core of it, has a turn of its
/// own.
fn only_one(backends: &Backends) -> Option<String> {
    let mut enabled = backends.backends.iter().filter(|b| b.is_enabled());
    match (enabled.next(), enabled.next()) {
        (Some(one), None) => Some(one.address.as_str().to_owned()),
        _ => None,
    }
}
