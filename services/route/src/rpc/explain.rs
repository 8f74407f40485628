//! ExplainRequest: a described request, held against the configuration that the control plane distributes.

use std::sync::Arc;

use hotswap_api::gateway::v1::Resource;
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::route::v1 as wire;
use hotswap_core::{PoolName, Reason, ResourceName as _, RouteName, Violations};
use hotswap_matcher::{
    Action, Backends, PoolSpec, RequestHead, RouteSpec, Routed, Target, explain, parse_host,
};
use hotswap_route_wire::{pool_from_wire, route_from_wire};
use hotswap_rpc::WireError;
use http::HeaderName;
use tonic::Status;

/// Near misses that an answer has at most.
const NEAR_MISSES: usize = 20;
const MAX_HEADERS: usize = 100;

/// A request as it was described.
#[derive(Debug)]
pub(super) struct Described {
    method: String,
    host: String,
    path: String,
    query: Option<String>,
    headers: Vec<(HeaderName, String)>,
}

impl RequestHead for Described {
    fn method(&self) -> &str {
        &self.method
    }
    fn host(&self) -> &str {
        &self.host
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn header(&self, name: &HeaderName, visit: &mut dyn FnMut(&[u8])) {
        self.headers.iter().filter(|(n, _)| n == name).for_each(|(_, value)| visit(value.as_bytes()));
    }
}

impl Described {
    /// Parses a description; all that is wrong with it is told at once.
    pub(super) fn parse(m: wire::ExplainRequestRequest) -> Result<Self, Status> {
        if !m.proxy.is_empty() {
            let what = "explanations from a proxy's live configuration";
            return Err(WireError::feature_not_built("proxy", what).into());
        }
        let mut v = Violations::new();
        if !m.path.starts_with('/') || m.path.contains('#') {
            v.add("path", "must begin with \"/\", and have no \"#\"");
        }
        let method = if m.method.is_empty() { "GET".to_owned() } else { m.method };
        if http::Method::from_bytes(method.as_bytes()).is_err() {
            v.add("method", "is not a method");
        }
        if m.headers.len() > MAX_HEADERS {
            v.add("headers", format!("must have at most {MAX_HEADERS} entries"));
        }
        let mut headers = Vec::with_capacity(m.headers.len());
        for (i, header) in m.headers.into_iter().enumerate() {
            match HeaderName::from_bytes(header.name.as_bytes()) {
                Ok(name) => headers.push((name, header.value)),
                Err(_) => v.add(format!("headers[{i}].name"), "is not a valid header name"),
            }
        }
        let host =
            v.take("host", parse_host(&m.host).ok_or("is not a host, as \"shop.example\" or \"[::1]:8080\""));
        v.into_result().map_err(WireError::invalid)?;
        let (path, query) = match m.path.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (m.path, None),
        };
        let host = host.map(|host| host.name.into_owned()).unwrap_or_default();
        Ok(Self { method, host, path, query, headers })
    }
}

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
    let target = found.taken.as_ref().and_then(|taken| match taken.route.spec().action() {
        Action::Forward(forward) => Some(&forward.target),
        Action::Redirect(_) => None,
    });
    let (pool, backend) = match target {
        None => (None, None),
        Some(Target::Inline(backends)) => (None, only(backends)),
        Some(Target::Pool(name)) => (Some(name.to_string()), only_of(name, resources)),
    };
    let misses = found.near_misses.into_iter().map(|miss| wire::NearMiss {
        route: miss.route.name().to_string(),
        failed: miss.failed,
        field: miss.field,
    });
    wire::ExplainRequestResponse {
        pool: pool.unwrap_or_default(),
        backend_address: backend.unwrap_or_default(),
        near_misses: misses.collect(),
        decided_by: found.taken.as_ref().map(|t| t.decided_by.clone()).unwrap_or_default(),
        route: found.taken.map(|t| t.route.name().to_string()).unwrap_or_default(),
        revision,
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
    only(spec.backends())
}

/// The backend that takes a request where there is no choice. Else each proxy, and each core of it, has a turn of its
/// own.
fn only(backends: &Backends) -> Option<String> {
    let mut enabled = backends.backends.iter().filter(|b| b.is_enabled());
    match (enabled.next(), enabled.next()) {
        (Some(one), None) => Some(one.address.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(host: &str) -> Option<String> {
        let request =
            wire::ExplainRequestRequest { host: host.into(), path: "/".into(), ..Default::default() };
        Described::parse(request).map(|d| d.host).ok()
    }

    #[test]
    fn a_host_is_read_as_the_gateway_reads_it() {
        for (host, name) in [
            ("", ""),
            ("Shop.Example.", "shop.example"),
            ("shop.example:8080", "shop.example"),
            ("192.0.2.7:80", "192.0.2.7"),
            ("[::1]:8080", "[::1]"),
            ("[2001:DB8::7]", "[2001:db8::7]"),
        ] {
            assert_eq!(described(host).as_deref(), Some(name), "{host}");
        }
        for bad in ["::1", "[::1", "a b", "shop.example:http", "user@shop.example"] {
            assert_eq!(described(bad), None, "{bad}");
        }
    }
}
