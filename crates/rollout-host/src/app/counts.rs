//! Counts that clients report.

use hotswap_auth::OpContext;
use hotswap_core::Violations;
use hotswap_rollout::judge::{Arm, Counts, Tally};
use hotswap_rollout::{CountSource, Watch};

use super::{Rollouts, found, parse_name};
use crate::Error;
use crate::schedule;
use crate::store::{self, Reported};

/// Hash buckets of a sticky key, at most.
const MAX_BUCKETS: usize = 64;

/// What a client counted since the exposure took hold: absolute, so that saying it twice changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// "rollouts/{id}", or the id alone.
    pub name: String,
    /// Who counts, as a host and process.
    pub reporter: String,
    /// The step that was counted at, from 0.
    pub step: u32,
    /// Those who got the baseline.
    pub baseline: Arm,
    /// Those who got the candidate.
    pub candidate: Arm,
    /// The baseline's p95 in microseconds; `None`: not known.
    pub baseline_p95_us: Option<u64>,
    /// What was slow where it was counted: more than so many microseconds, as the last answer said. `None`: not known, so
    /// nothing was counted as slow.
    pub slow_over_us: Option<u64>,
}

/// What a reporter needs for its next report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    /// The step that counts now, from 0. Counting begins anew where it is another one.
    pub step: u32,
    /// `false`: nothing is counted now.
    pub counting: bool,
    /// What is slow: more than so many microseconds; `None`: not known yet.
    pub slow_over_us: Option<u64>,
}

impl Rollouts {
    /// Takes what a client counted. Counts of another step are passed over, and so are fewer than it reported before by the
    /// same measure of what is slow, and all where the rollout has ended.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::NothingCounted`], [`Error::Store`].
    pub async fn report_counts(&self, _ctx: &OpContext, input: &Report) -> Result<Counting, Error> {
        let id = parse_name(&input.name)?;
        check(input)?;
        let mut tx = self.parts.db.write_unscoped().await?;
        let view = found(&mut tx, id).await?;
        if view.rollout.source != CountSource::Reported {
            return Err(Error::NothingCounted { rollout: id });
        }
        let watch = schedule::watch(&view.record.state);
        let step = u32::try_from(view.step).unwrap_or(u32::MAX);
        let counting = Counting {
            step: watch.map_or(step, |watch| watch.epoch),
            counting: watch.is_some(),
            slow_over_us: watch.and_then(|watch| watch.slow_over_us),
        };
        if view.record.state.is_ended() {
            return Ok(counting);
        }
        let before = store::counts_of(&mut tx, id, &input.reporter).await?;
        let stale = before.as_ref().is_some_and(|b| {
            b.epoch == input.step && b.slow_over_us == input.slow_over_us && is_less(input, b)
        });
        let wants_p95 = input.baseline_p95_us.is_some() && before.as_ref().is_none_or(|b| b.p95_us.is_none());
        if stale || (watch.is_none_or(|watch| watch.epoch != input.step) && !wants_p95) {
            return Ok(counting);
        }
        let now = tx.now().await?;
        store::put_counts(&mut tx, id, &reported(input), now).await?;
        tx.commit().await?;
        Ok(counting)
    }
}

/// The sum of what all reporters counted at a step; `None`: nobody did. What was slow counts only where all of them took
/// for slow what is: one that did not know it yet has seen no slow request in either arm, which is no sign of health.
pub(crate) fn sum(reports: &[Reported], watch: &Watch) -> Option<Counts> {
    let of_step: Vec<_> = reports.iter().filter(|r| r.epoch == watch.epoch).collect();
    let mut counts = Counts {
        timed: watch.slow_over_us.is_some() && of_step.iter().all(|r| r.slow_over_us == watch.slow_over_us),
        ..Counts::default()
    };
    for report in &of_step {
        add(&mut counts.baseline, &report.baseline);
        add(&mut counts.candidate, &report.candidate);
    }
    (!of_step.is_empty()).then_some(counts)
}

/// The baseline's p95, each reporter's by the requests that it saw.
pub(crate) fn p95(reports: &[Reported]) -> Option<u64> {
    let known = reports.iter().filter_map(|r| r.p95_us.map(|p95| (p95, r.baseline.all.requests.max(1))));
    let (mut total, mut weight) = (0_u128, 0_u128);
    for (p95, requests) in known {
        total += u128::from(p95) * u128::from(requests);
        weight += u128::from(requests);
    }
    (weight > 0).then(|| u64::try_from(total / weight).unwrap_or(u64::MAX))
}

fn add(sum: &mut Arm, arm: &Arm) {
    let plus = |a: &mut Tally, b: &Tally| {
        a.requests = a.requests.saturating_add(b.requests);
        a.errors = a.errors.saturating_add(b.errors);
        a.slow = a.slow.saturating_add(b.slow);
    };
    plus(&mut sum.all, &arm.all);
    if sum.buckets.len() < arm.buckets.len() {
        sum.buckets.resize(arm.buckets.len(), Tally::default());
    }
    for (a, b) in sum.buckets.iter_mut().zip(&arm.buckets) {
        plus(a, b);
    }
}

fn is_less(input: &Report, before: &Reported) -> bool {
    let requests = |candidate: &Arm, baseline: &Arm| candidate.all.requests + baseline.all.requests;
    requests(&input.candidate, &input.baseline) < requests(&before.candidate, &before.baseline)
}

fn reported(input: &Report) -> Reported {
    Reported {
        reporter: input.reporter.clone(),
        epoch: input.step,
        baseline: input.baseline.clone(),
        candidate: input.candidate.clone(),
        p95_us: input.baseline_p95_us,
        slow_over_us: input.slow_over_us,
    }
}

fn check(input: &Report) -> Result<(), Error> {
    let mut v = Violations::new();
    let name = &input.reporter;
    if name.is_empty() || name.len() > 128 || !name.bytes().all(|b| b.is_ascii_graphic()) {
        v.add("reporter", "must be 1 to 128 visible ASCII characters");
    }
    for (field, arm) in [("baseline", &input.baseline), ("candidate", &input.candidate)] {
        check_arm(&mut v, field, arm);
    }
    v.into_result().map_err(Error::Invalid)
}

fn check_arm(v: &mut Violations, field: &str, arm: &Arm) {
    // Sums of many reporters must not overflow.
    const MOST: u64 = 1 << 53;
    let wrong = |t: &Tally| t.errors > t.requests || t.slow > t.requests || t.requests > MOST;
    if wrong(&arm.all) {
        v.add(field, "errors and slow must be at most total, and total at most 2^53");
    }
    if arm.buckets.len() > MAX_BUCKETS {
        v.add(format!("{field}.buckets"), "must have at most 64 entries");
    }
    for (i, bucket) in arm.buckets.iter().take(MAX_BUCKETS).enumerate() {
        if wrong(bucket) {
            v.add(format!("{field}.buckets[{i}]"), "errors and slow must be at most total");
        }
    }
}
