//! The data plane as a whole: its sockets, a thread for each core, and the configuration that they share.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use hotswap_core::SystemClock;
use hotswap_runtime::{StartError, listen};
use hotswap_telemetry::trace::RequestTraces;
use tokio::sync::watch;

use crate::access_log::AccessLog;
use crate::config::Live;
use crate::dice::Dice;
use crate::engine::{CoreSetup, Entry, EntryKind, Limits, Order, Room, WayIn, run_core};
use crate::fleet::{Asker, Askers, Fleet, FleetMetrics};
use crate::handover::{Inherited, Purpose, Sockets};
use crate::health;
use crate::keys::{self, Fetcher, Keeping};
use crate::metrics::GatewayMetrics;
use crate::options::GatewayOptions;
use crate::tls::{BackendFiles, ClientTls, needs_own};
use crate::traffic::Mark;

/// The sockets of a data plane that does not run yet. Who connects waits; nobody is turned away.
#[derive(Debug)]
pub struct Bound {
    listen: SocketAddr,
    listeners: Vec<TcpListener>,
    /// With TLS.
    secure: Option<(ClientTls, Vec<TcpListener>)>,
    backend_tls: BackendFiles,
    limits: Limits,
    fetcher: Fetcher,
    /// `None`: they are not kept.
    keeping: Option<Keeping>,
    /// The Redis of the fleet.
    fleet: Option<Fleet>,
}

/// A running data plane. Dropped, it drains.
#[derive(Debug)]
pub struct DataPlane {
    listen: SocketAddr,
    secure: Option<(ClientTls, SocketAddr)>,
    backend_tls: BackendFiles,
    config: Live,
    metrics: GatewayMetrics,
    order: watch::Sender<Order>,
    threads: Vec<JoinHandle<()>>,
    fleet: Option<FleetMetrics>,
}

impl Bound {
    /// Binds.
    ///
    /// # Errors
    /// Where the address is taken or an option is wrong.
    pub fn bind(options: &GatewayOptions) -> Result<Self, StartError> {
        Self::bind_with(options, &mut Inherited::default())
    }

    /// Binds, with the sockets of another gateway where they are at the same address.
    pub(crate) fn bind_with(options: &GatewayOptions, inherited: &mut Inherited) -> Result<Self, StartError> {
        let limits = options.limits()?;
        if !options.proxy_protocol_from.is_empty() {
            needs_own(options.gateway_engine, "--proxy-protocol-from")?;
        }
        let backend_tls = BackendFiles::load(&options.backend_tls)?;
        let tls = ClientTls::load(&options.client_tls, options.gateway_engine)?;
        let count = options.workers();
        let had = inherited.take(options.gateway_listen, Purpose::Plain);
        let listeners = listeners(options.gateway_listen, had, count, ("gateway", "--gateway-listen"))?;
        let listen = first_address(&listeners).unwrap_or(options.gateway_listen);
        let mut bind = |tls: ClientTls| {
            let had = inherited.take(tls.address(), Purpose::Tls);
            let bound =
                self::listeners(tls.address(), had, count, ("gateway with TLS", "--gateway-tls-listen"))?;
            Ok::<_, StartError>((tls, bound))
        };
        let fetcher = Fetcher::new(&options.keys)?;
        let fleet = options.gateway_redis_url.as_deref();
        let (namespace, patience_ms) = (&options.gateway_redis_namespace, options.gateway_redis_timeout_ms);
        let fleet = fleet.map(|url| Fleet::new(url, namespace, patience_ms)).transpose()?;
        let secure = tls.map(&mut bind).transpose()?;
        Ok(Self { listen, listeners, secure, backend_tls, limits, fetcher, keeping: None, fleet })
    }

    /// The sockets once more, to be handed over.
    pub(crate) fn sockets(&self) -> io::Result<Sockets> {
        let again = |all: &[TcpListener]| all.iter().map(TcpListener::try_clone).collect::<io::Result<_>>();
        let tls = self.secure.as_ref().map(|(_, all)| again(all)).transpose()?;
        Ok(Sockets { plain: again(&self.listeners)?, tls: tls.unwrap_or_default() })
    }

    /// Keeps the keys that it fetches.
    pub(crate) fn keep_keys(&mut self, keeping: Keeping) {
        self.keeping = Some(keeping);
    }

    /// TLS towards clients.
    pub fn tls(&self) -> Option<&ClientTls> {
        self.secure.as_ref().map(|(tls, _)| tls)
    }

    /// TLS to backends.
    pub fn backend_tls(&self) -> &BackendFiles {
        &self.backend_tls
    }

    /// What the connection to the Redis of the fleet counts.
    pub fn fleet_metrics(&self) -> Option<FleetMetrics> {
        self.fleet.as_ref().map(Fleet::metrics)
    }

