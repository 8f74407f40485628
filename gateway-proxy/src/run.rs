//! The gateway as a process: data plane, watch and admin page together, from start to drain.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hotswap_core::SystemIds;
use hotswap_runtime::admin::{self, Readiness};
use hotswap_runtime::tls::Protocol;
use hotswap_runtime::{
    CancellationToken, Listener, StartError, Supervisor, TaskKind, listen, stop_on_signals,
};
use hotswap_telemetry::{LogOptions, Metrics, Process, TraceOptions, Traces};

use crate::admin::{Gateway, pages};
use crate::config::Live;
use crate::discover::Discovery;
use crate::engine::Limits;
use crate::metrics::{
    Collected, CollectedBackends, CollectedCertificates, CollectedRollouts, CollectedTraffic, ControlMetrics,
    GatewayMetrics,
};
use crate::options::GatewayOptions;
use crate::plane::{Bound, DataPlane};
use crate::state::{State, StateHandle};
use crate::tls::ClientTls;

/// What the tasks of the control thread have to end in, after the cores.
const CONTROL_DEADLINE: Duration = Duration::from_secs(2);

/// Fewer open files than this are few for a gateway.
const FEW_FILES: u64 = 4_096;

/// Runs the gateway until SIGINT or SIGTERM, then drains.
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
    let ended = serve(options, &traces, &supervisor).await;
    traces.finish();
    ended
}

/// Runs the gateway until the supervisor is asked to stop.
async fn serve(options: GatewayOptions, traces: &Traces, supervisor: &Supervisor) -> Result<(), StartError> {
    let tls = options.security.admin_page(options.gateway_admin_listen)?;
    // Bound first: a taken port must leave no folder behind. Who connects meanwhile waits.
    let page = listen::bind(options.gateway_admin_listen, "gateway admin page", "--gateway-admin-listen")?;
    let admin_listen = page.local_addr().unwrap_or(options.gateway_admin_listen);
    let bound = Bound::bind(&options)?;
    let (metrics, config) = (GatewayMetrics::new(options.workers()), Live::new());
    let (readiness, control) = (Readiness::default(), Arc::clone(&metrics.control));
    let (discovery, disk) = prepare(&options, &config, &readiness, control)?;
    let client_tls = bound.tls().cloned();
    let registry = registry(&metrics, &config, client_tls.as_ref(), traces)?;
    let control = Arc::clone(&metrics.control);
    let told = Gateway::new(&options, bound.limits(), client_tls.clone(), Arc::clone(&control));
    let pages = pages(&config, told);
    tell_limits(&bound.limits());
    let plane = DataPlane::serve(bound, &options, config, metrics, traces.requests().as_ref())?;

    let shutdown = supervisor.shutdown();
    let stop_page = CancellationToken::new();
    supervisor.spawn("watch", TaskKind::Essential, discovery.run(shutdown.clone()));
    let page = Listener::new(page, tls.as_ref(), Protocol::Page);
    if let Some(tls) = tls {
        tls.follow(supervisor);
    }
    if let Some(tls) = client_tls {
        tls.follow(supervisor, &control);
    }
    let admin = admin::serve_with(page, registry, readiness.clone(), pages, stop_page.clone());
    supervisor.spawn("admin", TaskKind::Essential, admin);
    let listen = plane.listen();
    tracing::info!(%listen, %admin_listen, workers = options.workers(), "gateway listens");
    let tls_listen = plane.listen_tls();
    if let Some(tls_listen) = tls_listen {
        tracing::info!(%tls_listen, "gateway listens with TLS");
    }
    if let Some(file) = &options.ready_file {
        write_ready(file, listen, tls_listen, admin_listen)?;
    }

    shutdown.cancelled().await;
    // Who balances over several gateways sees it before the listeners close.
    readiness.not_ready("drain", "stopping");
    drain(plane).await;
    stop_page.cancel();
    let report = supervisor.drain(CONTROL_DEADLINE).await;
    finish(&disk).await;
    match report.reason {
        Some(reason) => Err(StartError::failed("the gateway stopped")(reason.into())),
        None => Ok(()),
    }
}

/// Says what clients can't go beyond.
fn tell_limits(limits: &Limits) {
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
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

/// The watch, with what was kept on disk in force already.
fn prepare(
    options: &GatewayOptions,
    config: &Live,
    readiness: &Readiness,
    control: Arc<ControlMetrics>,
) -> Result<(Discovery, StateHandle), StartError> {
    let (config, readiness) = (config.clone(), readiness.clone());
    let mut discovery = Discovery::new(options, &SystemIds, config, Arc::clone(&control), readiness)?;
    let state = State::open(&options.gateway_data_dir, control)?;
    if let Some(saved) = state.saved() {
        discovery.start_from(&saved);
    }
    let disk = state.start().map_err(|e| StartError::failed("starting the thread that writes")(e.into()))?;
    discovery.keep_in(disk.clone());
    Ok((discovery, disk))
}

fn registry(
    metrics: &GatewayMetrics,
    config: &Live,
    tls: Option<&ClientTls>,
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
    traces.register(&registry).map_err(|e| failed(e.into()))?;
    Ok(registry)
}

/// Written aside and renamed, so that a reader never sees half of it.
fn write_ready(
    file: &Path,
    listen: SocketAddr,
    tls_listen: Option<SocketAddr>,
    admin_listen: SocketAddr,
) -> Result<(), StartError> {
    let mut told = serde_json::json!({ "listen": listen, "admin_listen": admin_listen });
    if let Some(tls_listen) = tls_listen {
        told["tls_listen"] = serde_json::json!(tls_listen);
    }
    let text = told.to_string();
    let aside = file.with_extension("tmp");
    std::fs::write(&aside, text + "\n")
        .and_then(|()| std::fs::rename(&aside, file))
        .map_err(|e| StartError::failed("writing the ready file")(e.into()))
}
