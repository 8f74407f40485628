//! The service as a process embeds it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hotswap_api::audit::v1::audit_service_server::AuditServiceServer;
use hotswap_api::gateway::v1::fleet_service_server::FleetServiceServer;
use hotswap_api::rollout::v1::rollout_service_server::RolloutServiceServer;
use hotswap_api::route::v1::route_service_server::RouteServiceServer;
use hotswap_audit::{Attempts, AuditKey, AuditLog, AuditOptions};
use hotswap_cache::{Cache, CacheMetrics, CacheOptions, Maintenance, RedisOptions};
use hotswap_certificate::{KeyFileError, SealingKeys};
use hotswap_core::{Clock, Ids, Revision, StoreId};
use hotswap_notify::{Channels, ChannelsConfig, NotifyError, Sender, SenderOptions, keep_outbox};
pub use hotswap_rollout_host::ServerOptions;
use hotswap_rollout_host::{
    Driver, DriverOptions, NoFaults, Notices, Parts, PrometheusCounts, PrometheusServers, Queries,
    RolloutMetrics, RolloutRpc, Rollouts, Sources, Subjects,
};
use hotswap_rpc::AuditRpc;
use hotswap_runtime::{StartError, Supervisor, TaskKind};
use hotswap_store::{Database, Db};
use hotswap_telemetry::{Metrics, MetricsError};
use tonic::service::Routes;

use crate::app::{App, Arms, Error, Fleet, Kept};
use crate::metrics::RouteMetrics;
use crate::notices::OutboxNotices;
use crate::rpc::{Feed, FleetRpc, Questions, RouteRpc, WatchRpc, WatchServer, relay};
use crate::target::{RouteSubjects, RouteTarget};

/// The largest message that a caller may send, in bytes.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// The option that names the keys of certificates.
const KEY_FILE: &str = "--certificate-key-file";

/// How the service behaves.
#[derive(Clone)]
pub struct RouteOptions {
    /// How many entries of the change log are kept. A proxy that was away for more gets a snapshot.
    pub kept_changes: i64,
    /// Whether a snapshot may take away most of what a proxy has.
    pub allow_mass_delete: bool,
    /// How long a look-up may be served from memory, where nothing tells that it has changed.
    pub cache_ttl: Duration,
    /// How long a proxy has to answer what it is asked.
    pub answer_within: Duration,
    /// A Redis that replicas share, as a URL; `None`: each has its own memory alone.
    pub redis_url: Option<String>,
    /// A file with the keys that private keys of certificates are sealed with; `None`: none is kept.
    pub certificate_key_file: Option<PathBuf>,
    /// How the audit log is kept.
    pub audit: AuditOptions,
    /// How many rollouts this process drives at a time; 0: none, another one does.
    pub rollout_workers: usize,
    /// How long what was measured of a rollout is kept after its end; `None`: for ever.
    pub kept_measurements: Option<Duration>,
    /// How long a rollout is kept after its end, unless it is the last one of its subject; `None`: for ever.
    pub kept_rollouts: Option<Duration>,
    /// Whom news of rollouts is sent to; `None`: nobody.
    pub notify: Option<ChannelsConfig>,
    /// Prometheus servers that rollouts may be judged by.
    pub prometheus: ServerOptions,
}

impl Default for RouteOptions {
    fn default() -> Self {
        Self {
            kept_changes: 100_000,
            allow_mass_delete: false,
            cache_ttl: CacheOptions::default().ttl,
            answer_within: Duration::from_secs(5),
            redis_url: None,
            certificate_key_file: None,
            audit: AuditOptions::default(),
            rollout_workers: DriverOptions::default().concurrency,
            kept_measurements: Some(Duration::from_secs(30 * 86_400)),
            kept_rollouts: Some(Duration::from_secs(90 * 86_400)),
            notify: None,
            prometheus: ServerOptions::default(),
        }
    }
}

impl std::fmt::Debug for RouteOptions {
    // A password may stand in the URL.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteOptions").field("kept_changes", &self.kept_changes).finish_non_exhaustive()
    }
}

/// A cache of this process, and the Redis behind it where there is one. What lies there belongs to this store alone.
fn open_cache(
    options: &RouteOptions,
    store_id: StoreId,
    registry: &prometheus::Registry,
) -> Result<(Cache, Maintenance), StartError> {
    let metrics = CacheMetrics::register("route", registry);
    let metrics = metrics.map_err(|e| StartError::failed("registering metrics")(e.into()))?;
    let cache = CacheOptions { ttl: options.cache_ttl, ..CacheOptions::default() };
    let Some(url) = &options.redis_url else { return Ok(Cache::in_process(cache, metrics)) };
    let redis = RedisOptions::new(url, store_id.to_string());
    let redis = redis.map_err(|e| StartError::Option(format!("--redis-url: {e}")))?;
    Ok(Cache::with_redis(cache, redis, metrics))
}