    /// The limits towards clients.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

fn first_address(listeners: &[TcpListener]) -> Option<SocketAddr> {
    listeners.first().and_then(|l| l.local_addr().ok())
}

/// A listener for each core, beginning with those that are there; all of these are used, also where they are more.
fn listeners(
    address: SocketAddr,
    mut had: Vec<TcpListener>,
    count: usize,
    (what, flag): (&'static str, &'static str),
) -> Result<Vec<TcpListener>, StartError> {
    let Some(at) = first_address(&had) else { return listen::bind_shared(address, count, what, flag) };
    had.extend(listen::bind_beside(at, count.saturating_sub(had.len()), what, flag)?);
    Ok(had)
}

/// Shares listeners out among so many cores. Where they are more than cores, some have more than others.
fn shared_out(listeners: Vec<TcpListener>, cores: usize) -> Vec<Vec<TcpListener>> {
    let mut shares: Vec<Vec<TcpListener>> = (0..cores).map(|_| Vec::new()).collect();
    for (share, listener) in (0..cores).cycle().zip(listeners) {
        if let Some(share) = shares.get_mut(share) {
            share.push(listener);
        }
    }
    shares
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
        let plane = Self::prepare(bound, options, config, metrics, traces)?;
        plane.open();
        Ok(plane)
    }

    /// Starts the cores; they accept nobody before [`Self::open`].
    pub(crate) fn prepare(
        bound: Bound,
        options: &GatewayOptions,
        config: Live,
        metrics: GatewayMetrics,
        traces: Option<&RequestTraces>,
    ) -> Result<Self, StartError> {
        let Bound { listen, listeners, secure, backend_tls, limits, fetcher, keeping, fleet } = bound;
        config.is_served_at(listen);
        let count = metrics.cores.len();
        let (tls, secure) = secure.unzip();
        let tls_at = secure.as_ref().and_then(|all| first_address(all));
        if let Some(tls) = &tls {
            tls.serve_also(config.certificates());
        }
        let control = Arc::clone(&metrics.control);
        let (log, writer) =
            AccessLog::start(options.access_log, options.access_log_file.as_ref(), SystemClock, control)
                .map_err(|e| StartError::failed("opening the access log")(e.into()))?;
        let (order, _) = watch::channel(Order::Wait);
        let secured = tls.clone().zip(tls_at);
        let threads = Vec::with_capacity(count + 3);
        let mut plane = Self {
            listen,
            secure: secured,
            backend_tls: backend_tls.clone(),
            config,
            metrics,
            order,
            threads,
            fleet: fleet.as_ref().map(Fleet::metrics),
        };
        let entries = entries(options, shared_out(listeners, count), tls.zip(secure), tls_at);
        let trusted = Arc::new(options.trusted());
        let mark = Mark::new(&mut Dice::new());
        let room = Room::new(limits.max_connections, Arc::clone(&plane.metrics.control));
        let (up, ups) = mpsc::channel();
        let (asker, askers) = tokio::sync::mpsc::channel(1);
        for (index, (entries, metrics)) in entries.into_iter().zip(plane.metrics.cores.clone()).enumerate() {
            let setup = CoreSetup {
                index,
                engine: options.gateway_engine,
                entries,
                config: plane.config.clone(),
                limits,
                backend_tls: backend_tls.clone(),
                trusted: Arc::clone(&trusted),
                mark: mark.clone(),
                room: Arc::clone(&room),
                metrics,
                log: log.clone(),
                fleet: fleet.as_ref().map(|fleet| fleet.buckets.clone()),
                traces: traces.cloned(),
                order: plane.order.subscribe(),
                up: up.clone(),
            };
            plane.start_core(setup, asker.clone())?;
        }
        drop((up, asker));
        plane.start_checks()?;
        plane.fetch_keys(fetcher, keeping)?;
        follow_redis(fleet, askers)?;
        // Last, since it ends after them.
        plane.threads.push(writer);
        if ups.iter().take(count).count() < count {
            return Err(StartError::failed("starting a core")("it ended at once; see the log".into()));
        }
        Ok(plane)
    }

    fn start_core(&mut self, setup: CoreSetup, asker: Asker) -> Result<(), StartError> {
        let index = setup.index;
        let run = move || {
            // To the end of the core.
            let _asker = asker;
            if let Err(error) = run_core(setup) {
                tracing::error!(core = index, %error, "a core ended");
            }
        };
        let thread = std::thread::Builder::new().name(format!("gateway-{index}")).spawn(run);
        self.threads.push(thread.map_err(|e| StartError::failed("starting a core")(e.into()))?);
        Ok(())
    }

