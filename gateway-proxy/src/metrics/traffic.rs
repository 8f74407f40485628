//! The traffic features of routes, as the registry wants them. The number of series is bounded, whatever the
//! configuration.

use hotswap_core::MetricDef;
use hotswap_matcher::Routed as _;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily};

use super::collector::{family, pair};
use super::declared;
use crate::backend_state::clock;
use crate::config::{Compiled, Live, RouteEntry};
use crate::traffic::RouteTraffic;

/// Routes that have series of their own, at most.
const MOST: usize = 1_000;

/// What is told of them.
const DEFS: [MetricDef; 4] =
    [declared::TRAFFIC_REFUSED, declared::KEYS_STALE, declared::MIRROR_REQUESTS, declared::TRAFFIC_IN_FLIGHT];

/// Reads the states of routes when it is asked.
#[derive(Debug)]
pub struct CollectedTraffic {
    config: Live,
    desc: Vec<Desc>,
}

impl CollectedTraffic {
    /// For a registry.
    ///
    /// # Errors
    /// Where a description is invalid.
    pub fn new(config: &Live) -> Result<Self, prometheus::Error> {
        let desc =
            |f: MetricFamily| Desc::new(f.name().to_owned(), f.help().to_owned(), vec![], Default::default());
        let desc = empty().into_iter().map(desc).collect::<Result<_, _>>()?;
        Ok(Self { config: config.clone(), desc })
    }
}

impl Collector for CollectedTraffic {
    fn desc(&self) -> Vec<&Desc> {
        self.desc.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let current = self.config.now();
        let with = |route: &'_ RouteEntry| route.traffic().is_some();
        let (mut refused, mut copied, mut in_flight) = (Vec::new(), Vec::new(), Vec::new());
        for route in current.routes().filter(|route| with(route)).take(MOST) {
            let Some(traffic) = route.traffic() else { continue };
            let name = route.name().to_string();
            refused.extend(refusals(&name, traffic));
            if traffic.spec().mirror.is_some() {
                copied.extend(
                    traffic
                        .state()
                        .copies()
                        .counts()
                        .map(|(copy, count)| counter(count, &[("result", copy.name()), ("route", &name)])),
                );
            }
            if traffic.spec().concurrency.is_some() {
                let mut gauge = Gauge::default();
                gauge.set_value(f64::from(traffic.state().in_flight()));
                let mut metric = Metric::from_gauge(gauge);
                metric.set_label(vec![pair("route", &name)]);
                in_flight.push(metric);
            }
        }
        // A family without series is none.
        DEFS.into_iter()
            .zip([refused, stale_keys(&current), copied, in_flight])
            .filter(|(_, series)| !series.is_empty())
            .map(|(def, series)| family(def, series))
            .collect()
    }
}

/// A series for each reason that there was.
fn refusals(name: &str, traffic: &RouteTraffic) -> impl Iterator<Item = Metric> {
    let counts = traffic.state().refusals().into_iter().filter(|(_, count)| *count > 0);
    counts.map(move |(reason, count)| counter(count, &[("reason", reason.code()), ("route", name)]))
}

/// How many, where there are key sets that are fetched at all.
fn stale_keys(config: &Compiled) -> Vec<Metric> {
    let all = config.keys().standing(clock::now_ms());
    let mut gauge = Gauge::default();
    gauge.set_value(all.iter().filter(|keys| !keys.trouble.is_empty()).count() as f64);
    if all.is_empty() { Vec::new() } else { vec![Metric::from_gauge(gauge)] }
}

fn counter(count: u64, labels: &[(&str, &str)]) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric.set_label(labels.iter().map(|(name, value)| pair(name, value)).collect());
    metric
}

/// The families without any series.
pub(super) fn empty() -> Vec<MetricFamily> {
    DEFS.map(|def| family(def, Vec::new())).into()
}
