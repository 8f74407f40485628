//! What was seen: outcomes of acts, measurements, drift. It is judged at every step, in a pause and at a gate too.

use super::undo::LONGEST_WAIT;
use super::{Abort, Turn};
use crate::Event;
use crate::facts::{ActOutcome, ActResult};
use crate::judge::{Finding, Verdict};
use crate::state::{Outcome, Pending, Position, Reason, Running, State};
use crate::strategy::Act;

impl Turn<'_> {
    pub(super) fn observe(&mut self, state: State) -> State {
        match state {
            State::Running(running) => self.observe_running(running),
            State::Undoing(undoing) => self.undone(undoing),
            other => other,
        }
    }

    fn observe_running(&mut self, mut running: Running) -> State {
        self.freeze_slow(&mut running);
        if let Some(abort) = self.judge(&mut running) {
            return self.turn_round(running, abort);
        }
        match (&running.position, &self.facts.outcome) {
            (Position::Acting(pending), Some(outcome)) if outcome.ticket == pending.ticket => {
                let (pending, outcome) = (pending.clone(), outcome.clone());
                self.acted(running, pending, outcome)
            }
            _ => State::Running(running),
        }
    }

    /// What "slow" means is settled once, before the figures can be seen that it decides about.
    fn freeze_slow(&mut self, running: &mut Running) {
        let wanted = self.plan.judge().is_some_and(|judge| judge.draft().slow.is_some());
        if let (true, None, Some(p95)) = (wanted, running.slow_over_us, self.facts.baseline_p95_us)
            && p95 > 0
        {
            let over_us = p95.saturating_mul(2);
            running.slow_over_us = Some(over_us);
            self.tell(Event::SlowFrozen { over_us });
        }
    }

    fn judge(&mut self, running: &mut Running) -> Option<Abort> {
        let (judge, measurement) = (self.plan.judge()?, self.facts.measurement.as_ref()?);
        let evidence = running.evidence.as_mut()?;
        let before = evidence.verdict();
        let finding = evidence.take(judge, measurement)?;
        let abort = if running.forced { None } else { turns_round(&finding) };
        if finding.verdict != before && (abort.is_some() || !evidence.is_alone()) {
            self.tell(Event::Judged { words: finding.words.clone() });
        }
        self.out.finding = Some(finding);
        abort
    }

    fn acted(&mut self, mut running: Running, mut pending: Pending<Act>, outcome: ActOutcome) -> State {
        match outcome.result {
            ActResult::Done => self.act_done(running, pending.act),
            ActResult::Retry { after, detail } | ActResult::Lagging { after, detail } => {
                // An attempt that says what the one before said is nothing new.
                if pending.said != detail {
                    pending.said.clone_from(&detail);
                    self.tell(Event::Retried { what: pending.act.to_string(), detail });
                }
                pending.attempt = pending.attempt.saturating_add(1);
                pending.retry_at = after.min(LONGEST_WAIT).after(self.now);
                running.position = Position::Acting(pending);
                State::Running(running)
            }
            ActResult::Refused(detail) => {
                let reason = Reason::Refused { act: pending.act.to_string(), detail };
                self.turn_round(running, Abort::because(reason))
            }
        }
    }

    fn act_done(&mut self, mut running: Running, act: Act) -> State {
        let step = running.step;
        match act {
            Act::Commit => {
                self.tell(Event::StepDone { step });
                return self.end(Outcome::Promoted);
            }
            Act::Withdraw => {
                self.tell(Event::StepDone { step });
                return self.end(Outcome::Compared);
            }
            Act::Expose(exposure) => {
                running.hurry &= exposure != crate::Exposure::Full;
                let epoch = u32::try_from(step).unwrap_or(u32::MAX);
                running.evidence = self.plan.begin_evidence(epoch, self.now);
                running.exposure = exposure;
            }
            Act::Stage | Act::Check(_) => {}
        }
        self.done_with_step(&mut running);
        State::Running(running)
    }
}

fn turns_round(finding: &Finding) -> Option<Abort> {
    match finding.verdict {
        Verdict::Panic => Some(Abort { reason: Reason::Panic(finding.words.clone()), instant: true }),
        Verdict::Fail => Some(Abort::because(Reason::Failed(finding.words.clone()))),
        Verdict::Pass | Verdict::Inconclusive | Verdict::NoData | Verdict::Broken => None,
    }
}