    fn start_checks(&mut self) -> Result<(), StartError> {
        let (states, order) = (self.config.states(), self.order.subscribe());
        let (control, files) = (Arc::clone(&self.metrics.control), self.backend_tls.clone());
        let checks = move || {
            if let Err(error) = health::run(states, order, control, files) {
                tracing::error!(%error, "no backend is checked");
            }
        };
        let thread = std::thread::Builder::new().name("gateway-checks".into()).spawn(checks);
        self.threads.push(thread.map_err(|e| StartError::failed("starting the checks")(e.into()))?);
        Ok(())
    }

    /// Starts the thread that keeps key sets fresh.
    fn fetch_keys(&mut self, fetcher: Fetcher, keeping: Option<Keeping>) -> Result<(), StartError> {
        let (config, order) = (self.config.clone(), self.order.subscribe());
        let control = Arc::clone(&self.metrics.control);
        let fetch = move || {
            if let Err(error) = keys::run(&config, order, (fetcher, keeping), control) {
                tracing::error!(%error, "no keys are fetched");
            }
        };
        let thread = std::thread::Builder::new().name("gateway-keys".into()).spawn(fetch);
        self.threads.push(thread.map_err(|e| StartError::failed("starting the fetching of keys")(e.into()))?);
        Ok(())
    }

    /// What the connection to the Redis of the fleet counts; `None`: there is none.
    pub fn fleet_metrics(&self) -> Option<FleetMetrics> {
        self.fleet.clone()
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

    /// TLS to backends.
    pub fn backend_tls(&self) -> &BackendFiles {
        &self.backend_tls
    }

    /// What it counts.
    pub fn metrics(&self) -> &GatewayMetrics {
        &self.metrics
    }

    /// The configuration in force, to be replaced.
    pub fn config(&self) -> &Live {
        &self.config
    }

    /// Lets the cores accept.
    pub(crate) fn open(&self) {
        self.give(Order::Serve);
    }

    /// Leaves those who come from now on to another gateway, which listens at the same sockets but for these; those who are
    /// there are served on. It does not wait.
    pub(crate) fn leave(&self, closed: Arc<[SocketAddr]>) {
        self.give(Order::Leave { closed });
    }

    /// Stops accepting, and lets open exchanges end under the deadline. It does not wait.
    pub fn stop(&self) {
        self.give(Order::Stop);
    }

    fn give(&self, order: Order) {
        self.order.send_replace(order);
    }

    /// Waits until every core has ended and the access log is written; it blocks the thread.
    pub fn join(mut self) {
        self.stop();
        self.threads().join();
    }

    /// Takes its threads out, to be waited for elsewhere.
    pub(crate) fn threads(&mut self) -> Threads {
        Threads(std::mem::take(&mut self.threads))
    }
}

/// Starts the thread that keeps the connection to the Redis of the fleet, where there is one.
fn follow_redis(fleet: Option<Fleet>, askers: Askers) -> Result<(), StartError> {
    let Some(fleet) = fleet else { return Ok(()) };
    let follow = move || {
        if let Err(error) = fleet.run(askers) {
            tracing::error!(%error, "the limits of the fleet are without their Redis");
        }
    };
    // Nobody waits for it: it is there for the cores, and ends with the last of them.
    let thread = std::thread::Builder::new().name("gateway-redis".into()).spawn(follow);
    thread.map(drop).map_err(|e| StartError::failed("starting the thread of Redis")(e.into()))
}

/// The threads of a data plane.
pub(crate) struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    /// Waits for their end.
    pub(crate) fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("a core or the access log panicked");
            }
        }
    }
}

/// The ways in of each core.
fn entries(
    options: &GatewayOptions,
    plain: Vec<Vec<TcpListener>>,
    secure: Option<(ClientTls, Vec<TcpListener>)>,
    tls_at: Option<SocketAddr>,
) -> Vec<Vec<Entry>> {
    let to_https = options.client_tls.redirect_to_https.and_then(|port| match port {
        0 => tls_at.map(|at| at.port()),
        port => Some(port),
    });
    let [behind_plain, behind_tls] = options.behind();
    let enter = |listeners: Vec<TcpListener>, way: WayIn| {
        listeners.into_iter().map(move |listener| Entry { listener, way: way.clone() })
    };
    let way = WayIn { kind: EntryKind::Plain { to_https }, behind: behind_plain };
    let count = plain.len();
    let mut all: Vec<Vec<Entry>> = plain.into_iter().map(|of| enter(of, way.clone()).collect()).collect();
    if let Some((tls, listeners)) = secure {
        let way = WayIn { kind: EntryKind::Tls(tls), behind: behind_tls };
        for (entries, listeners) in all.iter_mut().zip(shared_out(listeners, count)) {
            entries.extend(enter(listeners, way.clone()));
        }
    }
    all
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.stop();
    }
}
