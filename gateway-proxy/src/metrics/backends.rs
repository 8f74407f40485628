//! How backends stand, as the registry wants it. The number of series is bounded, whatever the configuration.

use hotswap_matcher::Address;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily};
use tokio::sync::watch;

use super::collector::{family, pair};
use super::declared;
use crate::backend_state::{BreakerState, Hold, States, View, clock};
use crate::config::Live;

/// Backends that have series of their own, at most, for each metric.
const MOST: usize = 1_000;

const CONDITIONS: [&str; 7] = ["all", "out", "unhealthy", "ejected", "open", "half_open", "held"];

/// Looks at the backends when it is asked.
#[derive(Debug)]
pub struct CollectedBackends {
    states: watch::Receiver<States>,
    desc: Vec<Desc>,
}

/// Series that have a backend.
#[derive(Default)]
struct Series {
    breaker: Vec<Metric>,
    opened: Vec<Metric>,
    healthy: Vec<Metric>,
}

impl CollectedBackends {
    /// For a registry.
    ///
    /// # Errors
    /// Where a description is invalid.
    pub fn new(config: &Live) -> Result<Self, prometheus::Error> {
        let of_none = |f: &MetricFamily| {
            Desc::new(f.name().to_owned(), f.help().to_owned(), vec![], Default::default())
        };
        let families = families([0; CONDITIONS.len()], Series::default());
        let desc = families.iter().map(of_none).collect::<Result<_, _>>()?;
        Ok(Self { states: config.states(), desc })
    }
}

impl Collector for CollectedBackends {
    fn desc(&self) -> Vec<&Desc> {
        self.desc.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let states = self.states.borrow().clone();
        let now = clock::now_ms();
        let (mut counts, mut series) = ([0; CONDITIONS.len()], Series::default());
        for (pool, members) in states.pools(|pool| pool.is_watched()) {
            for state in members.members() {
                let view = state.view(now);
                count(&mut counts, &view);
                series.add(&pool, state.address(), &view);
            }
        }
        let mut families = families(counts, series);
        // A family without series is none.
        families.retain(|f| !f.get_metric().is_empty());
        families
    }
}

fn count(counts: &mut [u64; CONDITIONS.len()], view: &View) {
    let holds = [
        true,
        !view.usable,
        view.healthy == Some(false),
        view.ejected_until.is_some(),
        view.breaker == Some(BreakerState::Open),
        view.breaker == Some(BreakerState::HalfOpen),
        view.hold != Hold::None,
    ];
    for (count, holds) in counts.iter_mut().zip(holds) {
        *count += u64::from(holds);
    }
}

impl Series {
    fn add(&mut self, pool: &str, address: &Address, view: &View) {
        let labels = || vec![pair("backend", address.as_str()), pair("pool", pool)];
        let gauge = |value: f64| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut metric = Metric::from_gauge(gauge);
            metric.set_label(labels());
            metric
        };
        if let Some(breaker) = view.breaker
            && self.breaker.len() < MOST
        {
            self.breaker.push(gauge(match breaker {
                BreakerState::Closed => 0.0,
                BreakerState::HalfOpen => 1.0,
                BreakerState::Open => 2.0,
            }));
            let mut counter = Counter::default();
            counter.set_value(view.opened as f64);
            let mut metric = Metric::default();
            metric.set_counter(counter);
            metric.set_label(labels());
            self.opened.push(metric);
        }
        if let Some(healthy) = view.healthy
            && self.healthy.len() < MOST
        {
            self.healthy.push(gauge(f64::from(u8::from(healthy))));
        }
    }
}

fn families(counts: [u64; CONDITIONS.len()], series: Series) -> Vec<MetricFamily> {
    let conditions = CONDITIONS.iter().zip(counts).map(|(condition, count)| {
        let mut gauge = Gauge::default();
        gauge.set_value(count as f64);
        let mut metric = Metric::from_gauge(gauge);
        metric.set_label(vec![pair("condition", condition)]);
        metric
    });
    vec![
        family(declared::BACKENDS, conditions.collect()),
        family(declared::BREAKER_STATE, series.breaker),
        family(declared::BREAKER_OPENED, series.opened),
        family(declared::HEALTHY, series.healthy),
    ]
}

/// The families without any series but the sums.
#[cfg(test)]
pub(super) fn empty() -> Vec<MetricFamily> {
    families([0; CONDITIONS.len()], Series::default())
}
