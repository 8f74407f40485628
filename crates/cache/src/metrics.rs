//! What a cache counts.

use std::collections::HashMap;

use hotswap_core::{LabelDef, MetricDef};
use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Where a look-up was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tier {
    Memory,
    Redis,
}

/// How a change was learned of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LearnedBy {
    /// This node made it.
    Write,
    /// Another node told it.
    Hint,
    /// The change source had it: a message was lost, or there are none.
    Source,
}

const CACHE: LabelDef = LabelDef { name: "cache", values: "the caches of the process: `route`" };
const HITS: MetricDef =
    MetricDef::counter("cache_hits_total", "look-ups", "Look-ups answered from a tier of the cache.")
        .by(&[CACHE, LabelDef { name: "tier", values: "`memory`, `redis`" }]);
const MISSES: MetricDef = MetricDef::counter(
    "cache_misses_total",
    "look-ups",
    "Look-ups that were loaded, or waited for another's load.",
)
.by(&[CACHE]);
const NEWS: MetricDef = MetricDef::counter(
    "cache_invalidations_total",
    "changes",
    "Changes that were news to this node, by the way they came.",
)
.by(&[CACHE, LabelDef { name: "by", values: "`write`, `hint`, `source`" }]);
const ROUNDS: MetricDef = MetricDef::counter(
    "cache_rounds_total",
    "rounds",
    "Times that the change log was asked what changed in each scope in use.",
)
.by(&[CACHE, LabelDef { name: "result", values: "`ok`, `failed`" }]);
const ERRORS: MetricDef = MetricDef::counter(
    "cache_redis_errors_total",
    "calls",
    "Calls of Redis that failed, attempts to connect among them.",
)
.by(&[CACHE]);
const CONNECTED: MetricDef =
    MetricDef::gauge("cache_redis_connected", "0 or 1", "Whether there is a connection to Redis.")
        .by(&[CACHE]);

/// What caches declare, and the buckets of limits in Redis.
pub const METRICS: &[MetricDef] =
    &[HITS, MISSES, NEWS, ROUNDS, ERRORS, CONNECTED, crate::buckets::CONNECTED, crate::buckets::ERRORS];

/// The metrics of one cache; cheap to clone. Each carries the label `cache`.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    memory_hits: IntCounter,
    redis_hits: IntCounter,
    pub(crate) misses: IntCounter,
    invalidations: IntCounterVec,
    rounds: IntCounterVec,
    pub(crate) redis_errors: IntCounter,
    pub(crate) redis_connected: IntGauge,
}

impl CacheMetrics {
    /// Declares the metrics of the cache `name`.
    ///
    /// # Errors
    /// Where they are declared already.
    pub fn register(name: &str, registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = |def: MetricDef| {
            let label = HashMap::from([(CACHE.name.to_owned(), name.to_owned())]);
            Opts::new(def.name, def.meaning).const_labels(label)
        };
        let hits = IntCounterVec::new(options(HITS), &["tier"])?;
        let misses = IntCounter::with_opts(options(MISSES))?;
        let invalidations = IntCounterVec::new(options(NEWS), &["by"])?;
        let rounds = IntCounterVec::new(options(ROUNDS), &["result"])?;
        let redis_errors = IntCounter::with_opts(options(ERRORS))?;
        let redis_connected = IntGauge::with_opts(options(CONNECTED))?;
        let collectors: [Box<dyn Collector>; 6] = [
            Box::new(hits.clone()),
            Box::new(misses.clone()),
            Box::new(invalidations.clone()),
            Box::new(rounds.clone()),
            Box::new(redis_errors.clone()),
            Box::new(redis_connected.clone()),
        ];
        collectors.into_iter().try_for_each(|collector| registry.register(collector))?;
        // Looked up once: this is counted with every look-up.
        let (memory_hits, redis_hits) =
            (hits.with_label_values(&["memory"]), hits.with_label_values(&["redis"]));
        Ok(Self { memory_hits, redis_hits, misses, invalidations, rounds, redis_errors, redis_connected })
    }

    pub(crate) fn hit(&self, tier: Tier) {
        match tier {
            Tier::Memory => self.memory_hits.inc(),
            Tier::Redis => self.redis_hits.inc(),
        }
    }

    pub(crate) fn learned(&self, by: LearnedBy, changes: usize) {
        let by = match by {
            LearnedBy::Write => "write",
            LearnedBy::Hint => "hint",
            LearnedBy::Source => "source",
        };
        self.invalidations.with_label_values(&[by]).inc_by(changes as u64);
    }

    pub(crate) fn round(&self, ok: bool) {
        self.rounds.with_label_values(&[if ok { "ok" } else { "failed" }]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_caches_share_a_registry_and_a_name_is_taken_once() {
        let registry = Registry::new();
        let route = CacheMetrics::register("route", &registry).expect("registers");
        CacheMetrics::register("config", &registry).expect("registers");
        assert!(CacheMetrics::register("route", &registry).is_err());
        route.hit(Tier::Redis);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("encodes");
        assert!(text.contains(r#"cache_hits_total{cache="route",tier="redis"} 1"#), "{text}");
        assert!(text.contains(r#"cache_misses_total{cache="config"} 0"#), "{text}");
    }
}
