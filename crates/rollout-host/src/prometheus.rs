//! Counts by queries to a Prometheus server: what stands in them is filled in here; who asks is a port.

use futures_util::future::BoxFuture;
use hotswap_core::Timestamp;
use hotswap_rollout::judge::{Arm, Counts, Reading, Tally};
use hotswap_rollout::{PrometheusQueries, Rollout, Watch};

use crate::Queries;

/// Why a query gave no number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoNumber {
    /// Nothing matches.
    NoData,
    /// Everything else, in words.
    Broken(String),
}

/// Asks a server for one number at a moment.
pub trait Ask: Send + Sync + 'static {
    /// Whether this server may be asked.
    ///
    /// # Errors
    /// What is wrong with the address, in words.
    fn admits(&self, address: &str) -> Result<(), String>;

    /// The number that a query gives.
    fn number<'a>(
        &'a self,
        address: &'a str,
        query: &'a str,
        at: Timestamp,
    ) -> BoxFuture<'a, Result<f64, NoNumber>>;
}

/// The queries of a rollout, filled in and asked.
#[derive(Clone)]
pub struct PrometheusCounts<A> {
    ask: A,
}

impl<A> std::fmt::Debug for PrometheusCounts<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrometheusCounts").finish_non_exhaustive()
    }
}

impl<A: Ask> PrometheusCounts<A> {
    /// By what `ask` is told.
    pub fn new(ask: A) -> Self {
        Self { ask }
    }

    async fn counts(
        &self,
        queries: &PrometheusQueries,
        watch: &Watch,
        at: Timestamp,
    ) -> Result<Counts, NoNumber> {
        let candidate = self.arm("candidate", queries, watch, at);
        let baseline = self.arm("baseline", queries, watch, at);
        let (candidate, baseline) = tokio::join!(candidate, baseline);
        let timed = queries.slow.is_some() && watch.slow_over_us.is_some();
        Ok(Counts { candidate: candidate?, baseline: baseline?, share: None, timed })
    }

    async fn arm(
        &self,
        arm: &str,
        queries: &PrometheusQueries,
        watch: &Watch,
        at: Timestamp,
    ) -> Result<Arm, NoNumber> {
        let fill = |query: &str| filled(query, arm, watch, at);
        let address = queries.address.as_str();
        let requests = count(self.ask.number(address, &fill(&queries.total), at).await?)?;
        let errors = self.ask.number(address, &fill(&queries.errors), at).await;
        let errors = count(errors.map_err(|why| part("errors", why))?)?;
        let slow = match (&queries.slow, watch.slow_over_us) {
            (Some(query), Some(_)) => {
                let slow = self.ask.number(address, &fill(query), at).await;
                count(slow.map_err(|why| part("slow", why))?)?
            }
            _ => 0,
        };
        if errors > requests || slow > requests {
            let text =
                format!("{arm}: {requests} requests, {errors} failed, {slow} slow: a part is more than all");
            return Err(NoNumber::Broken(text));
        }
        Ok(Arm { all: Tally { requests, errors, slow }, buckets: Vec::new() })
    }
}

/// Without requests there is no data; without failed ones there may be none, or the query is wrong. Who wrote it says which.
fn part(name: &str, why: NoNumber) -> NoNumber {
    match why {
        NoNumber::NoData => NoNumber::Broken(format!(
            "the query for {name} gives no data; where that means none, end it with `or vector(0)`"
        )),
        broken @ NoNumber::Broken(_) => broken,
    }
}

/// `increase` and its like give fractions; they are rounded.
fn count(number: f64) -> Result<u64, NoNumber> {
    const MOST: f64 = 9_007_199_254_740_992.0;
    let rounded = number.round();
    if (0.0..=MOST).contains(&rounded) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^53, whole")]
        return Ok(rounded as u64);
    }
    Err(NoNumber::Broken(format!("{number} is not a count")))
}

/// A query with what stands for something put in.
fn filled(query: &str, arm: &str, watch: &Watch, at: Timestamp) -> String {
    let window = at.0.saturating_sub(watch.since.0).div_euclid(1_000_000).max(1);
    let query = query.replace("{{arm}}", arm).replace("{{window}}", &format!("{window}s"));
    match watch.slow_over_us {
        Some(us) => query.replace("{{slow_s}}", &format!("{}.{:06}", us / 1_000_000, us % 1_000_000)),
        None => query,
    }
}

