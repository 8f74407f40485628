//! Where counts come from, as a rollout asks for it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hotswap_core::Timestamp;
use hotswap_rollout::judge::Reading;
use hotswap_rollout::{CountSource, MetricSource, PrometheusQueries, Rollout, Watch};
use hotswap_store::{Db, StoreError};

use crate::app::counts::{p95, sum};
use crate::store;

/// Asks a Prometheus server. What time it is, the caller says: by the database's clock, as all that a rollout goes by, so
/// that a process whose own clock is wrong asks for the same as the others.
pub trait Queries: Send + Sync + 'static {
    /// Whether the server may be asked.
    ///
    /// # Errors
    /// What is wrong with its address, in words.
    fn admits(&self, queries: &PrometheusQueries) -> Result<(), String>;

    /// Counts of both arms since an exposure took hold.
    fn measure<'a>(
        &'a self,
        queries: &'a PrometheusQueries,
        watch: &'a Watch,
        now: Timestamp,
    ) -> BoxFuture<'a, Reading>;

    /// The baseline's p95 in microseconds; `None`: not known.
    fn baseline_p95_us<'a>(
        &'a self,
        rollout: &'a Rollout,
        queries: &'a PrometheusQueries,
        now: Timestamp,
    ) -> BoxFuture<'a, Option<u64>>;
}

/// The target's own counts, those of a Prometheus server, or those that clients report.
#[derive(Clone)]
pub struct Sources<M> {
    target: Arc<M>,
    prometheus: Option<Arc<dyn Queries>>,
    db: Db,
}

impl<M> std::fmt::Debug for Sources<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("prometheus", &self.prometheus.is_some()).finish_non_exhaustive()
    }
}

impl<M: MetricSource> Sources<M> {
    /// `target` gives its own counts. Without `prometheus` a rollout that asks for it reads "broken".
    pub fn new(db: Db, target: Arc<M>, prometheus: Option<Arc<dyn Queries>>) -> Self {
        Self { target, prometheus, db }
    }

    async fn reports(&self, rollout: &Rollout) -> Result<Vec<store::Reported>, StoreError> {
        store::counts(&mut self.db.read().await?, rollout.id).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.db.read().await?.now().await
    }

    async fn reported(&self, rollout: &Rollout, watch: &Watch) -> Reading {
        let reports = match self.reports(rollout).await {
            Ok(reports) => reports,
            Err(error) => return Reading::Broken(error.to_string()),
        };
        sum(&reports, watch).map_or(Reading::NoData, Reading::Counts)
    }
}

impl<M: MetricSource> MetricSource for Sources<M> {
    async fn measure(&self, rollout: &Rollout, watch: &Watch) -> Reading {
        match (&rollout.source, &self.prometheus) {
            (CountSource::Target, _) => self.target.measure(rollout, watch).await,
            (CountSource::Reported, _) => self.reported(rollout, watch).await,
            (CountSource::Prometheus(queries), Some(prometheus)) => match self.now().await {
                Ok(now) => prometheus.measure(queries, watch, now).await,
                Err(error) => Reading::Broken(error.to_string()),
            },
            (CountSource::Prometheus(_), None) => {
                Reading::Broken("this process asks no Prometheus server".into())
            }
        }
    }

    async fn baseline_p95_us(&self, rollout: &Rollout) -> Option<u64> {
        match (&rollout.source, &self.prometheus) {
            (CountSource::Target, _) => self.target.baseline_p95_us(rollout).await,
            (CountSource::Reported, _) => p95(&self.reports(rollout).await.ok()?),
            (CountSource::Prometheus(queries), Some(prometheus)) => {
                prometheus.baseline_p95_us(rollout, queries, self.now().await.ok()?).await
            }
            (CountSource::Prometheus(_), None) => None,
        }
    }
}
