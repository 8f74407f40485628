//! The counts as the registry wants them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::{BUCKETS_US, CLASSES, ControlMetrics, CoreMetrics, Count, GatewayMetrics, Latency};
use crate::reason::Reason;

/// Adds the cores up when it is asked.
#[derive(Debug)]
pub struct Collected {
    metrics: GatewayMetrics,
    desc: Vec<Desc>,
}

impl Collected {
    /// For a registry.
    ///
    /// # Errors
    /// Where a description is invalid.
    pub fn new(metrics: GatewayMetrics) -> Result<Self, prometheus::Error> {
        let desc = families(&metrics)
            .iter()
            .map(|f| Desc::new(f.name().to_owned(), f.help().to_owned(), vec![], Default::default()))
            .collect::<Result<_, _>>()?;
        Ok(Self { metrics, desc })
    }
}

impl Collector for Collected {
    fn desc(&self) -> Vec<&Desc> {
        self.desc.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        families(&self.metrics)
    }
}

fn families(m: &GatewayMetrics) -> Vec<MetricFamily> {
    let one = |name, help, of: fn(&CoreMetrics) -> &Count| counter(name, help, vec![(None, m.sum(of))]);
    let classes = CLASSES.iter().enumerate().map(|(i, class)| {
        let sum = m.cores.iter().filter_map(|core| core.classes.get(i)).map(Count::get).sum();
        (Some(("class", *class)), sum)
    });
    let reasons = Reason::ALL.iter().map(|reason| {
        let of = |core: &CoreMetrics| core.failed.get(*reason as usize).map_or(0, Count::get);
        (Some(("reason", reason.code())), m.cores.iter().map(|core| of(core)).sum())
    });
    let connects = vec![
        (Some(("result", "ok")), m.sum(|c| &c.connects)),
        (Some(("result", "failed")), m.sum(|c| &c.connect_failures)),
    ];
    let mut all = vec![
        counter("gateway_requests_total", "Exchanges ended, by the class of the status.", classes.collect()),
        counter(
            "gateway_requests_failed_total",
            "Exchanges that the gateway answered by itself or had to cut, by reason code.",
            reasons.collect(),
        ),
        duration(
            m,
            "gateway_request_duration_seconds",
            "From the head of the request to the last byte of the response.",
            |core| &core.requests,
        ),
        duration(
            m,
            "gateway_backend_duration_seconds",
            "From the choice of a backend to the head of its response.",
            |core| &core.backends,
        ),
        gauge("gateway_active_connections", "Client connections open.", m.sum(|c| &c.active) as f64),
        one("gateway_connections_total", "Client connections accepted.", |c| &c.accepted),
        counter("gateway_upstream_connects_total", "Connections to backends, by result.", connects),
        one("gateway_upstream_reuses_total", "Exchanges on a backend connection that was open.", |c| {
            &c.reuses
        }),
        one("gateway_upstream_retries_total", "Exchanges sent anew on a fresh connection.", |c| &c.retries),
    ];
    let retries = vec![
        (Some(("outcome", "sent")), m.sum(|c| &c.tries)),
        (Some(("outcome", "saved")), m.sum(|c| &c.tries_saved)),
        (Some(("outcome", "over_budget")), m.sum(|c| &c.tries_refused)),
    ];
    all.push(counter("gateway_retries_total", "Tries after the first, by what came of them.", retries));
    all.extend(of_control(&m.control));
    all
}