impl<A: Ask> Queries for PrometheusCounts<A> {
    fn admits(&self, queries: &PrometheusQueries) -> Result<(), String> {
        self.ask.admits(&queries.address)
    }

    fn measure<'a>(
        &'a self,
        queries: &'a PrometheusQueries,
        watch: &'a Watch,
        now: Timestamp,
    ) -> BoxFuture<'a, Reading> {
        Box::pin(async move {
            match self.counts(queries, watch, now).await {
                Ok(counts) => Reading::Counts(counts),
                Err(NoNumber::NoData) => Reading::NoData,
                Err(NoNumber::Broken(why)) => Reading::Broken(why),
            }
        })
    }

    fn baseline_p95_us<'a>(
        &'a self,
        rollout: &'a Rollout,
        queries: &'a PrometheusQueries,
        now: Timestamp,
    ) -> BoxFuture<'a, Option<u64>> {
        Box::pin(async move {
            // Before anything is exposed: since the rollout was created.
            let watch = Watch { epoch: 0, since: rollout.created_at, slow_over_us: None };
            let query = filled(queries.p95.as_deref()?, "baseline", &watch, now);
            let seconds = self.ask.number(&queries.address, &query, now).await.ok()?;
            count(seconds * 1_000_000.0).ok().filter(|us| *us > 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What a server knows, by query.
    struct Known(BTreeMap<&'static str, Result<f64, NoNumber>>);

    impl Ask for Known {
        fn admits(&self, _: &str) -> Result<(), String> {
            Ok(())
        }

        fn number<'a>(
            &'a self,
            _: &'a str,
            query: &'a str,
            _: Timestamp,
        ) -> BoxFuture<'a, Result<f64, NoNumber>> {
            let known = self.0.get(query).cloned();
            Box::pin(std::future::ready(known.unwrap_or(Err(NoNumber::NoData))))
        }
    }

    async fn read(known: &[(&'static str, Result<f64, NoNumber>)]) -> Result<Counts, NoNumber> {
        let queries = PrometheusQueries {
            address: "http://p".into(),
            total: "all_{{arm}}[{{window}}]".into(),
            errors: "bad_{{arm}}".into(),
            slow: Some("slow_{{arm}}>{{slow_s}}".into()),
            p95: None,
        };
        let watch = Watch { epoch: 1, since: Timestamp(0), slow_over_us: Some(40_000) };
        let ask = Known(known.iter().cloned().collect());
        PrometheusCounts::new(ask).counts(&queries, &watch, Timestamp(93_400_000)).await
    }

    const WHOLE: [(&str, Result<f64, NoNumber>); 6] = [
        ("all_candidate[93s]", Ok(100.4)),
        ("all_baseline[93s]", Ok(900.0)),
        ("bad_candidate", Ok(3.0)),
        ("bad_baseline", Ok(9.0)),
        ("slow_candidate>0.040000", Ok(5.0)),
        ("slow_baseline>0.040000", Ok(45.0)),
    ];

    #[tokio::test]
    async fn queries_are_filled_in_for_each_arm() {
        let counts = read(&WHOLE).await.expect("counts");
        assert_eq!(counts.candidate.all, Tally { requests: 100, errors: 3, slow: 5 });
        assert_eq!(counts.baseline.all, Tally { requests: 900, errors: 9, slow: 45 });
        assert!(counts.timed);
    }

    #[tokio::test]
    async fn no_requests_are_no_data_and_no_answer_about_errors_is_broken() {
        assert_eq!(read(&WHOLE[1..]).await, Err(NoNumber::NoData));
        let mut without = WHOLE.to_vec();
        without.retain(|(query, _)| *query != "bad_candidate");
        let broken = read(&without).await.expect_err("it can't tell");
        assert!(matches!(&broken, NoNumber::Broken(why) if why.contains("or vector(0)")), "{broken:?}");
    }

    #[tokio::test]
    async fn what_is_no_count_is_broken() {
        for number in [-1.0, f64::INFINITY, f64::NAN, 101.0] {
            let mut odd = WHOLE.to_vec();
            odd[2].1 = Ok(number);
            assert!(matches!(read(&odd).await, Err(NoNumber::Broken(_))), "{number}");
        }
    }
}