/// The keys that private keys of certificates are sealed with.
fn sealing_keys(options: &RouteOptions) -> Result<Option<Arc<SealingKeys>>, StartError> {
    let wrong = |e: KeyFileError| StartError::Option(format!("{KEY_FILE}: {e}"));
    let keys = options.certificate_key_file.as_deref().map(SealingKeys::load).transpose().map_err(wrong)?;
    Ok(keys.map(Arc::new))
}

/// Says which kept key does not open. With a file of keys this process does not start: the gateways that it would serve get
/// no key, and those that have one go on with it. Without one it is told, and what is there can be deleted.
async fn check_keys(app: &App) -> Result<(), StartError> {
    let unread = |e: Error| StartError::failed("reading the keys of certificates")(e.into());
    let Some((certificate, error)) = app.check_keys().await.map_err(unread)? else { return Ok(()) };
    if app.sealing.is_some() {
        return Err(StartError::Option(format!(
            "{KEY_FILE}: the key of {certificate} can't be opened: {error}"
        )));
    }
    tracing::error!(
        certificate,
        "private keys can't be opened without {KEY_FILE}; gateways that start get none"
    );
    Ok(())
}

/// The use cases of rollouts of routes and pools.
fn rollouts(
    db: &Db,
    clock: &Arc<dyn Clock>,
    ids: &Arc<dyn Ids>,
    audit: &AuditLog,
    notices: Arc<dyn Notices>,
    prometheus: Arc<dyn Queries>,
) -> Rollouts {
    Rollouts::new(Parts {
        db: db.clone(),
        clock: Arc::clone(clock),
        ids: Arc::clone(ids),
        audit: audit.clone(),
        notices,
        domains: vec![Arc::new(RouteSubjects)],
        faults: Arc::new(NoFaults),
        prometheus: Some(prometheus),
    })
}

/// Where news goes: into the store, for whoever on it has channels. Where this process has some, it sends until it ends.
fn notices(
    db: &Db,
    clock: &Arc<dyn Clock>,
    ids: &Arc<dyn Ids>,
    config: Option<&ChannelsConfig>,
    registry: &prometheus::Registry,
    supervisor: &Supervisor,
) -> Result<Arc<dyn Notices>, StartError> {
    let put = Arc::new(OutboxNotices::new(clock, ids));
    let shutdown = supervisor.shutdown().cancelled_owned();
    let Some(config) = config else {
        let (db, clock) = (db.clone(), Arc::clone(clock));
        let keeping = async move { keep_outbox(db, clock, shutdown).await };
        supervisor.spawn("outbox", TaskKind::Background, keeping);
        return Ok(put);
    };
    let wrong = |e: NotifyError| StartError::Option(format!("--notify-config: {e}"));
    let channels = Channels::load(config).map_err(wrong)?;
    let sender =
        Sender::new(db.clone(), channels, SenderOptions::default(), Arc::clone(clock), Arc::clone(ids))
            .map_err(wrong)?;
    sender.register(registry).map_err(|e| StartError::failed("registering metrics")(e.into()))?;
    let sending = async move { sender.run(shutdown).await };
    supervisor.spawn("notifications", TaskKind::Background, sending);
    Ok(put)
}

/// Drives rollouts of routes and pools until the process ends, beside others on the same store.
fn drive(
    app: &App,
    fleet: &Fleet,
    workers: usize,
    prometheus: Arc<dyn Queries>,
    metrics: RolloutMetrics,
    supervisor: &Supervisor,
) {
    if workers == 0 {
        return;
    }
    let target = Arc::new(RouteTarget::new(app.clone(), fleet.clone()));
    let sources = Arc::new(Sources::new(app.db.clone(), Arc::clone(&target), Some(prometheus)));
    let subjects: Arc<dyn Subjects> = Arc::new(RouteSubjects);
    let options = DriverOptions { concurrency: workers, ..DriverOptions::default() };
    Driver::new(&app.rollouts, &subjects, target, sources, options, metrics).start(supervisor);
}

/// RouteService with the watch and the fleet, on an open store.
pub struct RouteServer {
    app: App,
    feed: Feed,
    fleet: Fleet,
    questions: Questions,
    arms: Arms,
    options: RouteOptions,
    supervisor: Supervisor,
}

impl std::fmt::Debug for RouteServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteServer").field("head", &self.feed.head()).finish_non_exhaustive()
    }
}

