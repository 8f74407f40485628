//! Abort: what turns a rollout round, whatever else is going on.

use std::cmp::Ordering;

use super::Turn;
use crate::approval::{Approvals, Content};
use crate::facts::Subject;
use crate::plan::RollbackDraft;
use crate::state::{Frozen, Outcome, Reason, Running, State, UndoAct, UndoPosition, Undoing};
use crate::{Event, Exposure};

/// A reason to turn round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Abort {
    pub(crate) reason: Reason,
    /// At once, even where the plan says gradually.
    pub(crate) instant: bool,
}

impl Abort {
    pub(crate) fn because(reason: Reason) -> Self {
        Self { reason, instant: false }
    }
}

impl Turn<'_> {
    /// Turns round where a command asks for it, or where what is rolled out is not what it was.
    pub(super) fn abort(&mut self, state: State) -> State {
        match state {
            State::Running(running) => {
                let by_command = self.abort.take();
                let by_subject = if running.forced { None } else { self.subject_changed(&running.content) };
                match by_command.or_else(|| by_subject.map(Abort::because)) {
                    Some(abort) => self.turn_round(running, abort),
                    None => State::Running(running),
                }
            }
            State::Waiting(approvals) => self.look_at_content(approvals),
            other => other,
        }
    }

    /// An edit voids the approvals, and approval of the new content is asked for.
    fn look_at_content(&mut self, approvals: Approvals) -> State {
        match &self.facts.subject {
            Some(Subject::Gone) => self.end(Outcome::NotStarted(Reason::SubjectGone)),
            Some(Subject::Present(content)) if self.is_edited(approvals.content()) => {
                self.tell(Event::ApprovalsVoided);
                self.tell(Event::ApprovalAsked { level: 1 });
                State::Waiting(Approvals::ask(content.clone(), self.now))
            }
            _ => State::Waiting(approvals),
        }
    }

    pub(super) fn is_edited(&self, approved: &Content) -> bool {
        matches!(&self.facts.subject, Some(Subject::Present(content)) if content.hash != approved.hash)
    }

    fn subject_changed(&self, content: &Content) -> Option<Reason> {
        match &self.facts.subject {
            Some(Subject::Gone) => Some(Reason::SubjectGone),
            _ if self.is_edited(content) => Some(Reason::ContentChanged),
            _ => None,
        }
    }

    /// Begins the way back; past the point of no return, freezes. Before anything was asked of the target it is over.
    pub(super) fn turn_round(&mut self, running: Running, abort: Abort) -> State {
        let Abort { reason, instant } = abort;
        if running.is_past_return(self.plan) {
            self.tell(Event::Frozen { reason: reason.clone() });
            return State::Frozen(Frozen { reason, since: self.now, interrupted: running });
        }
        if self.tickets == 0 {
            return self.end(Outcome::NotStarted(reason));
        }
        let ceiling = running.reach().clone();
        self.tell(Event::RollbackBegan { reason: reason.clone(), from: ceiling.clone() });
        let left = if instant { vec![Exposure::None] } else { self.way_down(self.least(&running)) };
        let mut undoing = Undoing {
            reason,
            since: self.now,
            ceiling,
            left,
            position: UndoPosition::Resting { until: self.now },
            stuck: None,
        };
        self.next_undo(&mut undoing);
        State::Undoing(undoing)
    }

    /// The least that may be out: what was confirmed, or what was found just now. What is only intended may not be, and
    /// steps down from there would be steps up.
    fn least<'a>(&'a self, running: &'a Running) -> &'a Exposure {
        let found = self.facts.actual.as_ref().filter(|found| **found < running.exposure);
        found.unwrap_or(&running.exposure)
    }

    /// The exposures on the way down, the next one last.
    fn way_down(&self, from: &Exposure) -> Vec<Exposure> {
        let mut left = vec![Exposure::None];
        if let (RollbackDraft::Gradual { steps, .. }, Some(share)) = (self.plan.rollback(), from.share()) {
            let lower = (1..steps).map(|n| Exposure::of(share.part(n, steps)));
            left.extend(
                lower.filter(|e| e.reaches_somebody() && e.partial_cmp(from) == Some(Ordering::Less)),
            );
        }
        left
    }

    /// No more steps between: the next one is nobody.
    pub(super) fn hasten(&mut self, undoing: &mut Undoing) {
        let lowering = match &undoing.position {
            UndoPosition::Acting(pending) => match &pending.act {
                UndoAct::Lower(to) => *to != Exposure::None,
                UndoAct::Withdraw => false,
            },
            UndoPosition::Resting { .. } => true,
        };
        if lowering {
            undoing.left = vec![Exposure::None];
            self.next_undo(undoing);
        }
    }
}
