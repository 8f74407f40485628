//! The arms of rollouts, as the registry wants them. The number of series is bounded, whatever the configuration.

use hotswap_matcher::Arm;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Metric, MetricFamily};

use super::collector::{family, pair};
use super::declared;
use crate::config::Live;
use crate::rollout::Rollout;

/// Rollouts that have series of their own, at most.
const MOST: usize = 1_000;

/// Adds the cores up when it is asked.
#[derive(Debug)]
pub struct CollectedRollouts {
    config: Live,
    desc: Desc,
}

impl CollectedRollouts {
    /// For a registry.
    ///
    /// # Errors
    /// Where a description is invalid.
    pub fn new(config: &Live) -> Result<Self, prometheus::Error> {
        let none = empty();
        let desc = Desc::new(none.name().to_owned(), none.help().to_owned(), vec![], Default::default())?;
        Ok(Self { config: config.clone(), desc })
    }
}

impl Collector for CollectedRollouts {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let current = self.config.now();
        let series: Vec<_> = current.rollouts().take(MOST).flat_map(|rollout| of(rollout)).collect();
        // A family without series is none.
        if series.is_empty() { Vec::new() } else { vec![family(declared::ROLLOUT_REQUESTS, series)] }
    }
}

fn of(rollout: &Rollout) -> impl Iterator<Item = Metric> {
    let of_arm = |arm: Arm| {
        let total = rollout.tallies().total(arm);
        [("ok", total.requests - total.errors.min(total.requests)), ("error", total.errors)].map(
            |(result, count)| {
                let mut counter = Counter::default();
                counter.set_value(count as f64);
                let mut metric = Metric::default();
                metric.set_counter(counter);
                metric.set_label(vec![
                    pair("arm", arm.name()),
                    pair("resource", rollout.resource()),
                    pair("result", result),
                ]);
                metric
            },
        )
    };
    [Arm::Baseline, Arm::Candidate].into_iter().flat_map(of_arm)
}

/// The family without any series.
pub(super) fn empty() -> MetricFamily {
    family(declared::ROLLOUT_REQUESTS, Vec::new())
}
