//! The gateway as a process: data plane, watch and admin page together, from start to drain.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hotswap_core::SystemIds;
use hotswap_runtime::admin::{self, Readiness};
use hotswap_runtime::{StartError, Supervisor, TaskKind, listen, stop_on_signals};
use hotswap_telemetry::Metrics;

use crate::discover::Discovery;
use crate::metrics::Collected;
use crate::options::GatewayOptions;
use crate::plane::DataPlane;

/// What the tasks of the control thread have to end in, after the cores.
const CONTROL_DEADLINE: Duration = Duration::from_secs(2);

/// Runs the gateway until SIGINT or SIGTERM, then drains. The log is the caller's to start.
///
/// # Errors
/// Where an option is wrong or an address is taken; nothing has been served then.
pub async fn run(options: GatewayOptions) -> Result<(), StartError> {
    let supervisor = Supervisor::new();
    stop_on_signals(&supervisor)?;
    serve(options, &supervisor).await
}

/// Runs the gateway until the supervisor is asked to stop.
async fn serve(options: GatewayOptions, supervisor: &Supervisor) -> Result<(), StartError> {
    let page = listen::bind(options.gateway_admin_listen, "gateway admin page", "--gateway-admin-listen")?;
    let admin_listen = page.local_addr().unwrap_or(options.gateway_admin_listen);
    let plane = DataPlane::start(&options)?;
    let readiness = Readiness::default();
    let control = Arc::clone(&plane.metrics().control);
    let config = plane.config().clone();
    let discovery = Discovery::new(&options, &SystemIds, config, control, readiness.clone())?;
    let registry = Metrics::new();
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| StartError::failed("declaring metrics")(e);
    let collected = Collected::new(plane.metrics().clone()).map_err(|e| failed(e.into()))?;
    registry.register(collected).map_err(|e| failed(e.into()))?;

    let shutdown = supervisor.shutdown();
    let stop_page = hotswap_runtime::CancellationToken::new();
    supervisor.spawn("watch", TaskKind::Essential, discovery.run(shutdown.clone()));
    supervisor.spawn(
        "admin",
        TaskKind::Essential,
        admin::serve(page, registry, readiness.clone(), stop_page.clone()),
    );
    let listen = plane.listen();
    tracing::info!(%listen, %admin_listen, workers = options.workers(), "gateway listens");
    if let Some(file) = &options.ready_file {
        write_ready(file, listen, admin_listen)?;
    }

    shutdown.cancelled().await;
    // Who balances over several gateways sees it before the listeners close.
    readiness.not_ready("drain", "stopping");
    plane.stop();
    let joined = tokio::task::spawn_blocking(move || plane.join()).await;
    stop_page.cancel();
    let report = supervisor.drain(CONTROL_DEADLINE).await;
    if joined.is_err() {
        tracing::error!("the cores did not end in order");
    }
    match report.reason {
        Some(reason) => Err(StartError::failed("the gateway stopped")(reason.into())),
        None => Ok(()),
    }
}

/// Written aside and renamed, so that a reader never sees half of it.
fn write_ready(file: &Path, listen: SocketAddr, admin_listen: SocketAddr) -> Result<(), StartError> {
    let text = serde_json::json!({ "listen": listen, "admin_listen": admin_listen }).to_string();
    let aside = file.with_extension("tmp");
    std::fs::write(&aside, text + "\n")
        .and_then(|()| std::fs::rename(&aside, file))
        .map_err(|e| StartError::failed("writing the ready file")(e.into()))
}
