//! A server as `hotswap up` runs it, on a port and a folder of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hotswap_api::gateway::v1::config_distribution_service_client::ConfigDistributionServiceClient;
use hotswap_api::gateway::v1::fleet_service_client::FleetServiceClient;
use hotswap_api::route::v1 as wire;
use hotswap_api::route::v1::route_service_client::RouteServiceClient;
use hotswap_auth::{LocalKey, Role, TokenRequest, Verifier};
use hotswap_core::{Clock, Ids, Revision, SystemClock, SystemIds};
use hotswap_route::RouteServer;
use hotswap_rpc::{AuthLayer, BearerToken, ClientError};
use hotswap_runtime::grpc::GrpcServer;
use hotswap_runtime::{Supervisor, TaskKind, listen};
use hotswap_telemetry::{GrpcMetrics, Metrics};
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

pub(crate) type Authed = InterceptedService<Channel, BearerToken>;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    key: Arc<LocalKey>,
    supervisor: Supervisor,
    pub(crate) route: Arc<RouteServer>,
}

impl Server {
    pub(crate) async fn start(dir: &Path) -> Self {
        let supervisor = Supervisor::new();
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let route = RouteServer::open(dir, clock.clone(), ids.clone(), &supervisor).await.expect("opens");
        let route = Arc::new(route);
        let key = Arc::new(LocalKey::load_or_create(dir).expect("key"));
        let metrics = GrpcMetrics::register(&Metrics::new()).expect("metrics");
        let layer = AuthLayer::new(Verifier::new(Arc::clone(&key)), clock, ids, metrics);
        let listener = listen::bind(([127, 0, 0, 1], 0).into(), "test", "--listen").expect("binds");
        let address = listener.local_addr().expect("address");
        let server = GrpcServer::new(route.routes(), hotswap_api::FILE_DESCRIPTOR_SET).expect("server");
        let shutdown = supervisor.shutdown();
        supervisor.spawn("grpc", TaskKind::Essential, async move {
            server.serve(listener, layer, shutdown).await.expect("serves");
        });
        Self { address, key, supervisor, route }
    }

    /// Ends it in good order, as SIGTERM would.
    pub(crate) async fn stop(self) {
        let report = self.supervisor.drain(Duration::from_secs(10)).await;
        assert_eq!(report.aborted, Vec::<String>::new(), "everything ends in time");
        self.route.close().await;
    }

    pub(crate) fn token(&self, roles: &[Role], ttl: Duration) -> String {
        let request = TokenRequest { subject: "tester".into(), roles: roles.to_vec(), tenant: None, ttl };
        self.key.mint(&request, SystemClock.now(), &SystemIds).expect("token")
    }

    pub(crate) async fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.address);
        Channel::from_shared(uri).expect("uri").connect().await.expect("connects")
    }

    pub(crate) async fn authed(&self, role: Role) -> Authed {
        let token = self.token(&[role], Duration::from_secs(600));
        InterceptedService::new(self.channel().await, BearerToken::new(&token).expect("token"))
    }

    pub(crate) async fn routes(&self) -> RouteServiceClient<Authed> {
        RouteServiceClient::new(self.authed(Role::Admin).await)
    }

    pub(crate) async fn fleet(&self) -> FleetServiceClient<Authed> {
        FleetServiceClient::new(self.authed(Role::Viewer).await)
    }

    pub(crate) async fn distribution(&self) -> ConfigDistributionServiceClient<Authed> {
        ConfigDistributionServiceClient::new(self.authed(Role::Gateway).await)
    }
}

pub(crate) fn error(status: &Status) -> ClientError {
    ClientError::from(status)
}

pub(crate) fn fields(status: &Status) -> Vec<String> {
    error(status).violations.iter().map(|v| v.field.clone()).collect()
}

pub(crate) fn pool(addresses: &[&str]) -> wire::Pool {
    let backend = |a: &&str| wire::Backend { address: (*a).to_owned(), weight: None };
    wire::Pool { backends: addresses.iter().map(backend).collect(), ..wire::Pool::default() }
}

pub(crate) fn route(pool: &str, prefix: &str) -> wire::Route {
    let kind = Some(wire::path_match::Kind::Prefix(prefix.to_owned()));
    wire::Route {
        labels: BTreeMap::from([("team".to_owned(), "web".to_owned())]),
        matches: vec![wire::RouteMatch { path: Some(wire::PathMatch { kind }), ..Default::default() }],
        action: Some(wire::route::Action::Forward(wire::Forward {
            target: Some(wire::forward::Target::Pool(pool.to_owned())),
            ..Default::default()
        })),
        ..Default::default()
    }
}

pub(crate) fn create_pool(id: &str) -> wire::CreatePoolRequest {
    let pool = Some(pool(&["127.0.0.1:9001"]));
    wire::CreatePoolRequest { pool_id: id.to_owned(), pool, ..Default::default() }
}

pub(crate) fn create_route(id: &str, pool: &str, prefix: &str) -> wire::CreateRouteRequest {
    let route = Some(route(pool, prefix));
    wire::CreateRouteRequest { route_id: id.to_owned(), route, ..Default::default() }
}

/// A server with the pool "pools/p" and the route "routes/r" to it.
pub(crate) async fn with_route(dir: &Path) -> (Server, wire::Route) {
    let server = Server::start(dir).await;
    let mut client = server.routes().await;
    client.create_pool(create_pool("p")).await.expect("pool");
    let made = client.create_route(create_route("r", "pools/p", "/r")).await.expect("route");
    server.route.distributed(Revision(2)).await;
    (server, made.into_inner().route.expect("route"))
}
