//! A pause and the global switch hold up acts that were intended before they came, and not done.

use super::Turn;
use crate::state::{Position, State};
use crate::strategy::Act;

impl Turn<'_> {
    /// Nothing that would let more out is asked for in a pause or under the switch, unless it is out already: then it is
    /// seen through, so that it is judged. When it goes on, it has its whole time again.
    pub(super) fn hold(&mut self, state: State) -> State {
        let State::Running(mut running) = state else { return state };
        let stands = running.paused.is_some() || self.facts.frozen;
        let grows =
            matches!(&running.position, Position::Acting(pending) if running.would_grow(&pending.act));
        if let Position::Acting(pending) = &mut running.position {
            if let (Act::Expose(wanted), Some(found)) = (&pending.act, &self.facts.actual) {
                pending.found |= wanted <= found;
            }
            let held = stands && grows && !pending.found;
            if pending.held && !held {
                (pending.since, pending.retry_at) = (self.now, self.now);
            }
            pending.held = held;
        }
        State::Running(running)
    }
}
