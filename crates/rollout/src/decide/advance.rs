//! Forward, where nothing speaks against it.

use super::{Abort, Turn};
use crate::judge::{Undecided, Verdict};
use crate::state::{Paused, Position, Reason, Running, State};
use crate::strategy::{Act, Step};
use crate::{Event, Exposure};

impl Turn<'_> {
    pub(super) fn advance(&mut self, state: State) -> State {
        match state {
            State::Running(running) => self.advance_running(running),
            State::Undoing(undoing) => self.go_on_undoing(undoing),
            other => other,
        }
    }

    fn advance_running(&mut self, mut running: Running) -> State {
        // Each round leaves a step behind, so it ends.
        while running.paused.is_none() {
            match &running.position {
                Position::Ready if self.facts.frozen => break,
                Position::Ready => match self.plan.steps().get(running.step) {
                    Some(step) => self.enter(&mut running, step),
                    None => break,
                },
                Position::Baking { until } if *until <= self.now => self.done_with_step(&mut running),
                Position::Judging { until } => {
                    let verdict = running.evidence.as_ref().map_or(Verdict::NoData, |e| e.verdict());
                    if verdict == Verdict::Pass {
                        self.done_with_step(&mut running);
                    } else if *until <= self.now {
                        if let Some(abort) = self.undecided(&mut running, verdict) {
                            return self.turn_round(running, abort);
                        }
                    } else {
                        break;
                    }
                }
                Position::Baking { .. } | Position::Gated { .. } | Position::Acting(_) => break,
            }
        }
        State::Running(running)
    }

    /// Leaves a step for the one behind it.
    pub(super) fn done_with_step(&mut self, running: &mut Running) {
        self.tell(Event::StepDone { step: running.step });
        running.step += 1;
        running.position = Position::Ready;
    }

    fn enter(&mut self, running: &mut Running, step: &Step) {
        if running.hurry && is_passed_over_in_a_hurry(step) {
            return self.done_with_step(running);
        }
        self.tell(Event::StepBegan { step: running.step, what: step.to_string() });
        running.position = match step {
            Step::Act(act) => Position::Acting(self.pending(act.clone())),
            Step::Bake(span) => Position::Baking { until: span.after(self.now) },
            Step::Judge => {
                let patience = self.plan.judge().map(|judge| judge.patience()).unwrap_or_default();
                Position::Judging { until: patience.after(self.now) }
            }
            Step::Gate(why) => {
                self.tell(Event::GateOpened { why: why.clone() });
                Position::Gated { since: self.now }
            }
        };
    }

    /// The judge's time is up. Where there was no data it is never taken for healthy.
    fn undecided(&mut self, running: &mut Running, verdict: Verdict) -> Option<Abort> {
        let undecided = self.plan.judge().map(|judge| judge.draft().undecided).unwrap_or_default();
        let words = running.evidence.as_ref().map(|e| e.words().to_owned()).unwrap_or_default();
        match undecided {
            Undecided::Rollback => return Some(Abort::because(Reason::Undecided(words))),
            Undecided::Promote if verdict == Verdict::Inconclusive => self.done_with_step(running),
            Undecided::Promote | Undecided::Pause => {
                let why = format!("the judge could not decide in time: {words}");
                self.tell(Event::Paused { by: None, why: why.clone() });
                running.paused = Some(Paused { by: None, why, since: self.now });
            }
        }
        None
    }
}

fn is_passed_over_in_a_hurry(step: &Step) -> bool {
    match step {
        Step::Bake(_) | Step::Judge | Step::Gate(_) => true,
        Step::Act(Act::Expose(exposure)) => *exposure != Exposure::Full,
        Step::Act(_) => false,
    }
}
