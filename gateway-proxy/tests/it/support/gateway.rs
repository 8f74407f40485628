//! A gateway in the test's own process, and what it is configured from.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use hotswap_core::{PoolName, ResourceName, RouteName};
use hotswap_gateway::config::Catalog;
use hotswap_gateway::options::GatewayOptions;
use hotswap_gateway::plane::DataPlane;
use hotswap_matcher::{
    BackendDraft, CandidateDraft, CandidateSpec, ForwardDraft, MatchDraft, PathMatchDraft, PoolDraft,
    PoolSpec, RouteDraft, RouteSpec, TimeoutsDraft,
};

use super::{Client, Response, in_time};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    gateway: GatewayOptions,
}

/// Options of a gateway on a free port, with one core.
pub fn options(args: &[&str]) -> GatewayOptions {
    let fixed = ["gateway", "--gateway-listen", "127.0.0.1:0", "--gateway-admin-listen", "127.0.0.1:0"];
    let log = if args.contains(&"--access-log") { &[][..] } else { &["--access-log", "off"][..] };
    let workers = if args.contains(&"--gateway-workers") { &[][..] } else { &["--gateway-workers", "1"][..] };
    Cli::parse_from(fixed.iter().chain(log).chain(workers).chain(args)).gateway
}

/// A gateway and what it is configured from.
pub struct Gateway {
    pub plane: DataPlane,
    pub catalog: Catalog,
    revision: i64,
}

impl Gateway {
    pub fn start(args: &[&str]) -> Self {
        let plane = DataPlane::start(&options(args)).expect("starts");
        Self { plane, catalog: Catalog::default(), revision: 0 }
    }

    /// A gateway whose only route sends everything to one backend.
    pub fn before(backend: SocketAddr) -> Self {
        Self::before_with(backend, &[], |_| {})
    }

    /// The same, with options and with a change to the route.
    pub fn before_with(backend: SocketAddr, args: &[&str], change: impl FnOnce(&mut RouteDraft)) -> Self {
        let mut gateway = Self::start(args);
        gateway.pool("p", &[backend]);
        let mut draft = to_pool("p");
        change(&mut draft);
        gateway.route("r", &draft);
        gateway.swap();
        gateway
    }

    pub fn route(&mut self, id: &str, draft: &RouteDraft) {
        let spec = RouteSpec::parse(draft).expect("valid");
        self.catalog.put_route(&RouteName::from_id(id).expect("id"), Arc::new(spec));
    }

    /// A route and its candidate.
    pub fn route_with(&mut self, id: &str, draft: &RouteDraft, other: &RouteDraft, who: &CandidateDraft) {
        let spec = |draft| Arc::new(RouteSpec::parse(draft).expect("valid"));
        let who = CandidateSpec::parse(who).expect("valid");
        let name = RouteName::from_id(id).expect("id");
        self.catalog.put_route_with(&name, spec(draft), Some((spec(other), who)));
    }

    /// A pool of one backend, and its candidate of another.
    pub fn pool_with(&mut self, id: &str, backend: SocketAddr, other: SocketAddr, who: &CandidateDraft) {
        self.pool_of_with(id, &of_backends(&[backend]), &of_backends(&[other]), who);
    }

    /// A pool and its candidate.
    pub fn pool_of_with(&mut self, id: &str, draft: &PoolDraft, other: &PoolDraft, who: &CandidateDraft) {
        let spec = |draft| PoolSpec::parse(draft).expect("valid");
        let who = CandidateSpec::parse(who).expect("valid");
        let name = PoolName::from_id(id).expect("id");
        self.catalog.put_pool_with(&name, &spec(draft), Some((&spec(other), who)));
    }

    pub fn pool(&mut self, id: &str, backends: &[SocketAddr]) {
        self.pool_of(id, &of_backends(backends));
    }

    pub fn pool_of(&mut self, id: &str, draft: &PoolDraft) {
        let spec = PoolSpec::parse(draft).expect("valid");
        self.catalog.put_pool(&PoolName::from_id(id).expect("id"), &spec);
    }

    /// Puts the catalog in force.
    pub fn swap(&mut self) {
        self.revision += 1;
        self.plane.config().replace(self.catalog.compile(self.revision));
    }

    pub fn address(&self) -> SocketAddr {
        self.plane.listen()
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, request: &str) -> Response {
        let mut client = self.connect().await;
        client.send(request).await;
        client.response().await
    }

    /// Every metric, as text.
    pub fn metrics(&self) -> String {
        let registry = hotswap_telemetry::Metrics::new();
        let collected = hotswap_gateway::metrics::Collected::new(self.plane.metrics().clone());
        registry.register(collected.expect("valid")).expect("free");
        let backends = hotswap_gateway::metrics::CollectedBackends::new(self.plane.config());
        registry.register(backends.expect("valid")).expect("free");
        let traffic = hotswap_gateway::metrics::CollectedTraffic::new(self.plane.config());
        registry.register(traffic.expect("valid")).expect("free");
        if let Some(fleet) = self.plane.fleet_metrics() {
            registry.register(fleet).expect("free");
        }
        registry.encode().expect("text")
    }

    /// Waits until a line stands among the metrics: what ends an exchange may come after its response.
    pub async fn counts(&self, line: &str) {
        in_time(line, async {
            while !self.metrics().lines().any(|l| l == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

pub fn of_backends(backends: &[SocketAddr]) -> PoolDraft {
    let backends = backends
        .iter()
        .map(|a| BackendDraft { address: a.to_string(), weight: None, ..BackendDraft::default() })
        .collect();
    PoolDraft { backends, ..PoolDraft::default() }
}

pub fn to_pool(pool: &str) -> RouteDraft {
    RouteDraft {
        forward: Some(ForwardDraft { pool: Some(format!("pools/{pool}")), ..ForwardDraft::default() }),
        ..RouteDraft::default()
    }
}

pub fn at_prefix(prefix: &str) -> Vec<MatchDraft> {
    vec![MatchDraft { path: Some(PathMatchDraft::Prefix(prefix.into())), ..MatchDraft::default() }]
}

pub fn timeouts(draft: &mut RouteDraft, timeouts: TimeoutsDraft) {
    draft.forward.as_mut().expect("forwards").timeouts = Some(timeouts);
}
