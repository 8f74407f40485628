//! The Redis that gateways share for rate limits of the whole fleet.

use std::time::Duration;

use hotswap_cache::{Buckets, BucketsLink, RedisOptions};
use hotswap_runtime::StartError;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tokio::sync::watch;

use crate::engine::Order;

/// What everything in it begins with.
const NAMESPACE: &str = "hotswap-gateway";
/// The buckets that gateways share, with what keeps their connection up.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) buckets: Buckets,
    link: BucketsLink,
    registry: Registry,
}

impl Fleet {
    /// In the Redis at this URL, which requests wait for at most so many ms.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn new(url: &str, patience_ms: u64) -> Result<Self, StartError> {
        let wrong = |what: String| StartError::Option(format!("--gateway-redis-url: {what}"));
        let mut redis = RedisOptions::new(url, NAMESPACE).map_err(|e| wrong(e.to_string()))?;
        redis.timeout = Duration::from_millis(patience_ms);
        let registry = Registry::new();
        let (buckets, link) = Buckets::new(redis, &registry).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { buckets, link, registry })
    }

    /// What it counts.
    pub(crate) fn metrics(&self) -> FleetMetrics {
        FleetMetrics(self.registry.clone())
    }

    /// Keeps the connection up on this thread, until it is told to stop.
    ///
    /// # Errors
    /// Where the runtime can't be built.
    pub(crate) fn run(self, mut order: watch::Receiver<Order>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.link.run(async move {
            // Those who are there while another gateway takes over are still counted.
            let _ = order.wait_for(|order| matches!(order, Order::Stop)).await;
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
