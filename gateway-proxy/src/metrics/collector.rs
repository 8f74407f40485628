//! The counts as the registry wants them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use hotswap_core::{MetricDef, MetricKind};
use hotswap_matcher::ContentCoding;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::{BUCKETS_US, CLASSES, ControlMetrics, CoreMetrics, Count, GatewayMetrics, Latency, declared};
use crate::grpc;
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
    let one = |def, of: fn(&CoreMetrics) -> &Count| counter(def, vec![(None, m.sum(of))]);
    let classes = CLASSES.iter().enumerate().map(|(i, class)| {
        let sum = m.cores.iter().filter_map(|core| core.classes.get(i)).map(Count::get).sum();
        (Some(*class), sum)
    });
    let reasons = Reason::ALL.iter().map(|reason| {
        let of = |core: &CoreMetrics| core.failed.get(*reason).map_or(0, Count::get);
        (Some(reason.code()), m.cores.iter().map(|core| of(core)).sum())
    });
    let connects =
        vec![(Some("ok"), m.sum(|c| &c.connects)), (Some("failed"), m.sum(|c| &c.connect_failures))];
    let ended =
        vec![(Some("flood"), m.sum(|c| &c.http2_calmed)), (Some("protocol"), m.sum(|c| &c.http2_refused))];
    let mut all = vec![
        counter(declared::REQUESTS, classes.collect()),
        counter(declared::FAILED, reasons.collect()),
        duration(m, declared::DURATION, |core| &core.requests),
        duration(m, declared::BACKEND_DURATION, |core| &core.backends),
    ];
    all.extend(clients(m));
    all.extend([
        one(declared::HTTP2_CONNECTIONS, |c| &c.http2_connections),
        one(declared::HTTP2_STREAMS, |c| &c.http2_streams),
        counter(declared::HTTP2_ENDED, ended),
        calls(m),
        counter(declared::CONNECTS, connects),
        one(declared::REUSES, |c| &c.reuses),
        one(declared::RETRIES, |c| &c.retries),
    ]);
    let retries = vec![
        (Some("sent"), m.sum(|c| &c.tries)),
        (Some("saved"), m.sum(|c| &c.tries_saved)),
        (Some("over_budget"), m.sum(|c| &c.tries_refused)),
    ];
    all.push(counter(declared::TRIES, retries));
    let copies = vec![(Some("sent"), m.sum(|c| &c.copies)), (Some("dropped"), m.sum(|c| &c.copies_dropped))];
    all.push(counter(declared::SHADOWS, copies));
    all.extend(compression(m));
    all.push(gauge(declared::UPGRADED, m.sum(|c| &c.upgraded) as f64));
    all.push(one(declared::UPGRADES, |c| &c.upgrades));
    let bytes = vec![(Some("in"), m.sum(|c| &c.upgraded_in)), (Some("out"), m.sum(|c| &c.upgraded_out))];
    all.push(counter(declared::UPGRADED_BYTES, bytes));
    let handshakes = vec![
        (Some("full"), m.sum(|c| &c.tls_full)),
        (Some("resumed"), m.sum(|c| &c.tls_resumed)),
        (Some("failed"), m.sum(|c| &c.tls_failed)),
        (Some("timed_out"), m.sum(|c| &c.tls_timed_out)),
    ];
    all.push(counter(declared::HANDSHAKES, handshakes));
    let handshakes = vec![
        (Some("full"), m.sum(|c| &c.backend_tls_full)),
        (Some("resumed"), m.sum(|c| &c.backend_tls_resumed)),
        (Some("failed"), m.sum(|c| &c.backend_tls_failed)),
    ];
    all.push(counter(declared::BACKEND_HANDSHAKES, handshakes));
    all.push(one(declared::PROXY_HEADERS_REFUSED, |c| &c.proxy_headers_refused));
    all.extend(of_control(&m.control));
    all
}

/// Connections of clients.
fn clients(m: &GatewayMetrics) -> [MetricFamily; 4] {
    let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let limits = load(&m.control.connection_limits);
    [
        gauge(declared::ACTIVE, m.sum(|c| &c.active) as f64),
        counter(declared::ACCEPTED, vec![(None, m.sum(|c| &c.accepted))]),
        gauge(declared::MAX_CONNECTIONS, load(&m.control.max_connections) as f64),
        counter(declared::CONNECTION_LIMITS, vec![(None, limits)]),
    ]
}

