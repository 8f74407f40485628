//! The gateway as a process runs it: bind, start the cores, follow the control plane, drain.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hotswap_core::SystemIds;
use hotswap_runtime::admin::{self, Readiness};
use hotswap_runtime::{StartError, Supervisor, TaskKind, listen};
use hotswap_telemetry::Metrics;
use serde::Serialize;

use crate::discover::{Follower, Sink};
use crate::metrics::Collected;
use crate::options::GatewayOptions;
use crate::plane::DataPlane;

/// How long the control thread's own tasks may take to end, beside the drain of the cores.
const OWN_TASKS: Duration = Duration::from_secs(2);

/// What the ready file says.
#[derive(Serialize)]
struct Ready {
    listen: SocketAddr,
    admin_listen: SocketAddr,
}

/// Runs the gateway until the supervisor is asked to stop; open exchanges then end under the deadline of the
/// options.
///
/// # Errors
/// Where an address is taken, an option is wrong or a file can't be written; and where an essential part
/// ended by itself.
pub async fn run(options: &GatewayOptions, supervisor: &Supervisor) -> Result<(), StartError> {
    let page = listen::bind(options.gateway_admin_listen, "gateway admin", "--gateway-admin-listen")?;
    let plane = DataPlane::start(options)?;
    let admin_listen = page.local_addr().unwrap_or(options.gateway_admin_listen);
    let metrics = Metrics::new();
    let collected = Collected::new(plane.metrics().clone());
    collected
        .map_err(|e| StartError::failed("declaring metrics")(e.into()))
        .and_then(|c| metrics.register(c).map_err(|e| StartError::failed("declaring metrics")(e.into())))?;
    let readiness = Readiness::default();
    let sink = Sink {
        config: plane.config().clone(),
        metrics: plane.metrics().control.clone(),
        readiness: readiness.clone(),
    };
    let follower = Follower::new(options, &SystemIds, sink)
        .map_err(|e| StartError::Option(format!("--control-plane {}: {e}", options.control_plane)))?;
    let shutdown = supervisor.shutdown();
    supervisor.spawn("watch", TaskKind::Essential, follower.follow(shutdown.clone()));
    let page = admin::serve(page, metrics, readiness, shutdown.clone());
    supervisor.spawn("gateway admin page", TaskKind::Essential, page);
    tracing::info!(listen = %plane.listen(), admin_listen = %admin_listen, "gateway listens");
    if let Some(path) = &options.ready_file {
        write_ready(path, &Ready { listen: plane.listen(), admin_listen })?;
    }

    shutdown.cancelled().await;
    plane.stop();
    // The cores' drain blocks, and has a deadline of its own.
    let drained = tokio::task::spawn_blocking(move || plane.join()).await;
    if drained.is_err() {
        tracing::error!("the drain of the cores panicked");
    }
    match supervisor.drain(OWN_TASKS).await.reason {
        None => Ok(()),
        Some(why) => Err(StartError::Option(why)),
    }
}

/// Writes the file whole: whoever waits for it must not read a half.
fn write_ready(path: &Path, ready: &Ready) -> Result<(), StartError> {
    let write = || -> std::io::Result<()> {
        let temp = path.with_extension("new");
        let mut file = std::fs::File::create(&temp)?;
        file.write_all(serde_json::to_string(ready)?.as_bytes())?;
        std::fs::rename(&temp, path)
    };
    write().map_err(|e| StartError::failed("writing the ready file")(e.into()))
}
