//! The gateway as a process: data plane, watch and admin page together, from start to drain.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use hotswap_core::SystemIds;
use hotswap_runtime::admin::{self, Readiness};
use hotswap_runtime::tls::{Protocol, ServerTls};
use hotswap_runtime::{CancellationToken, Listener, StartError, Supervisor, TaskKind, stop_on_signals};
use hotswap_telemetry::{LogOptions, Metrics, Process, TraceOptions, Traces};
use tokio::net::TcpListener;

use crate::admin::{Gateway, pages};
use crate::config::Live;
use crate::discover::Discovery;
use crate::engine::Limits;
use crate::fleet::FleetMetrics;
use crate::handover::{self, Ends, Giver, Holdings, Inherited, Takeover};
use crate::keys::{Keeping, Kept as KeptKeys};
use crate::metrics::{
    Collected, CollectedBackends, CollectedCertificates, CollectedRollouts, CollectedTraffic, ControlMetrics,
    GatewayMetrics,
};
use crate::options::{GatewayOptions, open_files};
use crate::plane::{Bound, DataPlane};
use crate::respawn;
use crate::state::{Secrets, State, StateHandle};
use crate::tell::{self, Addresses};
use crate::tls::ClientTls;

/// What the tasks of the control thread have to end in, after the cores.
const CONTROL_DEADLINE: Duration = Duration::from_secs(2);

/// Fewer open files than this are few for a gateway.
const FEW_FILES: u64 = 4_096;

/// Runs the gateway until SIGINT or SIGTERM, or until another one has taken over, then drains.
///
/// # Errors
/// Where an option is wrong or an address is taken; nothing has been served then.
pub async fn run(options: GatewayOptions, log: &LogOptions, trace: &TraceOptions) -> Result<(), StartError> {
    let version = env!("CARGO_PKG_VERSION");
    let process = Process { service: "hotswap-gateway", version, instance: options.proxy_name.clone() };
    let traces =
        hotswap_telemetry::start(log, trace, &process).map_err(|e| StartError::Option(e.to_string()))?;
    let supervisor = Supervisor::new();
    stop_on_signals(&supervisor)?;
    let left = CancellationToken::new();
    respawn::on_signal(&supervisor, &left, options.is_kept)?;
    let ended = serve(options, &traces, &supervisor, left).await;
    traces.finish();
    ended
}

/// A gateway that could serve, and does not yet.
struct Assembled {
    plane: DataPlane,
    discovery: Discovery,
    disk: StateHandle,
    giver: Option<Giver>,
    page: Page,
    client_tls: Option<ClientTls>,
    control: Arc<ControlMetrics>,
    readiness: Readiness,
}

/// The admin page.
struct Page {
    socket: TcpListener,
    tls: Option<ServerTls>,
    registry: Metrics,
    pages: Vec<admin::Page>,
}

/// Runs the gateway until the supervisor is asked to stop, or another gateway has taken over: then `left` is cancelled.
async fn serve(
    options: GatewayOptions,
    traces: &Traces,
    supervisor: &Supervisor,
    left: CancellationToken,
) -> Result<(), StartError> {
    let (mut over, mut inherited) = match options.take_over {
        true => Takeover::begin(&options.gateway_data_dir).await.map(|(over, all)| (Some(over), all))?,
        false => (None, Inherited::default()),
    };
    let Assembled { plane, discovery, disk, giver, page, client_tls, control, readiness } =
        assemble(&options, traces, over.as_ref(), &mut inherited)?;
    let shutdown = supervisor.shutdown();
    let generation = over.as_ref().map_or(1, |over| over.generation);
    let keys = plane.config().now().keys().clone();
    tokio::select! {
        () = keys.first_answers() => {}
        () = shutdown.cancelled() => {}
    }
    match &mut over {
        None => plane.open(),
        Some(over) => over.take(inherited, &plane, &shutdown).await?,
    }
    disk.go_on();
    let ends = Ends::new(left, &shutdown);
    let watch = discovery.run(ends.watch.clone(), ends.left.clone());
    supervisor.spawn("watch", TaskKind::Essential, ends.essential(watch));
    if let Some(over) = over {
        supervisor.spawn("take-over", TaskKind::Background, over.until_watching(Arc::clone(&control)));
    }
    plane.backend_tls().follow(supervisor);
    if let Some(tls) = client_tls {
        tls.follow(supervisor, &control);
    }
    let admin = page.socket.local_addr().unwrap_or(options.gateway_admin_listen);
    page.serve(supervisor, &readiness, &ends);
    let at = Addresses { listen: plane.listen(), tls: plane.listen_tls(), admin };
    tell::listens(&options, at, generation)?;

    match handover::until_end(giver, &shutdown).await {
        Some(given) => given.leave(plane, &ends).await,
        None => {
            // Who balances over several gateways sees it before the listeners close.
            readiness.not_ready("drain", "stopping");
            tell::stops(&options);
            drain(plane).await;
        }
    }
    ends.page.cancel();
    let report = supervisor.drain(CONTROL_DEADLINE).await;
    finish(&disk).await;
    match report.reason {
        Some(reason) => Err(StartError::failed("the gateway stopped")(reason.into())),
        None => Ok(()),
    }
}

