//! One turn of a rollout.

use std::time::{Duration, Instant};

use hotswap_core::Timestamp;
use hotswap_rollout::judge::{Measurement, Reading};
use hotswap_rollout::{
    ActOutcome, ActResult, Effects, Exposure, Facts, MetricSource, Millis, PortError, Record, Request,
    Rollout, State, Store as _, Target, TargetContext, Watch, decide,
};
use hotswap_runtime::CancellationToken;

use super::Inner;
use crate::schedule::{behind, compare_by, is_comparable, measure_at, measure_now, watch};
use crate::store::{Claim, Claimed};

/// Between two questions whether somebody wants something else.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// And at least so long, however many hints there are.
const ASK_LEAST: Duration = Duration::from_millis(20);
/// A target that took too long is asked again after this.
const AFTER_TIMEOUT: Millis = Millis(1_000);

/// What was seen before a decision.
#[derive(Debug, Default)]
struct Seen {
    reading: Option<(u32, Reading)>,
    baseline_p95_us: Option<u64>,
    actual: Option<Exposure>,
}

/// How an act ended for the one who asked.
enum Acted {
    Outcome(ActResult),
    /// Somebody wants something else, or the process ends.
    Interrupted,
}

impl<T: Target, M: MetricSource> Inner<T, M> {
    /// Decides, and has done what is to be done, until the rollout waits for something.
    pub(super) async fn drive(
        &self,
        claimed: Claimed,
        shutdown: &CancellationToken,
    ) -> Result<(), PortError> {
        let (claim, rollout, mut record) = claimed;
        self.metrics.late.observe(claim.late().as_secs_f64());
        let mut seen =
            if claim.is_commanded() { Seen::default() } else { self.look(&claim, &rollout, &record).await };
        let mut outcome = None;
        loop {
            let (facts, now) = self.store.facts(&claim).await?;
            let facts =
                fill(facts, std::mem::take(&mut seen), outcome.take(), behind(claim.measured_at(), now));
            let read = record.generation;
            let (next, effects) = decide(&rollout.plan, record, &facts, now);
            let leased = Instant::now();
            self.store.save(&claim, read, &next, &facts, &effects).await?;
            record = next;
            self.metrics.decisions.inc();
            self.metrics.happened(&effects.events);
            let Some(request) = &effects.request else { return Ok(()) };
            let timeout = self.timeout(&effects, now);
            let done = self.act(&claim, &rollout, request, timeout, shutdown).await;
            match (done, request.ticket) {
                (Acted::Outcome(result), Some(ticket)) if leased.elapsed() < span(self.options.lease) => {
                    outcome = Some(ActOutcome { ticket, result });
                }
                // Nobody waits for what was set again; and what was given up is asked for in the next turn.
                (Acted::Outcome(_) | Acted::Interrupted, _) => return self.store.release(claim).await,
            }
        }
    }

    /// How long the act may take: no longer than until something else is due.
    fn timeout(&self, effects: &Effects, now: Timestamp) -> Millis {
        let most = self.options.act_timeout;
        let Some(wake) = effects.wake_at else { return most };
        let micros = u64::try_from(wake.0.saturating_sub(now.0)).unwrap_or(0);
        most.min(Millis(micros.div_ceil(1_000).max(1)))
    }

    async fn act(
        &self,
        claim: &Claim,
        rollout: &Rollout,
        request: &Request,
        timeout: Millis,
        shutdown: &CancellationToken,
    ) -> Acted {
        let context = TargetContext {
            rollout: rollout.id,
            fence: claim.fence(),
            ticket: request.ticket,
            timeout,
            back: request.back,
        };
        self.store.reach("act: before").await;
        let began = Instant::now();
        let act = self.target.act(rollout, &context, &request.act);
        let act = tokio::time::timeout(span(timeout), act);
        let done = tokio::select! {
            done = act => Some(done.unwrap_or_else(|_| ActResult::Retry {
                after: AFTER_TIMEOUT,
                detail: format!("the target did not do it within {timeout}"),
            })),
            () = self.called(claim) => None,
            () = shutdown.cancelled() => None,
        };
        self.metrics.acted(&request.act, done.as_ref(), began.elapsed().as_secs_f64());
        self.store.reach("act: after").await;
        done.map_or(Acted::Interrupted, Acted::Outcome)
    }

