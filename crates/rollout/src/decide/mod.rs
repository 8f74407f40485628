//! The decision: from what is stored and what is known to what is stored next and what is to be done. Pure: the same
//! three give the same result, on any replica, today or in a replay.
//!
//! The order is part of the promise: commands, abort, deadlines, observation, advance. So nothing that is slow, broken
//! or unhealthy stands between a rollback and its beginning.

mod abort;
mod advance;
mod commands;
mod deadlines;
mod hold;
mod observe;
mod undo;
mod wake;

use hotswap_core::Timestamp;

use crate::facts::{Effects, Facts};
use crate::state::{Ended, Outcome, Pending, Record, State};
use crate::{Event, Plan};

pub(crate) use abort::Abort;

/// Decides. The caller stores the record and the effects' events in one transaction, under its lease's fence and only
/// where the stored generation is still the one that was read; then it does what is requested, and decides again with
/// the outcome. Where it dies between, the next one gets the same request again.
pub fn decide(plan: &Plan, record: Record, facts: &Facts, now: Timestamp) -> (Record, Effects) {
    let before = record.clone();
    let Record { generation, answered, tickets, state } = record;
    let mut turn = Turn { plan, facts, now, answered, tickets, abort: None, out: Effects::default() };
    let state = turn.commands(state);
    let state = turn.abort(state);
    let state = turn.hold(state);
    let state = turn.deadlines(state);
    let state = turn.observe(state);
    let state = turn.advance(state);
    turn.ask(&state);
    let mut record = Record { generation, answered: turn.answered, tickets: turn.tickets, state };
    if record != before {
        record.generation += 1;
    }
    (record, turn.out)
}

/// One decision in the making.
struct Turn<'a> {
    plan: &'a Plan,
    facts: &'a Facts,
    now: Timestamp,
    answered: i64,
    tickets: u64,
    /// What a command asked for.
    abort: Option<Abort>,
    out: Effects,
}

impl Turn<'_> {
    fn tell(&mut self, event: Event) {
        self.out.events.push(event);
    }

    /// A new act, intended now.
    fn pending<A>(&mut self, act: A) -> Pending<A> {
        self.tickets += 1;
        Pending::new(act, self.tickets, self.now)
    }

    fn end(&mut self, outcome: Outcome) -> State {
        self.tell(Event::Ended { outcome: outcome.clone() });
        State::Ended(Ended { at: self.now, outcome })
    }
}
