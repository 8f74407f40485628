//! The control plane in one process: the data folder, the store, the services, and what they are served on.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hotswap_auth::{LocalKey, Verifier};
use hotswap_core::{Clock, Ids, SystemClock, SystemIds};
use hotswap_route::{RouteOptions, RouteServer};
use hotswap_rpc::limits::{LimitLayer, Limits};
use hotswap_rpc::{AuthLayer, SigningKey};
use hotswap_runtime::admin::{self, Readiness};
use hotswap_runtime::grpc::GrpcServer;
use hotswap_runtime::tls::{Protocol, ServerTls, TlsArgs};
use hotswap_runtime::{DataDir, Listener, StartError, Supervisor, TaskKind, listen};
use hotswap_store::{Database, PostgresOptions};
use hotswap_telemetry::{GrpcMetrics, Metrics, MetricsError, Traces};
use tokio::net::{TcpListener, UnixListener};
use tonic::service::Routes;
use tower::layer::util::Stack;

use crate::connection::ADMIN_TOKEN;
use crate::exit::Failure;
use crate::guard;
use crate::provider::{self, ProviderOptions};
use crate::tokens::{GATEWAY_TOKEN, TokenKeeper};

/// How long what stands before the control plane may take to end: the gateway's drain lies within it.
const OUTER_DRAIN: Duration = Duration::from_secs(15);
/// How long the control plane may take to end its calls.
const DRAIN: Duration = Duration::from_secs(10);

/// The socket in the data folder.
const SOCKET: &str = "control.sock";

/// The file of the embedded store, in the data folder.
pub(crate) const DATABASE: &str = "hotswap.db";

/// Where the suite lives.
#[derive(Clone, Debug)]
pub(crate) struct SuiteOptions {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    /// `None`: SQLite, in the data folder.
    pub(crate) database: Option<PostgresOptions>,
    pub(crate) route: RouteOptions,
    /// Whom to trust beside the local key.
    pub(crate) provider: Option<ProviderOptions>,
    /// Where its spans go.
    pub(crate) traces: Traces,
    pub(crate) tls: TlsArgs,
    pub(crate) limits: Limits,
    /// Whether it is served through a socket in the data folder too: to processes of this suite, whatever the
    /// certificates are.
    pub(crate) socket: bool,
}

/// A control plane that is serving.
pub(crate) struct Suite {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) readiness: Readiness,
    /// TLS of both listeners.
    pub(crate) tls: Option<ServerTls>,
    /// The control plane's own tasks, which end after everything that calls it.
    pub(crate) supervisor: Supervisor,
    dir: Arc<DataDir>,
    route: RouteServer,
    traces: Traces,
}

impl Suite {
    /// Binds, opens and serves, in this order: a taken port must not leave a data folder behind, and nobody
    /// is answered before the store is open. Where a part of it ends, `process` is asked to stop.
    pub(crate) async fn start(options: &SuiteOptions, process: &Supervisor) -> Result<Self, StartError> {
        let supervisor = Supervisor::new();
        options.tls.allow(options.listen, "--listen")?;
        options.tls.allow(options.admin_listen, "--admin-listen")?;
        let tls = options.tls.files()?.map(ServerTls::load).transpose()?;
        let grpc = listen::bind(options.listen, "control plane", "--listen")?;
        let page = listen::bind(options.admin_listen, "control plane admin", "--admin-listen")?;
        let dir = Arc::new(DataDir::open(&options.data_dir)?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids: Arc<dyn Ids> = Arc::new(SystemIds);

        let key = LocalKey::load_or_create(dir.path())
            .map_err(|e| StartError::failed("opening the signing key")(e.into()))?;
        let key = Arc::new(key);
        let keeper =
            TokenKeeper::new(Arc::clone(&dir), Arc::clone(&key), Arc::clone(&clock), Arc::clone(&ids));
        keeper.renew()?;
        let metrics = Metrics::new();
        let database = match &options.database {
            Some(options) => Database::Postgres(Box::new(options.clone())),
            None => Database::Sqlite(dir.path().join(DATABASE)),
        };
        let route = {
            let (clock, ids) = (Arc::clone(&clock), Arc::clone(&ids));
            let signing = SigningKey::new(Arc::clone(&key))
                .map_err(|e| StartError::failed("opening the signing key")(e.into()))?;
            let (route, signing) = (options.route.clone(), Arc::new(signing));
            RouteServer::open(&database, route, signing, clock, ids, &metrics, &supervisor).await?
        };

        let (listen, admin_listen) = (address(&grpc)?, address(&page)?);
        let readiness = Readiness::default();
        let undeclared = |e: MetricsError| StartError::failed("declaring metrics")(e.into());
        let counted = GrpcMetrics::register(&metrics).map_err(undeclared)?;
        options.traces.register(&metrics).map_err(undeclared)?;
        let verifier = Verifier::new(key);
        if let Some(provider) = options.provider.clone() {
            provider::follow(provider, verifier.clone(), &supervisor).await?;
        }
        let redis = options.route.redis_url.as_deref();
        let limits =
            guard::limit_layer(options.limits.clone(), redis, route.store_id(), &metrics, &supervisor)?;
        let admits = AuthLayer::new(verifier, clock, ids, counted).recording(route.attempts());
        let layer = Stack::new(limits, admits);
        if options.socket {
            serve(socket(&dir)?.into(), route.routes(), layer.clone(), &supervisor).await?;
        }
        let routes = if tls.is_some() { route.routes_behind_tls() } else { route.routes() };
        serve(Listener::new(grpc, tls.as_ref(), Protocol::Grpc), routes, layer, &supervisor).await?;
        let page = Listener::new(page, tls.as_ref(), Protocol::Page);
        let admin = admin::serve(page, metrics, readiness.clone(), supervisor.shutdown());
        supervisor.spawn("admin page", TaskKind::Essential, admin);
        keeper.keep(&supervisor);
        if let Some(tls) = &tls {
            tls.follow(&supervisor);
        }
        tie(process, &supervisor);
        let traces = options.traces.clone();
        Ok(Self { listen, admin_listen, readiness, tls, supervisor, dir, route, traces })
    }

    /// The data folder.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// The file with the administrator's token.
    pub(crate) fn admin_token(&self) -> PathBuf {
        self.dir.path().join(ADMIN_TOKEN)
    }

    /// How its addresses begin.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The socket in the data folder, where it was asked for.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join(SOCKET)
    }