fn calls(m: &GatewayMetrics) -> MetricFamily {
    let of = |core: &CoreMetrics, i: usize| core.calls.get(i).map_or(0, Count::get);
    let names = grpc::NAMES.into_iter().enumerate();
    let samples = names.map(|(i, name)| (Some(name), m.cores.iter().map(|core| of(core, i)).sum()));
    counter(declared::CALLS, samples.collect())
}

fn compression(m: &GatewayMetrics) -> [MetricFamily; 2] {
    let names = ContentCoding::ALL.map(ContentCoding::name).into_iter().chain(["no_room"]).enumerate();
    let of = |core: &CoreMetrics, i: usize| core.compressed.get(i).map_or(0, Count::get);
    let responses = names.map(|(i, name)| (Some(name), m.cores.iter().map(|core| of(core, i)).sum()));
    let bytes = vec![(Some("in"), m.sum(|c| &c.compressed_in)), (Some("out"), m.sum(|c| &c.compressed_out))];
    [counter(declared::COMPRESSED, responses.collect()), counter(declared::COMPRESSED_BYTES, bytes)]
}

/// What the control thread counts.
fn of_control(c: &ControlMetrics) -> Vec<MetricFamily> {
    let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let revision = |n: &AtomicI64| n.load(Ordering::Relaxed) as f64;
    let total = |def, n: &AtomicU64| counter(def, vec![(None, load(n))]);
    vec![
        gauge(declared::REVISION, revision(&c.revision)),
        total(declared::APPLIED, &c.applied),
        total(declared::REFUSED, &c.refused),
        gauge(declared::STALE, load(&c.stale) as f64),
        gauge(declared::STATE_REVISION, revision(&c.state_revision)),
        total(declared::STATE_ERRORS, &c.state_write_errors),
        gauge(declared::CONNECTED, load(&c.connected) as f64),
        counter(
            declared::CHECKS,
            vec![
                (Some("ok"), load(&c.checks_ok)),
                (Some("failed"), load(&c.checks_failed)),
                (Some("not_made"), load(&c.checks_not_made)),
            ],
        ),
        counter(
            declared::KEY_FETCHES,
            vec![(Some("ok"), load(&c.keys_ok)), (Some("failed"), load(&c.keys_failed))],
        ),
        total(declared::LOG_DROPPED, &c.log_dropped),
        total(declared::TLS_RELOADS, &c.tls_reloads),
        gauge(declared::TLS_STALE, load(&c.tls_stale) as f64),
    ]
}

/// The value of the label, where the metric has one, and the count.
type Sample = (Option<&'static str>, u64);

fn counter(def: MetricDef, samples: Vec<Sample>) -> MetricFamily {
    let metrics = samples.into_iter().map(|(of, value)| {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        let mut metric = Metric::default();
        metric.set_counter(counter);
        metric.set_label(def.labels.iter().zip(of).map(|(label, value)| pair(label.name, value)).collect());
        metric
    });
    family(def, metrics.collect())
}

fn gauge(def: MetricDef, value: f64) -> MetricFamily {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    family(def, vec![Metric::from_gauge(gauge)])
}

fn duration(m: &GatewayMetrics, def: MetricDef, of: fn(&CoreMetrics) -> &Latency) -> MetricFamily {
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
    family(def, vec![metric])
}

pub(super) fn family(def: MetricDef, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(def.name.to_owned());
    family.set_help(def.meaning.to_owned());
    family.set_field_type(match def.kind {
        MetricKind::Counter => MetricType::COUNTER,
        MetricKind::Gauge => MetricType::GAUGE,
        MetricKind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(metrics);
    family
}

pub(super) fn pair(name: &str, value: &str) -> LabelPair {
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
    fn every_family_is_declared_and_every_declaration_is_a_family() {
        let mut families = families(&GatewayMetrics::new(1));
        families.extend(super::super::backends::empty());
        families.push(super::super::rollouts::empty());
        families.push(super::super::certificates::empty());
        families.extend(super::super::traffic::empty());
        let shown: Vec<_> = families.iter().map(|f| f.name().to_owned()).collect();
        let declared: Vec<_> = declared::METRICS.iter().map(|def| def.name).collect();
        assert_eq!(shown, declared);
    }

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
