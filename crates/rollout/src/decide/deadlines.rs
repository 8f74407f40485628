//! Deadlines come before anything that could hold them up.

use super::{Abort, Turn};
use crate::Event;
use crate::approval::Approvals;
use crate::facts::{ActOutcome, ActResult};
use crate::state::{Outcome, Position, Reason, Running, State};

impl Turn<'_> {
    pub(super) fn deadlines(&mut self, state: State) -> State {
        match state {
            State::Waiting(approvals) => self.approval_deadlines(approvals),
            State::Running(running) if !running.forced => match self.overdue(&running) {
                Some(reason) => self.turn_round(running, Abort::because(reason)),
                None => State::Running(running),
            },
            other => other,
        }
    }

    fn approval_deadlines(&mut self, mut approvals: Approvals) -> State {
        if approvals.expires_at() <= self.now {
            return self.end(Outcome::NotStarted(Reason::NotApproved));
        }
        if !approvals.reminded && approvals.remind_at() <= self.now {
            approvals.reminded = true;
            self.tell(Event::ApprovalReminded);
        }
        State::Waiting(approvals)
    }

    fn overdue(&self, running: &Running) -> Option<Reason> {
        if self.plan.deadline().is_some_and(|span| span.after(running.started_at) <= self.now) {
            return Some(Reason::Deadline);
        }
        match &running.position {
            // What is done took not too long, and a refusal says more than a deadline.
            Position::Acting(pending) if !pending.held && !self.is_over(pending.ticket) => {
                let late = self.plan.act_deadline().after(pending.since) <= self.now;
                late.then(|| Reason::ActTooLong(pending.act.to_string()))
            }
            _ => None,
        }
    }

    fn is_over(&self, ticket: u64) -> bool {
        let over = |outcome: &ActOutcome| {
            outcome.ticket == ticket
                && !matches!(outcome.result, ActResult::Retry { .. } | ActResult::Lagging { .. })
        };
        self.facts.outcome.as_ref().is_some_and(over)
    }
}
