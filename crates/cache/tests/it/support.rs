//! A database with a change log, and nodes before it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hotswap_cache::{
    Cache, CacheMetrics, CacheOptions, Cached, Change, ChangeSource, Changes, Maintenance, Names,
    RedisOptions,
};
use hotswap_core::Revision;
use hotswap_runtime::{Supervisor, TaskKind};
use hotswap_testkit::{Redis, Wire};
use prometheus::Registry;

pub(crate) const SCOPE: &str = "s";
/// Longer than any test.
pub(crate) const NEVER: Duration = Duration::from_secs(24 * 3_600);

/// The truth: each commit is a map of names to their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Database {
    commits: Arc<Mutex<Vec<HashMap<String, String>>>>,
    loads: Arc<AtomicUsize>,
}

impl Database {
    /// Commits the same value to some names.
    pub(crate) fn write(&self, names: &[&str], value: &str) -> Change {
        let mut commits = self.commits.lock().expect("lock");
        commits.push(names.iter().map(|n| ((*n).to_owned(), value.to_owned())).collect());
        self.change(commits.len(), &commits)
    }

    fn change(&self, revision: usize, commits: &[HashMap<String, String>]) -> Change {
        let names = commits[revision - 1].keys().cloned().collect();
        Change { scope: SCOPE.into(), revision: to_revision(revision), names: Names::Some(names) }
    }

    /// One of the commits, as it was told.
    pub(crate) fn commit(&self, revision: usize) -> Change {
        self.change(revision, &self.commits.lock().expect("lock"))
    }

    pub(crate) fn newest(&self) -> usize {
        self.commits.lock().expect("lock").len()
    }

    /// A name as of a revision.
    pub(crate) fn at(&self, name: &str, revision: usize) -> Cached {
        let commits = self.commits.lock().expect("lock");
        let value = commits[..revision].iter().rev().find_map(|commit| commit.get(name));
        let value = value.map(|v| Bytes::from(v.clone()));
        Cached { as_of: to_revision(revision), value }
    }

    /// A name as of now, counted as a load.
    pub(crate) fn load(&self, name: &str) -> Cached {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.at(name, self.newest())
    }

    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

impl ChangeSource for Database {
    type Error = Infallible;

    async fn changes_after(&self, _scope: &str, after: Revision) -> Result<Changes, Infallible> {
        let commits = self.commits.lock().expect("lock");
        let after = usize::try_from(after.0).expect("no negative");
        let names = commits.iter().skip(after).flat_map(HashMap::keys).cloned().collect();
        Ok(Changes { to: to_revision(commits.len()), names: Names::Some(names) })
    }
}

pub(crate) fn to_revision(n: usize) -> Revision {
    Revision(i64::try_from(n).expect("small"))
}

pub(crate) fn text(value: &str) -> Option<Bytes> {
    Some(Bytes::from(value.to_owned()))
}

/// A cache in its process.
pub(crate) fn in_process() -> (Cache, Maintenance, Registry) {
    let registry = Registry::new();
    let metrics = CacheMetrics::register("test", &registry).expect("registers");
    let options = CacheOptions { interval: NEVER, ..CacheOptions::default() };
    let (cache, maintenance) = Cache::in_process(options, metrics);
    (cache, maintenance, registry)
}

/// A replica: a cache with its maintenance at work, its Redis at the end of a wire.
pub(crate) struct Node {
    pub(crate) cache: Cache,
    pub(crate) wire: Wire,
    database: Database,
    registry: Registry,
    supervisor: Supervisor,
}

/// How a node is.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Between rounds.
    pub(crate) interval: Duration,
    /// For Redis.
    pub(crate) timeout: Duration,
}

/// Rounds only where the connection is new, and a Redis that may take its time.
pub(crate) const PATIENT: Plan = Plan { interval: NEVER, timeout: Duration::from_secs(30) };

impl Node {
    /// Starts a node and waits until it has its Redis, and has asked what changed: at its start, and since it is connected.
    /// A round still to come would find what a test means to be told.
    pub(crate) async fn start(redis: &Redis, database: &Database, plan: Plan) -> Self {
        let wire = Wire::to(redis.socket());
        let registry = Registry::new();
        let metrics = CacheMetrics::register("test", &registry).expect("registers");
        let options = CacheOptions { interval: plan.interval, ..CacheOptions::default() };
        let url = format!("redis://{}", wire.address());
        let mut redis_options = RedisOptions::new(&url, "test").expect("url");
        redis_options.timeout = plan.timeout;
        let (cache, maintenance) = Cache::with_redis(options, redis_options, metrics);
        let supervisor = Supervisor::new();
        let shutdown = supervisor.shutdown();
        let work = maintenance.run(database.clone(), shutdown.cancelled_owned());
        supervisor.spawn("cache", TaskKind::Background, work);
        let node = Self { cache, wire, database: database.clone(), registry, supervisor };
        node.connected().await;
        until(async || node.count("cache_rounds_total", "ok") >= 2).await;
        node
    }

    /// Waits until it has its Redis.
    pub(crate) async fn connected(&self) {
        until(async || self.count("cache_redis_connected", "") == 1).await;
    }

    pub(crate) async fn get(&self, name: &str) -> Cached {
        let load = || async { Ok::<_, Infallible>(self.database.load(name)) };
        self.cache.get(SCOPE, name, load).await.expect("infallible")
    }

    /// A counter, by its name and the value of its second label.
    pub(crate) fn count(&self, metric: &str, label: &str) -> u64 {
        count(&self.registry, metric, label)
    }

    pub(crate) async fn stop(self) {
        let report = self.supervisor.drain(Duration::from_secs(60)).await;
        assert!(report.aborted.is_empty(), "{report:?}");
    }
}

pub(crate) fn count(registry: &Registry, metric: &str, label: &str) -> u64 {
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("encodes");
    let line = text.lines().find(|l| l.starts_with(&format!("{metric}{{")) && l.contains(label));
    line.and_then(|l| l.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// How many nodes hear what is told.
pub(crate) fn listeners(redis: &Redis) -> usize {
    let told = redis.command(&["PUBSUB", "NUMSUB", "test:changes"]).expect("answers");
    told.lines().last().and_then(|n| n.parse().ok()).expect("a number")
}

/// What Redis keeps under a name, and whether it is a value.
pub(crate) fn kept(redis: &Redis, name: &str) -> Option<char> {
    let value = redis.command(&["GET", &format!("test:1:{{s}}:{name}")]).expect("answers");
    value.chars().nth(35)
}

/// Waits for something that is bound to happen.
pub(crate) async fn until<F: Future<Output = bool>>(happened: impl Fn() -> F) {
    while !happened().await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
