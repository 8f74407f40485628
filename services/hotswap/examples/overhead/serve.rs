//! The server that is measured.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hotswap_auth::{LocalKey, OpContext, Principal, Role, TokenRequest, Verifier, row};
use hotswap_core::{Clock, Ids, SystemClock, SystemIds};
use hotswap_route::{RouteOptions, RouteServer};
use hotswap_rpc::limits::{LimitLayer, LimitMetrics, Limits};
use hotswap_rpc::{AuthLayer, SigningKey};
use hotswap_runtime::grpc::GrpcServer;
use hotswap_runtime::{Supervisor, TaskKind, listen};
use hotswap_store::Database;
use hotswap_telemetry::{GrpcMetrics, LogFormat, LogOptions, Metrics, Process, TraceOptions};
use rustix::thread::{CpuSet, sched_setaffinity};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tower::layer::util::Stack;
use tower::{Layer, Service};

use crate::Failure;

/// How much stands before the use cases. Each has what the one before has, but that the last two differ in how much they
/// trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Bare,
    Authorized,
    Logged,
    Limited,
    Sampled,
    Traced,
}

impl Setting {
    pub(crate) const ALL: [Self; 6] =
        [Self::Bare, Self::Authorized, Self::Logged, Self::Limited, Self::Sampled, Self::Traced];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Authorized => "authorized",
            Self::Logged => "logged",
            Self::Limited => "limited",
            Self::Sampled => "sampled",
            Self::Traced => "traced",
        }
    }

    pub(crate) fn parse(word: &str) -> Result<Self, Failure> {
        Self::ALL.into_iter().find(|s| s.as_str() == word).ok_or_else(|| format!("no setting {word}").into())
    }

    /// What it is, or has more than the one that it is compared with.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Bare => "nothing before the use case",
            Self::Authorized => "authentication and authorization, with request id and counts,",
            Self::Logged => "the log at its default (spans off)",
            Self::Limited => "rate limits, in memory,",
            Self::Sampled => "tracing of 1 % of the calls",
            Self::Traced => "tracing of every call",
        }
    }

    /// What it is compared with.
    pub(crate) fn beside(self) -> Option<Self> {
        match self {
            Self::Bare => None,
            Self::Authorized => Some(Self::Bare),
            Self::Logged => Some(Self::Authorized),
            Self::Limited => Some(Self::Logged),
            Self::Sampled | Self::Traced => Some(Self::Limited),
        }
    }

    fn share(self) -> Option<&'static str> {
        match self {
            Self::Sampled => Some("0.01"),
            Self::Traced => Some("1"),
            Self::Bare | Self::Authorized | Self::Logged | Self::Limited => None,
        }
    }
}

/// Serves until standard input ends.
pub(crate) fn run(setting: Setting, dir: &Path, otlp: &str) -> Result<(), Failure> {
    let mut core = CpuSet::new();
    core.set(0);
    sched_setaffinity(None, &core)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(serve(setting, dir, otlp))
}

async fn serve(setting: Setting, dir: &Path, otlp: &str) -> Result<(), Failure> {
    let quiet = matches!(setting, Setting::Bare | Setting::Authorized);
    let filter = if quiet { "off" } else { "info" }.to_owned();
    let trace = match setting.share() {
        None => TraceOptions::default(),
        Some(share) => TraceOptions { otlp_endpoint: Some(otlp.to_owned()), trace_sample: share.parse()? },
    };
    let process = Process { service: "overhead", version: "0", instance: "0".into() };
    let traces = hotswap_telemetry::start(&LogOptions { format: LogFormat::Text, filter }, &trace, &process)?;
    let (metrics, supervisor) = (Metrics::new(), Supervisor::new());
    traces.register(&metrics)?;
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let key = Arc::new(LocalKey::load_or_create(dir)?);
    let route = {
        let (clock, ids) = (Arc::clone(&clock), Arc::clone(&ids));
        let (database, signing) =
            (Database::Sqlite(dir.join("hotswap.db")), SigningKey::new(Arc::clone(&key))?);
        let options = RouteOptions::default();
        RouteServer::open(&database, options, Arc::new(signing), clock, ids, &metrics, &supervisor).await?
    };
    let request = TokenRequest {
        subject: "admin".into(),
        roles: vec![Role::Admin],
        tenant: None,
        ttl: Duration::from_secs(86_400),
    };
    let token = key.mint(&request, clock.now(), ids.as_ref())?;
    let verifier = Verifier::new(Arc::clone(&key));
    let principal = verifier.verify(&token, clock.now())?;
    let auth =
        AuthLayer::new(verifier, clock, ids, GrpcMetrics::register(&metrics)?).recording(route.attempts());
    let limits = LimitLayer::new(Limits::default(), None, LimitMetrics::register(&metrics)?);
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Counted { calls: Arc::clone(&calls), principal: None };
    let bare = Counted { principal: Some(principal), ..counted.clone() };
    let address = match setting {
        Setting::Bare => listen_with(&route, bare, &supervisor)?,
        Setting::Authorized | Setting::Logged => listen_with(&route, Stack::new(counted, auth), &supervisor)?,
        Setting::Limited | Setting::Sampled | Setting::Traced => {
            listen_with(&route, Stack::new(Stack::new(counted, limits), auth), &supervisor)?
        }
    };
    writeln!(std::io::stdout().lock(), "http://{address} {token}")?;
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await??;
    supervisor.drain(Duration::from_secs(10)).await;
    route.close().await;
    tokio::task::spawn_blocking(move || traces.finish()).await?;
    writeln!(std::io::stdout().lock(), "calls {}\n{}", calls.load(Ordering::Relaxed), metrics.encode()?)?;
    Ok(())
}

fn listen_with<L, S>(route: &RouteServer, layer: L, supervisor: &Supervisor) -> Result<SocketAddr, Failure>
where
    L: Layer<Routes, Service = S> + Clone + Send + Sync + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = listen::bind(any, "overhead", "--listen")?;
    let address = listener.local_addr()?;
    let server = GrpcServer::new(route.routes(), hotswap_api::FILE_DESCRIPTOR_SET)?;
    let shutdown = supervisor.shutdown();
    supervisor.spawn("grpc", TaskKind::Essential, async move {
        // It ends with the process.
        let _ = server.serve(listener, layer, shutdown).await;
    });
    Ok(address)
}

/// Counts calls; and lets them in as those of `principal`, where there is one, without a look at their token.
#[derive(Clone)]
struct Counted {
    calls: Arc<AtomicU64>,
    principal: Option<Principal>,
}

impl<S> Layer<S> for Counted {
    type Service = CountedService<S>;

    fn layer(&self, inner: S) -> CountedService<S> {
        CountedService { inner, layer: self.clone() }
    }
}

#[derive(Clone)]
struct CountedService<S> {
    inner: S,
    layer: Counted,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for CountedService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        self.layer.calls.fetch_add(1, Ordering::Relaxed);
        if let Some(principal) = &self.layer.principal {
            let method = row(request.uri().path()).map_or("/unknown", |row| row.path);
            let context = OpContext::new(principal.clone(), SystemIds.uuid(), method, None);
            request.extensions_mut().insert(context);
        }
        self.inner.call(request)
    }
}
