//! The Redis that gateways share for rate limits of the whole fleet.

use std::convert::Infallible;
use std::time::Duration;

use hotswap_cache::{Buckets, BucketsLink, RedisOptions};
use hotswap_runtime::StartError;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tokio::sync::mpsc;

/// The longest namespace, in bytes.
const MAX_NAMESPACE: usize = 64;

/// Held by each core: when the last one has let go of it, nobody asks any more.
pub(crate) type Asker = mpsc::Sender<Infallible>;
/// Ends when nobody asks any more.
pub(crate) type Askers = mpsc::Receiver<Infallible>;

/// The buckets that gateways share, with what keeps their connection up.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) buckets: Buckets,
    link: BucketsLink,
    registry: Registry,
}

impl Fleet {
    /// In the Redis at this URL, where all that is its begins with `namespace`; requests wait for it at most so many ms.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn new(url: &str, namespace: &str, patience_ms: u64) -> Result<Self, StartError> {
        let wrong = |what: String| StartError::Option(format!("--gateway-redis-url: {what}"));
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if namespace.is_empty() || namespace.len() > MAX_NAMESPACE || !namespace.bytes().all(is_plain) {
            let must = format!("must be 1 to {MAX_NAMESPACE} letters, digits, \"-\", \"_\" and \".\"");
            return Err(StartError::Option(format!("--gateway-redis-namespace {must}")));
        }
        let mut redis = RedisOptions::new(url, namespace).map_err(|e| wrong(e.to_string()))?;
        redis.timeout = Duration::from_millis(patience_ms);
        let registry = Registry::new();
        let (buckets, link) = Buckets::new(redis, &registry).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { buckets, link, registry })
    }

    /// What it counts.
    pub(crate) fn metrics(&self) -> FleetMetrics {
        FleetMetrics(self.registry.clone())
    }

    /// Keeps the connection up on this thread, until nobody asks any more: those who are there while the gateway stops, or
    /// another one takes over, are counted to the end.
    ///
    /// # Errors
    /// Where the runtime can't be built.
    pub(crate) fn run(self, mut askers: Askers) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.link.run(async move {
            let _ = askers.recv().await;
        }));
        Ok(())
    }
}

/// What the connection counts, for a registry.
#[derive(Clone, Debug)]
pub struct FleetMetrics(Registry);

impl Collector for FleetMetrics {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.gather()
    }
}
