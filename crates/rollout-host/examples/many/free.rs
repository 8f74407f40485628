//! A domain that costs nothing: subjects, target and counts come from what is known anyway.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hotswap_core::{Revision, Violations};
use hotswap_rollout::judge::{Arm, Counts, Reading, Tally};
use hotswap_rollout::{
    Act, ActResult, Content, ContentHash, Exposure, MetricSource, PortError, Powers, Principal, Rollout,
    RolloutId, Target, TargetContext, Watch,
};
use hotswap_rollout_host::{Answer, Subjects};
use hotswap_store::Tx;

/// Requests a second of a candidate; the baseline has nine times as many.
const RATE: u64 = 5;
/// Parts of the users, where they stay in their arm.
const BUCKETS: u64 = 64;

/// The domain, its target and its counts.
#[derive(Clone, Debug)]
pub(crate) struct Free {
    out: Arc<Mutex<HashMap<RolloutId, Exposure>>>,
    began: Instant,
    /// How old rollouts are made beyond their time, in seconds.
    older: u64,
}

impl Free {
    pub(crate) fn new(older: u64) -> Self {
        Self { out: Arc::default(), began: Instant::now(), older }
    }

    /// Requests of a candidate until now, one error in a hundred.
    fn requests(&self) -> u64 {
        (self.began.elapsed().as_secs() + self.older) * RATE + 1
    }
}

/// Requests, spread evenly over `parts` where there are any.
fn arm(requests: u64, parts: u64) -> Arm {
    let tally = |requests: u64| Tally { requests, errors: requests / 100, slow: requests / 400 };
    let bucket = |i: u64| tally(requests / BUCKETS + i % 7);
    let buckets: Vec<Tally> = (0..parts).map(bucket).collect();
    if buckets.is_empty() {
        return Arm { all: tally(requests), buckets };
    }
    let sum = |of: fn(&Tally) -> u64| buckets.iter().map(of).sum();
    Arm {
        all: Tally { requests: sum(|t| t.requests), errors: sum(|t| t.errors), slow: sum(|t| t.slow) },
        buckets,
    }
}

impl MetricSource for Free {
    async fn measure(&self, rollout: &Rollout, watch: &Watch) -> Reading {
        let (requests, parts) = (self.requests(), if rollout.sticky.is_some() { BUCKETS } else { 0 });
        let (candidate, baseline) = (arm(requests, parts), arm(requests * 9, parts));
        Reading::Counts(Counts { candidate, baseline, share: None, timed: watch.slow_over_us.is_some() })
    }

    async fn baseline_p95_us(&self, _: &Rollout) -> Option<u64> {
        Some(20_000)
    }
}

impl Target for Free {
    fn powers(&self, _: &str) -> Powers {
        Powers::ALL
    }

    async fn act(&self, rollout: &Rollout, _: &TargetContext, act: &Act) -> ActResult {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        match act {
            Act::Expose(to) => drop(out.insert(rollout.id, to.clone())),
            Act::Withdraw | Act::Commit => drop(out.remove(&rollout.id)),
            Act::Stage | Act::Check(_) => {}
        }
        ActResult::Done
    }

    async fn actual(&self, rollout: &Rollout) -> Result<Exposure, PortError> {
        let out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(out.get(&rollout.id).cloned().unwrap_or_default())
    }
}

impl Subjects for Free {
    fn domain(&self) -> &'static str {
        "free"
    }

    fn owns(&self, subject: &str) -> bool {
        subject.starts_with("free/")
    }

    fn scope(&self) -> &'static str {
        "free"
    }

    fn powers(&self, _: &str) -> Powers {
        Powers::ALL
    }

    fn check(&self, _: &Rollout) -> Result<(), Violations> {
        Ok(())
    }

    fn live<'a>(&'a self, _: &'a mut Tx, _: &'a str) -> Answer<'a, Option<Revision>> {
        Box::pin(std::future::ready(Ok(Some(Revision(1)))))
    }

    fn content<'a>(&'a self, _: &'a mut Tx, _: &'a str, _: Revision) -> Answer<'a, Option<Content>> {
        let content = Content { hash: ContentHash("h".into()), authors: vec![Principal("ann".into())] };
        Box::pin(std::future::ready(Ok(Some(content))))
    }
}