impl RouteServer {
    /// Opens the database, and starts to follow it. `key` signs the audit log's checkpoints.
    ///
    /// # Errors
    /// [`StartError::Failed`] where the database can't be opened or read, or the audit log's anchors can't be used.
    pub async fn open(
        database: &Database,
        options: RouteOptions,
        key: Arc<dyn AuditKey>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        metrics: &Metrics,
        supervisor: &Supervisor,
    ) -> Result<Self, StartError> {
        let registry = metrics.registry();
        let undeclared = |e: MetricsError| StartError::failed("registering metrics")(e.into());
        let driven = RolloutMetrics::register(metrics).map_err(undeclared)?;
        let metrics = RouteMetrics::register(metrics).map_err(undeclared)?;
        let db = Db::open(database, &clock, &ids).await;
        let db = db.map_err(|e| StartError::failed("opening the store")(e.into()))?;
        let fleet = Fleet::new(ids.uuid().to_string(), Arc::clone(&clock));
        let (cache, maintenance) = open_cache(&options, db.store_id(), registry)?;
        let audit =
            AuditLog::open(db.clone(), options.audit.clone(), key, Arc::clone(&clock), Arc::clone(&ids));
        let audit = audit.map_err(|e| StartError::failed("opening the audit log")(e.into()))?;
        audit.register(registry).map_err(|e| StartError::failed("registering metrics")(e.into()))?;
        let notices = notices(&db, &clock, &ids, options.notify.as_ref(), registry, supervisor)?;
        let servers = PrometheusServers::new(options.prometheus.clone());
        let prometheus: Arc<dyn Queries> = Arc::new(PrometheusCounts::new(servers));
        let rollouts = rollouts(&db, &clock, &ids, &audit, notices, Arc::clone(&prometheus));
        let sealing = sealing_keys(&options)?;
        let app = App { db, clock, ids, metrics, cache, audit, rollouts, sealing };
        check_keys(&app).await?;
        app.maintain_cache(maintenance, supervisor);
        let unread = |e: Error| StartError::failed("reading the gateway configuration")(e.into());
        // First, so that the feed takes in no more than what is kept.
        app.compact_once(fleet.replica(), options.kept_changes).await.map_err(unread)?;
        let feed = Feed::start(app.clone(), supervisor).await.map_err(unread)?;
        fleet.keep_in_store(&app, supervisor).await.map_err(unread)?;
        let questions = Questions::new(options.answer_within);
        relay(&app, &questions, fleet.replica(), supervisor);
        let arms = Arms::default();
        arms.keep_in_store(&app, supervisor);
        app.keep_audit_log(supervisor);
        app.exchange_hints(supervisor);
        app.compact_changes(fleet.replica().to_owned(), options.kept_changes, supervisor);
        let kept = Kept { measurements: options.kept_measurements, rollouts: options.kept_rollouts };
        app.retain_rollouts(kept, fleet.replica().to_owned(), driven.clone(), supervisor);
        drive(&app, &fleet, options.rollout_workers, prometheus, driven, supervisor);
        Ok(Self { app, feed, fleet, questions, arms, options, supervisor: supervisor.clone() })
    }

    /// Takes note of calls that are denied before they reach a service.
    pub fn attempts(&self) -> Attempts {
        self.app.audit.attempts()
    }

    /// The services: RouteService, ConfigDistributionService, FleetService, RolloutService and AuditService.
    pub fn routes(&self) -> Routes {
        self.services(false)
    }

    /// The same for a listener with TLS: private keys of certificates may go to gateways on other machines.
    pub fn routes_behind_tls(&self) -> Routes {
        self.services(true)
    }

    fn services(&self, tls: bool) -> Routes {
        let watch = WatchRpc {
            feed: self.feed.clone(),
            fleet: self.fleet.clone(),
            questions: self.questions.clone(),
            arms: self.arms.clone(),
            supervisor: self.supervisor.clone(),
            metrics: self.app.metrics.clone(),
            allow_mass_delete: self.options.allow_mass_delete,
            tls,
        };
        let fleet = FleetRpc { fleet: self.fleet.clone(), feed: self.feed.clone() };
        let (app, feed) = (self.app.clone(), self.feed.clone());
        let questions = self.questions.clone();
        let route = RouteRpc { app, feed, fleet: self.fleet.clone(), questions };
        let rollout = RolloutRpc::new(self.app.rollouts.clone(), self.supervisor.shutdown());
        Routes::new(RouteServiceServer::new(route).max_decoding_message_size(MAX_MESSAGE))
            .add_service(WatchServer::new(watch, MAX_MESSAGE))
            .add_service(FleetServiceServer::new(fleet))
            .add_service(RolloutServiceServer::new(rollout))
            .add_service(AuditServiceServer::new(AuditRpc::new(self.app.audit.clone())))
    }

    /// The rollouts that this store has, and the use cases on them.
    pub fn rollouts(&self) -> &Rollouts {
        &self.app.rollouts
    }

    /// What the rollout engine drives.
    pub fn target(&self) -> RouteTarget {
        RouteTarget::new(self.app.clone(), self.fleet.clone())
    }

    /// Which store, and which life of it, this is.
    pub fn store_id(&self) -> StoreId {
        self.app.db.store_id()
    }

    /// Waits until the watch distributes `revision` or a later one.
    pub async fn distributed(&self, revision: Revision) {
        self.feed.reached(revision).await;
    }

    /// Says in the store that this process is gone, and closes it. Called last, when no call is under way.
    pub async fn close(&self) {
        if let Err(error) = self.fleet.leave(&self.app).await {
            tracing::warn!(%error, "the last of the fleet could not be written");
        }
        self.app.audit.close().await;
        self.app.db.close().await;
    }
}
