//! The data plane as a whole: its sockets, a thread for each core, and the configuration that they share.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use hotswap_core::SystemClock;
use hotswap_runtime::{StartError, listen};
use hotswap_telemetry::trace::RequestTraces;
use tokio::sync::watch;

use crate::access_log::AccessLog;
use crate::config::Live;
use crate::engine::{CoreSetup, Limits, run_core};
use crate::health;
use crate::metrics::GatewayMetrics;
use crate::options::GatewayOptions;

/// The sockets of a data plane that does not run yet. Who connects waits; nobody is turned away.
#[derive(Debug)]
pub struct Bound {
    listen: SocketAddr,
    listeners: Vec<TcpListener>,
    limits: Limits,
}

/// A running data plane. Dropped, it drains.
#[derive(Debug)]
pub struct DataPlane {
    listen: SocketAddr,
    config: Live,
    metrics: GatewayMetrics,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Bound {
    /// Binds.
    ///
    /// # Errors
    /// Where the address is taken or an option is wrong.
    pub fn bind(options: &GatewayOptions) -> Result<Self, StartError> {
        let limits = options.limits()?;
        let count = options.workers();
        let listeners = listen::bind_shared(options.gateway_listen, count, "gateway", "--gateway-listen")?;
        let listen = listeners.first().and_then(|l| l.local_addr().ok()).unwrap_or(options.gateway_listen);
        Ok(Self { listen, listeners, limits })
    }

    /// The limits towards clients.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

impl DataPlane {
    /// Binds, and starts the cores. They answer 503 until there is a configuration.
    ///
    /// # Errors
    /// Where the address is taken, an option is wrong, or a thread or the log can't be started.
    pub fn start(options: &GatewayOptions) -> Result<Self, StartError> {
        let bound = Bound::bind(options)?;
        let metrics = GatewayMetrics::new(options.workers());
        Self::serve(bound, options, Live::new(), metrics, None)
    }

    /// Starts the cores, with what `config` has from the first request on. `traces` decides which are recorded.
    ///
    /// # Errors
    /// Where a thread or the log can't be started.
    pub fn serve(
        bound: Bound,
        options: &GatewayOptions,
        config: Live,
        metrics: GatewayMetrics,
        traces: Option<&RequestTraces>,
    ) -> Result<Self, StartError> {
        let Bound { listen, listeners, limits } = bound;
        config.is_served_at(listen);
        let count = listeners.len();
        let trusted = Arc::new(options.trusted());
        let control = Arc::clone(&metrics.control);
        let (log, writer) =
            AccessLog::start(options.access_log, options.access_log_file.as_ref(), SystemClock, control)
                .map_err(|e| StartError::failed("opening the access log")(e.into()))?;
        let (stop, _) = watch::channel(false);
        let mut plane = Self { listen, config, metrics, stop, threads: Vec::with_capacity(count + 1) };
        for (index, (listener, metrics)) in listeners.into_iter().zip(plane.metrics.cores.clone()).enumerate()
        {
            let setup = CoreSetup {
                index,
                engine: options.gateway_engine,
                listener,
                config: plane.config.clone(),
                limits,
                trusted: Arc::clone(&trusted),
                metrics,
                log: log.clone(),
                traces: traces.cloned(),
                stop: plane.stop.subscribe(),
            };
            let run = move || {
                if let Err(error) = run_core(setup) {
                    tracing::error!(core = index, %error, "a core ended");
                }
            };
            let thread = std::thread::Builder::new().name(format!("gateway-{index}")).spawn(run);
            plane.threads.push(thread.map_err(|e| StartError::failed("starting a core")(e.into()))?);
        }
        let (states, stop) = (plane.config.states(), plane.stop.subscribe());
        let control = Arc::clone(&plane.metrics.control);
        let checks = move || {
            if let Err(error) = health::run(states, stop, control) {
                tracing::error!(%error, "no backend is checked");
            }
        };
        let thread = std::thread::Builder::new().name("gateway-checks".into()).spawn(checks);
        plane.threads.push(thread.map_err(|e| StartError::failed("starting the checks")(e.into()))?);
        // Last, since it ends after them.
        plane.threads.push(writer);
        Ok(plane)
    }

    /// Where it listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// What it counts.
    pub fn metrics(&self) -> &GatewayMetrics {
        &self.metrics
    }

    /// The configuration in force, to be replaced.
    pub fn config(&self) -> &Live {
        &self.config
    }

    /// Stops accepting, and lets open exchanges end under the deadline. It does not wait.
    pub fn stop(&self) {
        // No receiver: the cores have ended.
        let _ = self.stop.send(true);
    }

    /// Waits until every core has ended and the access log is written; it blocks the thread.
    pub fn join(mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a core or the access log panicked");
            }
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.stop();
    }
}