    /// Ends when somebody asks for a turn, or has the lease.
    async fn called(&self, claim: &Claim) {
        let mut hints = self.store.hints();
        loop {
            tokio::time::sleep(ASK_LEAST).await;
            hints.mark_unchanged();
            if self.store.is_called(claim).await.unwrap_or(false) {
                return;
            }
            let _ = tokio::time::timeout(ASK_EVERY, hints.changed()).await;
        }
    }

    /// Looks at what is counted and what is out, as far as it is due.
    async fn look(&self, claim: &Claim, rollout: &Rollout, record: &Record) -> Seen {
        let now = claim.claimed_at();
        let due = watch(&record.state).filter(|w| measure_now(w, claim.measured_at(), now));
        // What would be due before the next measurement is looked at with this one, and is no turn of its own.
        let until = due.map_or(now, |watch| measure_at(&watch, Some(now)));
        let looks = async {
            let (reading, baseline_p95_us, actual) = tokio::join!(
                self.measure(rollout, due),
                self.baseline(rollout, record),
                self.actual(claim, rollout, &record.state, until)
            );
            Seen { reading, baseline_p95_us, actual }
        };
        let too_late = || {
            let why = format!("no answer within {}", self.options.look_timeout);
            let reading = due.map(|watch| (watch.epoch, Reading::Broken(why)));
            Seen { reading, ..Seen::default() }
        };
        tokio::select! {
            seen = tokio::time::timeout(span(self.options.look_timeout), looks) => {
                seen.unwrap_or_else(|_| too_late())
            }
            () = self.called(claim) => Seen::default(),
        }
    }

    async fn measure(&self, rollout: &Rollout, due: Option<Watch>) -> Option<(u32, Reading)> {
        let watch = due?;
        let reading = self.source.measure(rollout, &watch).await;
        match &reading {
            Reading::Counts(_) => {}
            Reading::NoData => self.metrics.unmeasured("no_data"),
            Reading::Broken(why) => {
                self.metrics.unmeasured("broken");
                tracing::debug!(rollout = %rollout.id, why, "no counts");
            }
        }
        Some((watch.epoch, reading))
    }

    /// The baseline's p95, as long as what is slow is not settled.
    async fn baseline(&self, rollout: &Rollout, record: &Record) -> Option<u64> {
        let State::Running(running) = &record.state else { return None };
        let judged = rollout.plan.judge().is_some_and(|judge| judge.draft().slow.is_some());
        if !judged || running.slow_over_us.is_some() {
            return None;
        }
        self.source.baseline_p95_us(rollout).await
    }

    /// What is out, where a look at that is due until then.
    async fn actual(
        &self,
        claim: &Claim,
        rollout: &Rollout,
        state: &State,
        until: Timestamp,
    ) -> Option<Exposure> {
        if !is_comparable(state) || !compare_by(claim.compared_at(), claim.claimed_at(), until) {
            return None;
        }
        claim.compared();
        let actual = self.target.actual(rollout).await;
        actual
            .inspect_err(|error| tracing::debug!(rollout = %rollout.id, %error, "what is out is not known"))
            .ok()
    }
}

fn fill(facts: Facts, seen: Seen, outcome: Option<ActOutcome>, at: Timestamp) -> Facts {
    let measurement = seen.reading.map(|(epoch, reading)| Measurement { at, epoch, reading });
    Facts { outcome, measurement, baseline_p95_us: seen.baseline_p95_us, actual: seen.actual, ..facts }
}

fn span(millis: Millis) -> Duration {
    Duration::from_millis(millis.0)
}
