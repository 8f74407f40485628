//! RouteService as the suite serves it, on a port and a folder of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hotswap_api::audit::v1::audit_service_client::AuditServiceClient;
use hotswap_api::gateway::v1::config_distribution_service_client::ConfigDistributionServiceClient;
use hotswap_api::gateway::v1::fleet_service_client::FleetServiceClient;
use hotswap_api::route::v1 as wire;
use hotswap_api::route::v1::route_service_client::RouteServiceClient;
use hotswap_audit::AuditOptions;
use hotswap_auth::{LocalKey, Role};
use hotswap_core::{Clock, Ids, Revision, SystemClock, SystemIds};
use hotswap_route::{RouteOptions, RouteServer};
use hotswap_rpc::{ClientError, SigningKey};
use hotswap_runtime::Supervisor;
use hotswap_store::{Database, PostgresOptions};
use hotswap_telemetry::Metrics;
pub(crate) use hotswap_testkit::Authed;
use hotswap_testkit::{TestDatabase, TestServer};
use tonic::Status;
use tonic::transport::Channel;

/// The store that belongs to a folder: a file in it, or, where the run says `HOTSWAP_TEST_STORE=postgres`, a
/// database that lasts as long as the process.
pub(crate) fn database(dir: &Path) -> Database {
    if std::env::var("HOTSWAP_TEST_STORE").as_deref() != Ok("postgres") {
        return Database::Sqlite(dir.join("hotswap.db"));
    }
    postgres(&url(dir))
}

/// Where the database is that belongs to a folder.
pub(crate) fn url(dir: &Path) -> String {
    static OF_FOLDERS: Mutex<BTreeMap<PathBuf, TestDatabase>> = Mutex::new(BTreeMap::new());
    let mut of_folders = OF_FOLDERS.lock().expect("not poisoned");
    let create = || TestDatabase::sorting_as("en-US").expect("PostgreSQL");
    of_folders.entry(dir.to_owned()).or_insert_with(create).url()
}

pub(crate) fn postgres(url: &str) -> Database {
    Database::Postgres(Box::new(PostgresOptions::parse(url).expect("a URL")))
}

pub(crate) struct Server {
    inner: TestServer,
    pub(crate) route: RouteServer,
    pub(crate) metrics: Metrics,
}

impl Server {
    pub(crate) async fn start(dir: &Path) -> Self {
        Self::with(dir, RouteOptions::default()).await
    }

    /// With options of its own.
    pub(crate) async fn with(dir: &Path, options: RouteOptions) -> Self {
        Self::on(dir, &database(dir), options).await
    }

    /// On a store that others may share; the key lies in `dir`.
    pub(crate) async fn on(dir: &Path, database: &Database, options: RouteOptions) -> Self {
        Self::at(dir, database, options, Arc::new(SystemClock)).await
    }

    pub(crate) async fn at(
        dir: &Path,
        database: &Database,
        options: RouteOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let supervisor = Supervisor::new();
        let ids: Arc<dyn Ids> = Arc::new(SystemIds);
        let metrics = Metrics::new();
        let key = LocalKey::load_or_create(dir).expect("key");
        let key = Arc::new(SigningKey::new(Arc::new(key)).expect("key"));
        let anchors = options.audit.anchors.clone().or_else(|| Some(dir.join("audit-anchors.jsonl")));
        let options = RouteOptions { audit: AuditOptions { anchors, ..options.audit.clone() }, ..options };
        let route = RouteServer::open(database, options, key, clock, ids, &metrics, &supervisor).await;
        let route = route.expect("opens");
        let inner = TestServer::recording(dir, route.routes(), route.attempts(), supervisor);
        Self { inner, route, metrics }
    }

    /// Ends it in good order, as SIGTERM would.
    pub(crate) async fn stop(self) {
        self.inner.stop().await;
        self.route.close().await;
    }

    pub(crate) fn token(&self, roles: &[Role], ttl: Duration) -> String {
        self.inner.token(roles, ttl)
    }

    pub(crate) async fn channel(&self) -> Channel {
        self.inner.channel().await
    }

    pub(crate) async fn authed(&self, role: Role) -> Authed {
        self.inner.authed(role).await
    }

    pub(crate) async fn routes(&self) -> RouteServiceClient<Authed> {
        RouteServiceClient::new(self.inner.authed(Role::Admin).await)
    }

    pub(crate) async fn audit(&self, role: Role) -> AuditServiceClient<Authed> {
        AuditServiceClient::new(self.inner.authed(role).await)
    }

    pub(crate) async fn fleet(&self) -> FleetServiceClient<Authed> {
        FleetServiceClient::new(self.inner.authed(Role::Viewer).await)
    }

    pub(crate) async fn distribution(&self) -> ConfigDistributionServiceClient<Authed> {
        ConfigDistributionServiceClient::new(self.inner.authed(Role::Gateway).await)
    }
}

pub(crate) fn error(status: &Status) -> ClientError {
    ClientError::from(status)
}

pub(crate) fn fields(status: &Status) -> Vec<String> {
    error(status).violations.iter().map(|v| v.field.clone()).collect()
}

pub(crate) fn pool(addresses: &[&str]) -> wire::Pool {
    let backend = |a: &&str| wire::Backend { address: (*a).to_owned(), weight: None, ..Default::default() };
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
