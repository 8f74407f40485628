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
use crate::engine::{CoreSetup, Entry, EntryKind, Limits, WayIn, run_core};
use crate::health;
use crate::metrics::GatewayMetrics;
use crate::options::GatewayOptions;
use crate::tls::{ClientTls, needs_own};

/// The sockets of a data plane that does not run yet. Who connects waits; nobody is turned away.
#[derive(Debug)]
pub struct Bound {
    listen: SocketAddr,
    listeners: Vec<TcpListener>,
    /// With TLS.
    secure: Option<(ClientTls, Vec<TcpListener>)>,
    limits: Limits,
}

/// A running data plane. Dropped, it drains.
#[derive(Debug)]
pub struct DataPlane {
    listen: SocketAddr,
    secure: Option<(ClientTls, SocketAddr)>,
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
        if !options.proxy_protocol_from.is_empty() {
            needs_own(options.gateway_engine, "--proxy-protocol-from")?;
        }
        let tls = ClientTls::load(&options.client_tls, options.gateway_engine)?;
        let count = options.workers();
        let listeners = listen::bind_shared(options.gateway_listen, count, "gateway", "--gateway-listen")?;
        let listen = first_address(&listeners).unwrap_or(options.gateway_listen);
        let bind = |tls: ClientTls| {
            let bound =
                listen::bind_shared(tls.address(), count, "gateway with TLS", "--gateway-tls-listen")?;
            Ok::<_, StartError>((tls, bound))
        };
        Ok(Self { listen, listeners, secure: tls.map(bind).transpose()?, limits })
    }

    /// TLS towards clients.
    pub fn tls(&self) -> Option<&ClientTls> {
        self.secure.as_ref().map(|(tls, _)| tls)
    }

    /// The limits towards clients.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

fn first_address(listeners: &[TcpListener]) -> Option<SocketAddr> {
    listeners.first().and_then(|l| l.local_addr().ok())
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
        let Bound { listen, listeners, secure, limits } = bound;
        config.is_served_at(listen);
        let count = listeners.len();
        let (tls, secure) = secure.unzip();
        let tls_at = secure.as_ref().and_then(|all| first_address(all));
        let to_https = options.client_tls.redirect_to_https.and_then(|port| match port {
            0 => tls_at.map(|at| at.port()),
            port => Some(port),
        });
        let mut secure = secure.into_iter().flatten();
        let trusted = Arc::new(options.trusted());
        let control = Arc::clone(&metrics.control);
        let (log, writer) =
            AccessLog::start(options.access_log, options.access_log_file.as_ref(), SystemClock, control)
                .map_err(|e| StartError::failed("opening the access log")(e.into()))?;
        let (stop, _) = watch::channel(false);
        let secured = tls.clone().zip(tls_at);
        let threads = Vec::with_capacity(count + 1);
        let mut plane = Self { listen, secure: secured, config, metrics, stop, threads };
        for (index, (listener, metrics)) in listeners.into_iter().zip(plane.metrics.cores.clone()).enumerate()
        {
            let [plain, behind] = options.behind();
            let way = WayIn { kind: EntryKind::Plain { to_https }, behind: plain };
            let mut entries = vec![Entry { listener, way }];
            if let (Some(tls), Some(listener)) = (&tls, secure.next()) {
                let way = WayIn { kind: EntryKind::Tls(tls.clone()), behind };
                entries.push(Entry { listener, way });
            }
            let setup = CoreSetup {
                index,
                engine: options.gateway_engine,
                entries,
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

    /// Where it listens with TLS.
    pub fn listen_tls(&self) -> Option<SocketAddr> {
        self.secure.as_ref().map(|(_, at)| *at)
    }

    /// TLS towards clients.
    pub fn tls(&self) -> Option<&ClientTls> {
        self.secure.as_ref().map(|(tls, _)| tls)
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
