//! What is to be done now, what is to be measured, and when to look again.

use hotswap_core::Timestamp;

use super::Turn;
use super::undo::LONGEST_WAIT;
use crate::Exposure;
use crate::facts::{Request, Watch};
use crate::state::{Pending, Position, Running, State, UndoAct, UndoPosition};
use crate::strategy::Act;

impl Turn<'_> {
    /// Fills in what the new state asks for. It follows from the state alone, so one that was stored and then
    /// forgotten by a crash asks for the same again.
    pub(super) fn ask(&mut self, state: &State) {
        match state {
            State::Waiting(approvals) => {
                let next = if approvals.reminded { approvals.expires_at() } else { approvals.remind_at() };
                self.out.wake_at = Some(next);
            }
            State::Running(running) => self.ask_running(running),
            State::Undoing(undoing) => match &undoing.position {
                UndoPosition::Acting(pending) => {
                    let act = match &pending.act {
                        UndoAct::Lower(to) => Act::Expose(to.clone()),
                        UndoAct::Withdraw => Act::Withdraw,
                    };
                    self.ask_for(pending, act, None);
                }
                UndoPosition::Resting { until } => {
                    self.out.wake_at = Some(*until);
                    // On the way back less than asked for is never more again.
                    let less = |found: &Exposure| *found <= undoing.ceiling;
                    if !self.facts.actual.as_ref().is_some_and(less) {
                        self.set_again(&undoing.ceiling);
                    }
                }
            },
            // What it was about to let out when it froze may be out, and there is no way back.
            State::Frozen(frozen) if matches!(frozen.interrupted.position, Position::Acting(_)) => {}
            State::Frozen(frozen) => self.set_again(&frozen.interrupted.exposure),
            State::Ended(_) => {}
        }
        if let Some(request) = &mut self.out.request {
            request.back = matches!(state, State::Undoing(_));
        }
    }

    fn ask_running(&mut self, running: &Running) {
        self.out.watch = running.evidence.as_ref().map(|evidence| Watch {
            epoch: evidence.epoch(),
            since: evidence.since(),
            slow_over_us: running.slow_over_us,
        });
        let deadline = self.plan.deadline().map(|span| span.after(running.started_at));
        let mut wake = deadline.filter(|_| !running.forced);
        match &running.position {
            Position::Acting(pending) if pending.held => {
                self.out.wake_at = wake;
                return;
            }
            Position::Acting(pending) => {
                let late = self.plan.act_deadline().after(pending.since);
                wake = earlier(wake, (!running.forced).then_some(late));
                self.ask_for(pending, pending.act.clone(), wake);
                return;
            }
            Position::Baking { until } | Position::Judging { until } if running.paused.is_none() => {
                wake = earlier(wake, Some(*until));
            }
            _ => {}
        }
        self.out.wake_at = wake;
        self.set_again(&running.exposure);
    }

    fn ask_for<A>(&mut self, pending: &Pending<A>, act: Act, wake: Option<Timestamp>) {
        // Nobody waits so long: the clock was set back.
        let set_back = pending.retry_at > LONGEST_WAIT.after(self.now);
        if pending.retry_at <= self.now || set_back {
            let (ticket, attempt) = (Some(pending.ticket), pending.attempt);
            self.out.request = Some(Request { ticket, act, attempt, back: false });
            self.out.wake_at = wake;
        } else {
            self.out.wake_at = earlier(wake, Some(pending.retry_at));
        }
    }

    /// Where the target is found otherwise than it was set, it is set again.
    fn set_again(&mut self, wanted: &Exposure) {
        if let Some(found) = &self.facts.actual
            && found != wanted
        {
            self.tell(crate::Event::Drifted { found: found.clone(), wanted: wanted.clone() });
            let act = Act::Expose(wanted.clone());
            self.out.request = Some(Request { ticket: None, act, attempt: 1, back: false });
        }
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
