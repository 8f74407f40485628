//! The way back: less and less, then the candidate is taken away. It is tried until it is done.

use super::Turn;
use crate::facts::{ActOutcome, ActResult};
use crate::plan::RollbackDraft;
use crate::state::{Outcome, Pending, State, UndoAct, UndoPosition, Undoing};
use crate::{Event, Exposure, Millis};

/// After so many failed attempts somebody is called.
const STUCK_AFTER: u32 = 5;
/// Who lags on the way back is waited for at most so long, an act.
const FOR_LAGGARDS: Millis = Millis::minutes(10);
/// A refused act is tried again after this.
const AFTER_REFUSAL: Millis = Millis(10_000);
/// The longest wait between two attempts, forward or back.
pub(super) const LONGEST_WAIT: Millis = Millis::minutes(1);

impl Turn<'_> {
    /// Intends the next act on the way back.
    pub(super) fn next_undo(&mut self, undoing: &mut Undoing) {
        let act = undoing.left.pop().map_or(UndoAct::Withdraw, UndoAct::Lower);
        undoing.position = UndoPosition::Acting(self.pending(act));
    }

    /// What came of an act on the way back.
    pub(super) fn undone(&mut self, mut undoing: Undoing) -> State {
        let position = match undoing.position.clone() {
            UndoPosition::Acting(pending) => pending,
            UndoPosition::Resting { .. } => {
                if let Some(found) = &self.facts.actual {
                    undoing.left.retain(|to| to <= found);
                }
                return State::Undoing(undoing);
            }
        };
        match &self.facts.outcome {
            Some(ActOutcome { ticket, result }) if *ticket == position.ticket => match result {
                ActResult::Done => self.undo_done(undoing, position.act),
                ActResult::Retry { after, detail } => {
                    self.try_undo_again(&mut undoing, position, *after, detail, false);
                    State::Undoing(undoing)
                }
                ActResult::Lagging { detail, .. } if self.has_waited(&position) => {
                    self.tell(Event::LeftBehind { detail: detail.clone() });
                    self.undo_done(undoing, position.act)
                }
                ActResult::Lagging { after, detail } => {
                    self.try_undo_again(&mut undoing, position, *after, detail, false);
                    State::Undoing(undoing)
                }
                ActResult::Refused(detail) => {
                    self.try_undo_again(&mut undoing, position, AFTER_REFUSAL, detail, true);
                    State::Undoing(undoing)
                }
            },
            _ => State::Undoing(undoing),
        }
    }

    /// Whether those who lag had their time. What they get when they come is the way back; waiting on would leave the
    /// subject to a rollout that never ends.
    fn has_waited(&self, pending: &Pending<UndoAct>) -> bool {
        let time = self.plan.act_deadline().min(FOR_LAGGARDS);
        time.after(pending.since) <= self.now
    }

    fn undo_done(&mut self, mut undoing: Undoing, act: UndoAct) -> State {
        undoing.stuck = None;
        match act {
            UndoAct::Withdraw => self.end(Outcome::RolledBack(undoing.reason)),
            UndoAct::Lower(to) => {
                self.tell(Event::Lowered { to: to.clone() });
                let rest = match self.plan.rollback() {
                    RollbackDraft::Gradual { every_ms, .. } if to != Exposure::None => every_ms,
                    _ => Millis(0),
                };
                undoing.ceiling = to;
                undoing.position = UndoPosition::Resting { until: rest.after(self.now) };
                State::Undoing(undoing)
            }
        }
    }

    fn try_undo_again(
        &mut self,
        undoing: &mut Undoing,
        mut pending: Pending<UndoAct>,
        after: Millis,
        detail: &str,
        at_once: bool,
    ) {
        let fails = at_once || pending.attempt >= STUCK_AFTER;
        // A step between that can't be had is no reason to stay above it.
        if fails && matches!(&pending.act, UndoAct::Lower(to) if *to != Exposure::None) {
            self.tell(Event::Hastened { detail: detail.to_owned() });
            undoing.left = vec![Exposure::None];
            self.next_undo(undoing);
            return;
        }
        if undoing.stuck.is_none() && fails {
            undoing.stuck = Some(self.now);
            self.tell(Event::RollbackStuck { detail: detail.to_owned() });
        }
        pending.attempt = pending.attempt.saturating_add(1);
        pending.retry_at = after.min(LONGEST_WAIT).after(self.now);
        undoing.position = UndoPosition::Acting(pending);
    }

    /// Goes on with the way back when its rest is over.
    pub(super) fn go_on_undoing(&mut self, mut undoing: Undoing) -> State {
        if let UndoPosition::Resting { until } = undoing.position
            && until <= self.now
        {
            self.next_undo(&mut undoing);
        }
        State::Undoing(undoing)
    }
}
