//! Commands come first, each answered once.

use super::{Abort, Turn};
use crate::Event;
use crate::approval::{Approvals, Counted};
use crate::command::{Answer, Answered, Command, Order};
use crate::state::{Frozen, Outcome, Paused, Position, Reason, Running, State};
use crate::strategy::Step;

type Done = Result<(), String>;

impl Turn<'_> {
    pub(super) fn commands(&mut self, mut state: State) -> State {
        let facts = self.facts;
        for command in &facts.commands {
            if command.seq <= self.answered {
                continue;
            }
            self.answered = command.seq;
            let (next, done) = self.command(state, command);
            state = next;
            let result = done.map_or_else(Answered::Refused, |()| Answered::Done);
            self.out.answers.push(Answer { seq: command.seq, result });
        }
        state
    }

    fn command(&mut self, state: State, command: &Command) -> (State, Done) {
        match state {
            State::Waiting(approvals) => self.on_waiting(approvals, command),
            State::Running(running) => self.on_running(running, command),
            State::Undoing(mut undoing) => {
                let done = match &command.order {
                    Order::Rollback { instant, .. } => {
                        if *instant {
                            self.hasten(&mut undoing);
                        }
                        Ok(())
                    }
                    _ => Err("it is being rolled back; that can't be stopped".to_owned()),
                };
                (State::Undoing(undoing), done)
            }
            State::Frozen(frozen) => self.on_frozen(frozen, command),
            State::Ended(ended) => {
                let done = match (&command.order, &ended.outcome) {
                    (Order::Rollback { .. }, Outcome::RolledBack(_) | Outcome::NotStarted(_)) => Ok(()),
                    (Order::Promote { .. }, Outcome::Promoted) => Ok(()),
                    (Order::Rollback { .. }, Outcome::Promoted) => {
                        Err("it has ended: the way back is a new rollout of the earlier revision".to_owned())
                    }
                    _ => Err("it has ended".to_owned()),
                };
                (State::Ended(ended), done)
            }
        }
    }

    fn on_waiting(&mut self, mut approvals: Approvals, command: &Command) -> (State, Done) {
        let by = command.actor.principal.clone();
        match &command.order {
            Order::Approve { content } => {
                let level = approvals.level() + 1;
                match approvals.approve(self.plan.levels(), &command.actor, content) {
                    Err(why) => (State::Waiting(approvals), Err(why.to_string())),
                    Ok(counted) => {
                        self.tell(Event::Approved { by, level });
                        (self.counted(approvals, counted), Ok(()))
                    }
                }
            }
            Order::Reject { why } => match approvals.may_decide(self.plan.levels(), &command.actor) {
                Err(refused) => (State::Waiting(approvals), Err(refused.to_string())),
                Ok(()) => {
                    let reason = Reason::Rejected { by, why: why.clone() };
                    (self.end(Outcome::NotStarted(reason)), Ok(()))
                }
            },
            Order::Rollback { why, .. } => {
                let reason = Reason::Asked { by, why: why.clone() };
                (self.end(Outcome::NotStarted(reason)), Ok(()))
            }
            Order::Promote { .. } | Order::Pause { .. } | Order::Resume => {
                (State::Waiting(approvals), Err("it waits for approvals and has not begun".to_owned()))
            }
        }
    }

    fn counted(&mut self, approvals: Approvals, counted: Counted) -> State {
        match counted {
            Counted::More => State::Waiting(approvals),
            Counted::NextLevel => {
                self.tell(Event::ApprovalAsked { level: approvals.level() + 1 });
                State::Waiting(approvals)
            }
            // An edit that is known by now voids what was just completed.
            Counted::Complete if self.is_edited(approvals.content()) => State::Waiting(approvals),
            Counted::Complete => {
                self.tell(Event::Started);
                State::Running(Running::start(approvals.content, self.now))
            }
        }
    }

    fn on_running(&mut self, mut running: Running, command: &Command) -> (State, Done) {
        let by = command.actor.principal.clone();
        let done = match &command.order {
            Order::Promote { step, full } => self.promote(&mut running, command, *step, *full),
            Order::Pause { why } => {
                if running.paused.is_none() {
                    self.tell(Event::Paused { by: Some(by.clone()), why: why.clone() });
                    running.paused = Some(Paused { by: Some(by), why: why.clone(), since: self.now });
                }
                Ok(())
            }
            Order::Resume => {
                self.resume(&mut running, command);
                Ok(())
            }
            Order::Rollback { why, instant } => {
                let reason = Reason::Asked { by, why: why.clone() };
                self.abort.get_or_insert(Abort { reason, instant: *instant });
                if let (Some(abort), true) = (&mut self.abort, *instant) {
                    abort.instant = true;
                }
                if running.is_past_return(self.plan) {
                    Err("it is past its point of no return and can't be rolled back; it is frozen".to_owned())
                } else {
                    Ok(())
                }
            }
            Order::Approve { .. } => Err("it is approved already, and running".to_owned()),
            Order::Reject { .. } => Err("it is running: roll it back instead".to_owned()),
        };
        (State::Running(running), done)
    }

    fn promote(&mut self, running: &mut Running, command: &Command, seen: Option<usize>, full: bool) -> Done {
        if self.abort.is_some() {
            return Err("it is to be rolled back".to_owned());
        }
        if seen.is_some_and(|seen| seen != running.step) {
            return Err(format!("it has moved on to step {}; look again", running.step + 1));
        }
        let waits = !matches!(running.position, Position::Acting(_) | Position::Ready);
        let paused = running.paused.is_some();
        if !waits && !paused && !full {
            return Err("nothing waits to be promoted: the step is being done".to_owned());
        }
        if let Some(guard) = self.plan.guard()
            && running.content.authors.contains(&command.actor.principal)
        {
            let passes =
                matches!(running.position, Position::Baking { .. } | Position::Judging { .. }) && guard.waits;
            if full || passes {
                let by = &guard.by;
                return Err(format!("{by} holds those who wrote the change to its steps; somebody else may"));
            }
        }
        self.tell(Event::Promoted { by: command.actor.principal.clone(), full });
        running.paused = None;
        running.hurry |= full;
        if waits {
            self.done_with_step(running);
        }
        Ok(())
    }

    /// Out of a pause. A judge that ran out of patience gets it anew.
    fn resume(&mut self, running: &mut Running, command: &Command) {
        if running.paused.take().is_none() {
            return;
        }
        self.tell(Event::Resumed { by: command.actor.principal.clone() });
        if let (Position::Judging { until }, Some(judge)) = (&mut running.position, self.plan.judge()) {
            *until = (*until).max(judge.patience().after(self.now));
        }
    }

    fn on_frozen(&mut self, frozen: Frozen, command: &Command) -> (State, Done) {
        match &command.order {
            Order::Promote { full, .. } => {
                self.tell(Event::Promoted { by: command.actor.principal.clone(), full: *full });
                let mut running = frozen.interrupted;
                running.paused = None;
                running.forced = true;
                running.hurry |= full;
                running.evidence = None;
                if matches!(self.plan.steps().get(running.step), Some(Step::Judge | Step::Gate(_))) {
                    self.done_with_step(&mut running);
                }
                (State::Running(running), Ok(()))
            }
            _ => {
                let why = "it is past its point of no return: promote has it go on, nothing takes it back";
                (State::Frozen(frozen), Err(why.to_owned()))
            }
        }
    }
}