    /// The file with the gateway's token.
    pub(crate) fn gateway_token(&self) -> PathBuf {
        self.dir.path().join(GATEWAY_TOKEN)
    }

    /// Waits until the process is to stop, and ends everything in good order: first what calls the control
    /// plane, then the control plane.
    ///
    /// # Errors
    /// Where it stops without having been asked to.
    pub(crate) async fn until_stopped(self, process: &Supervisor) -> Result<(), Failure> {
        process.shutdown().cancelled().await;
        let outer = process.drain(OUTER_DRAIN).await;
        let inner = self.supervisor.drain(DRAIN).await;
        self.route.close().await;
        self.traces.finish();
        let aborted = [outer.aborted, inner.aborted].concat();
        if !aborted.is_empty() {
            tracing::warn!(tasks = aborted.join(", "), "tasks did not end in time");
        }
        match outer.reason.or(inner.reason) {
            None => Ok(()),
            Some(why) => Err(Failure::other(why)),
        }
    }
}

/// Stops the process where the control plane ends.
fn tie(process: &Supervisor, control_plane: &Supervisor) {
    let (stopped, ended) = (process.shutdown(), control_plane.shutdown());
    let process_too = process.clone();
    process.spawn("control plane watch", TaskKind::Background, async move {
        tokio::select! {
            () = ended.cancelled() => process_too.request_stop(None),
            () = stopped.cancelled() => {}
        }
    });
}

fn address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|e| StartError::failed("reading an address")(e.into()))
}

/// A socket in the data folder that only its owner connects to.
fn socket(dir: &DataDir) -> Result<UnixListener, StartError> {
    let path = dir.path().join(SOCKET);
    let bound = || {
        // The folder is locked, so it can only be a dead one's.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    bound().map_err(|source| StartError::DataDir { path: path.clone(), source })
}

/// Serves gRPC, with health and reflection.
async fn serve(
    listener: Listener,
    routes: Routes,
    layer: Stack<LimitLayer, AuthLayer>,
    supervisor: &Supervisor,
) -> Result<(), StartError> {
    let server = GrpcServer::new(routes, hotswap_api::FILE_DESCRIPTOR_SET)?;
    let health = server.health();
    for service in SERVICES {
        health.set_service_status(service, tonic_health::ServingStatus::Serving).await;
    }
    let shutdown = supervisor.shutdown();
    supervisor.spawn("control plane", TaskKind::Essential, async move {
        if let Err(error) = server.serve(listener, layer, shutdown).await {
            tracing::error!(%error, "control plane ended");
        }
    });
    Ok(())
}

/// The services that this build has.
const SERVICES: [&str; 5] = [
    "hotswap.route.v1.RouteService",
    "hotswap.gateway.v1.ConfigDistributionService",
    "hotswap.gateway.v1.FleetService",
    "hotswap.audit.v1.AuditService",
    "hotswap.rollout.v1.RolloutService",
];