/// What the control thread counts.
fn of_control(c: &ControlMetrics) -> Vec<MetricFamily> {
    let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let revision = |n: &AtomicI64| n.load(Ordering::Relaxed) as f64;
    let total = |name, help, n: &AtomicU64| counter(name, help, vec![(None, load(n))]);
    vec![
        gauge("gateway_config_revision", "Revision that is served; 0: none yet.", revision(&c.revision)),
        total("gateway_config_applied_total", "Snapshots and deltas applied.", &c.applied),
        total("gateway_config_refused_total", "Resources refused.", &c.refused),
        gauge(
            "gateway_config_stale",
            "1: what is served comes from disk, and the control plane has not confirmed it yet.",
            load(&c.stale) as f64,
        ),
        gauge(
            "gateway_state_revision",
            "Revision that is safe on disk; 0: none.",
            revision(&c.state_revision),
        ),
        total(
            "gateway_state_write_errors_total",
            "Times that the configuration could not be kept on disk.",
            &c.state_write_errors,
        ),
        gauge("gateway_control_plane_connected", "1: the watch is connected.", load(&c.connected) as f64),
        counter(
            "gateway_health_checks_total",
            "Active checks of backends, by result.",
            vec![
                (Some(("result", "ok")), load(&c.checks_ok)),
                (Some(("result", "failed")), load(&c.checks_failed)),
            ],
        ),
        total(
            "gateway_access_log_dropped_total",
            "Lines of the access log that were dropped.",
            &c.log_dropped,
        ),
    ]
}

type Sample = (Option<(&'static str, &'static str)>, u64);

fn counter(name: &str, help: &str, samples: Vec<Sample>) -> MetricFamily {
    let metrics = samples.into_iter().map(|(label, value)| {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        let mut metric = Metric::default();
        metric.set_counter(counter);
        metric.set_label(label.into_iter().map(pair).collect());
        metric
    });
    family(name, help, MetricType::COUNTER, metrics.collect())
}

fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    family(name, help, MetricType::GAUGE, vec![Metric::from_gauge(gauge)])
}

fn duration(m: &GatewayMetrics, name: &str, help: &str, of: fn(&CoreMetrics) -> &Latency) -> MetricFamily {
    let in_bucket =
        |i: usize| m.cores.iter().filter_map(|c| of(c).buckets.get(i)).map(Count::get).sum::<u64>();
    let mut cumulative = 0;
    let mut buckets = Vec::with_capacity(BUCKETS_US.len());
    for (i, bound) in BUCKETS_US.iter().enumerate() {
        cumulative += in_bucket(i);
        let mut bucket = Bucket::default();
        bucket.set_cumulative_count(cumulative);
        bucket.set_upper_bound(*bound as f64 / 1e6);
        buckets.push(bucket);
    }
    let mut histogram = Histogram::default();
    histogram.set_sample_count(cumulative + in_bucket(BUCKETS_US.len()));
    let sum: u64 = m.cores.iter().map(|c| of(c).sum_us.get()).sum();
    histogram.set_sample_sum(sum as f64 / 1e6);
    histogram.set_bucket(buckets);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    family(name, help, MetricType::HISTOGRAM, vec![metric])
}

pub(super) fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

pub(super) fn pair((name, value): (&str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    #[test]
    fn a_scrape_adds_the_cores_up() {
        let metrics = GatewayMetrics::new(2);
        for core in &metrics.cores {
            core.ended(Some(StatusCode::OK), None, Duration::from_micros(300));
            core.ended(Some(StatusCode::BAD_GATEWAY), Some(Reason::ConnectFailed), Duration::from_secs(60));
        }
        metrics.cores[1].ended(None, Some(Reason::ClientGone), Duration::ZERO);
        let registry = hotswap_telemetry::Metrics::new();
        registry.register(Collected::new(metrics).expect("valid")).expect("free");
        let text = registry.encode().expect("text");
        for line in [
            r#"gateway_requests_total{class="2xx"} 2"#,
            r#"gateway_requests_total{class="5xx"} 2"#,
            r#"gateway_requests_total{class="none"} 1"#,
            r#"gateway_requests_failed_total{reason="CONNECT_FAILED"} 2"#,
            r#"gateway_request_duration_seconds_bucket{le="0.00025"} 1"#,
            r#"gateway_request_duration_seconds_bucket{le="0.0005"} 3"#,
            r#"gateway_request_duration_seconds_bucket{le="+Inf"} 5"#,
            "gateway_config_revision 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