/// Makes the gateway, with what another one hands over to it.
fn assemble(
    options: &GatewayOptions,
    traces: &Traces,
    over: Option<&Takeover>,
    inherited: &mut Inherited,
) -> Result<Assembled, StartError> {
    let tls = options.security.admin_page(options.gateway_admin_listen)?;
    // Bound first: a taken port must leave no folder behind. Who connects meanwhile waits.
    let socket = inherited.page(options.gateway_admin_listen)?;
    let mut bound = Bound::bind_with(options, inherited)?;
    let (metrics, config) = (GatewayMetrics::new(options.workers()), Live::new());
    let (readiness, control) = (Readiness::default(), Arc::clone(&metrics.control));
    let kept = prepare(options, &config, &readiness, (over, inherited.lock.take()), Arc::clone(&control))?;
    let generation = over.map_or(1, |over| over.generation);
    let giver = giver(options, generation, (&bound, &socket), (&kept, &config), inherited.channel.take());
    bound.keep_keys(Keeping::new(kept.disk.clone(), &options.keys));
    let client_tls = bound.tls().cloned();
    let registry = registry(&metrics, &config, client_tls.as_ref(), bound.fleet_metrics(), traces)?;
    let tls_told = (client_tls.clone(), bound.backend_tls().clone());
    let told = Gateway::new(options, bound.limits(), tls_told, Arc::clone(&control), generation);
    let page = Page { socket, tls, registry, pages: pages(&config, told) };
    tell_limits(&bound.limits());
    let plane = DataPlane::prepare(bound, options, config, metrics, traces.requests().as_ref())?;
    let Kept { discovery, disk, .. } = kept;
    Ok(Assembled { plane, discovery, disk, giver, page, client_tls, control, readiness })
}

impl Page {
    fn serve(self, supervisor: &Supervisor, readiness: &Readiness, ends: &Ends) {
        let Self { socket, tls, registry, pages } = self;
        let listener = Listener::new(socket, tls.as_ref(), Protocol::Page).until(ends.left.clone());
        if let Some(tls) = tls {
            tls.follow(supervisor);
        }
        let admin = admin::serve_with(listener, registry, readiness.clone(), pages, ends.page.clone());
        supervisor.spawn("admin", TaskKind::Essential, ends.essential(admin));
    }
}

/// What hands this gateway over to the next one; `None`: it can't be.
fn giver(
    options: &GatewayOptions,
    generation: u64,
    (bound, page): (&Bound, &TcpListener),
    (kept, config): (&Kept, &Live),
    channel: Option<UnixListener>,
) -> Option<Giver> {
    let lock = kept.lock.as_ref().and_then(|lock| lock.try_clone().ok())?;
    let refuses =
        options.is_kept.then_some("it is kept by another process, as by hotswap up; start that one anew");
    let make = || {
        let admin = page.as_fd().try_clone_to_owned()?.into();
        let (sockets, disk, config) = (bound.sockets()?, kept.disk.clone(), config.clone());
        let has = Holdings { sockets, admin, lock, disk, config, generation, refuses };
        Giver::new(&options.gateway_data_dir, channel, has)
    };
    let made = make();
    made.inspect_err(|error| tracing::warn!(%error, "no other gateway can take over from this one")).ok()
}

