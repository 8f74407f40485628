//! When the certificates for clients run out.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Gauge, Metric, MetricFamily};

use super::collector::{family, pair};
use super::declared;
use crate::tls::ClientTls;

/// Certificates that are shown at most.
const MOST: usize = 1_000;

/// Reads them when it is asked.
#[derive(Debug)]
pub struct CollectedCertificates {
    tls: ClientTls,
    desc: Desc,
}

impl CollectedCertificates {
    /// For a registry.
    ///
    /// # Errors
    /// Where the description is invalid.
    pub fn new(tls: &ClientTls) -> Result<Self, prometheus::Error> {
        let def = declared::TLS_EXPIRY;
        let desc = Desc::new(def.name.to_owned(), def.meaning.to_owned(), vec![], Default::default())?;
        Ok(Self { tls: tls.clone(), desc })
    }
}

impl Collector for CollectedCertificates {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let certificates = self.tls.certificates();
        let metrics = certificates.iter().take(MOST).map(|certificate| {
            let mut gauge = Gauge::default();
            gauge.set_value(certificate.until as f64);
            let mut metric = Metric::from_gauge(gauge);
            metric.set_label(vec![pair("file", &certificate.file)]);
            metric
        });
        vec![family(declared::TLS_EXPIRY, metrics.collect())]
    }
}

/// The family without any series.
#[cfg(test)]
pub(super) fn empty() -> MetricFamily {
    family(declared::TLS_EXPIRY, Vec::new())
}