/// Says what clients can't go beyond.
fn tell_limits(limits: &Limits) {
    let open_files = open_files();
    tracing::info!(
        max_head_bytes = limits.max_head_bytes,
        max_headers = limits.max_headers,
        max_body_bytes = limits.max_body_bytes,
        http2_streams = limits.http2.streams,
        http2_stream_window = limits.http2.stream_window,
        http2_connection_window = limits.http2.connection_window,
        http2_resets = limits.http2.resets,
        client_head_ms = limits.client_head_ms,
        client_idle_ms = limits.client_idle_ms,
        drain_deadline_ms = limits.drain_deadline.as_millis(),
        max_connections = limits.max_connections,
        open_files,
        "limits"
    );
    if let Some(open_files) = open_files.filter(|n| *n < FEW_FILES) {
        tracing::warn!(
            open_files,
            "few files may be open; each client and each backend's connection is one (ulimit -n)"
        );
    }
}

/// Lets every exchange end, under the deadline.
async fn drain(plane: DataPlane) {
    plane.stop();
    if tokio::task::spawn_blocking(move || plane.join()).await.is_err() {
        tracing::error!("the cores did not end in order");
    }
}

/// Lets the disk take what is left. One that hangs is not waited for.
async fn finish(disk: &StateHandle) {
    disk.close();
    if tokio::time::timeout(CONTROL_DEADLINE, disk.ended()).await.is_err() {
        tracing::warn!("the disk did not take the last change in time");
    }
}

/// The watch, and the folder that it keeps the configuration in.
struct Kept {
    discovery: Discovery,
    disk: StateHandle,
    /// Of the folder; `None`: it can't be used.
    lock: Option<File>,
}

/// The watch, with what was kept on disk in force already. What is taken over is all in force, or the other gateway serves
/// on.
fn prepare(
    options: &GatewayOptions,
    config: &Live,
    readiness: &Readiness,
    (over, lock): (Option<&Takeover>, Option<File>),
    control: Arc<ControlMetrics>,
) -> Result<Kept, StartError> {
    let (config, readiness) = (config.clone(), readiness.clone());
    let secrets = Secrets::load(options.state_key_file.as_deref())?;
    let discovery = Discovery::new(options, &SystemIds, config.clone(), Arc::clone(&control), readiness)?;
    let mut discovery = discovery.with_secrets(secrets.clone());
    let state = State::open(&options.gateway_data_dir, lock, control)?.with_secrets(secrets);
    if let Some(sets) = state.key_sets() {
        discovery.keys().begin_with(KeptKeys::read(&sets, &options.keys));
    }
    let refused = state.saved().map(|saved| discovery.start_from(&saved)).unwrap_or_default();
    if let Some(over) = over {
        over.is_matched(config.now().revision(), refused.first())?;
    }
    let lock = state.lock();
    let disk = state
        .start(over.is_some())
        .map_err(|e| StartError::failed("starting the thread that writes")(e.into()))?;
    discovery.keep_in(disk.clone());
    Ok(Kept { discovery, disk, lock })
}

fn registry(
    metrics: &GatewayMetrics,
    config: &Live,
    tls: Option<&ClientTls>,
    fleet: Option<FleetMetrics>,
    traces: &Traces,
) -> Result<Metrics, StartError> {
    let registry = Metrics::new();
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| StartError::failed("declaring metrics")(e);
    let collected = Collected::new(metrics.clone()).map_err(|e| failed(e.into()))?;
    registry.register(collected).map_err(|e| failed(e.into()))?;
    let backends = CollectedBackends::new(config).map_err(|e| failed(e.into()))?;
    registry.register(backends).map_err(|e| failed(e.into()))?;
    let rollouts = CollectedRollouts::new(config).map_err(|e| failed(e.into()))?;
    registry.register(rollouts).map_err(|e| failed(e.into()))?;
    if let Some(tls) = tls {
        let certificates = CollectedCertificates::new(tls).map_err(|e| failed(e.into()))?;
        registry.register(certificates).map_err(|e| failed(e.into()))?;
    }
    let traffic = CollectedTraffic::new(config).map_err(|e| failed(e.into()))?;
    registry.register(traffic).map_err(|e| failed(e.into()))?;
    if let Some(fleet) = fleet {
        registry.register(fleet).map_err(|e| failed(e.into()))?;
    }
    traces.register(&registry).map_err(|e| failed(e.into()))?;
    Ok(registry)
}
