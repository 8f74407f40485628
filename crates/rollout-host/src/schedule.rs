//! When a rollout is looked at again.

use hotswap_core::Timestamp;
use hotswap_rollout::{Effects, Millis, Position, Record, State, UndoPosition, Watch};

/// Between two measurements: at least, at most.
const MEASURE_LEAST: i64 = 1_000_000;
const MEASURE_MOST: i64 = 30_000_000;
/// Between two looks at what the target has out.
const COMPARE_EVERY: Millis = Millis(30_000);
/// While the global switch is on, steps that wait for it are looked at so often.
const FROZEN_EVERY: Millis = Millis(2_000);
/// Nothing sleeps longer: what was touched meanwhile is found then, where nobody called.
pub(crate) const LONGEST: Millis = Millis(60_000);

/// When is measured next: each second at first, then more rarely. It follows from what was measured last alone, so
/// that whoever wakes at that time finds it due.
pub(crate) fn measure_at(watch: &Watch, measured_at: Option<Timestamp>) -> Timestamp {
    let last = measured_at.unwrap_or(watch.since).max(watch.since);
    let elapsed = last.0.saturating_sub(watch.since.0);
    last.plus_micros((elapsed / 60).clamp(MEASURE_LEAST, MEASURE_MOST))
}

/// Whether it is to be measured now. What was measured later than now was so before the database's clock was set back.
pub(crate) fn measure_now(watch: &Watch, measured_at: Option<Timestamp>, now: Timestamp) -> bool {
    measured_at.unwrap_or(watch.since).max(watch.since) > now || measure_at(watch, measured_at) <= now
}

/// The time of a new measurement: behind the one before, also where the clock was set back.
pub(crate) fn behind(measured_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    measured_at.map_or(now, |before| now.max(before.plus_micros(1)))
}

/// Whether the target has something out that it can be compared with.
pub(crate) fn is_comparable(state: &State) -> bool {
    match state {
        // What is held up may be out all the same.
        State::Running(running) => match &running.position {
            Position::Acting(pending) => pending.held,
            Position::Ready | Position::Baking { .. } | Position::Judging { .. } | Position::Gated { .. } => {
                true
            }
        },
        State::Undoing(undoing) => matches!(undoing.position, UndoPosition::Resting { .. }),
        State::Frozen(frozen) => !matches!(frozen.interrupted.position, Position::Acting(_)),
        State::Waiting(_) | State::Ended(_) => false,
    }
}

/// When the target is asked next what it has out.
fn compare_at(compared_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    COMPARE_EVERY.after(compared_at.unwrap_or(now).min(now))
}

/// Whether the target is to be asked by then. What it was compared with later than now was so before the clock was set
/// back.
pub(crate) fn compare_by(compared_at: Option<Timestamp>, now: Timestamp, until: Timestamp) -> bool {
    compared_at.is_some_and(|at| at > now) || compare_at(compared_at, now) <= until
}

/// What a watch is asked of: the newest exposure that is judged.
pub(crate) fn watch(state: &State) -> Option<Watch> {
    let State::Running(running) = state else { return None };
    let evidence = running.evidence.as_ref()?;
    Some(Watch { epoch: evidence.epoch(), since: evidence.since(), slow_over_us: running.slow_over_us })
}

/// What was looked at last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    pub(crate) measured_at: Option<Timestamp>,
    pub(crate) compared_at: Option<Timestamp>,
    pub(crate) frozen: bool,
}

/// When the next turn is due; `None`: it is over.
pub(crate) fn wake_at(
    record: &Record,
    effects: &Effects,
    looked: Looked,
    now: Timestamp,
) -> Option<Timestamp> {
    if record.state.is_ended() {
        return None;
    }
    // Should the one who does it die, another one asks for it again as soon as the lease ends.
    if effects.request.as_ref().is_some_and(|request| request.ticket.is_some()) {
        return Some(now);
    }
    let mut at = LONGEST.after(now).min(effects.wake_at.unwrap_or(Timestamp(i64::MAX)));
    if let Some(watch) = &effects.watch {
        at = at.min(measure_at(watch, looked.measured_at));
    }
    if is_comparable(&record.state) {
        at = at.min(compare_at(looked.compared_at, now));
    }
    if looked.frozen {
        at = at.min(FROZEN_EVERY.after(now));
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(elapsed_s: i64) -> i64 {
        let watch = Watch { epoch: 1, since: Timestamp(0), slow_over_us: None };
        let now = Timestamp(elapsed_s * 1_000_000);
        (measure_at(&watch, Some(now)).0 - now.0) / 1_000
    }

    #[test]
    fn it_is_measured_each_second_at_first_then_more_rarely() {
        assert_eq!(
            [next(0), next(59), next(120), next(1_800), next(86_400)],
            [1_000, 1_000, 2_000, 30_000, 30_000]
        );
    }

    #[test]
    fn a_clock_that_was_set_back_stops_neither_measurements_nor_looks() {
        let hour = 3_600_000_000;
        let watch = Watch { epoch: 1, since: Timestamp(hour), slow_over_us: None };
        let (before, now) = (Some(Timestamp(hour + 9)), Timestamp(7));
        assert!(measure_now(&watch, before, now) && compare_by(before, now, now));
        assert_eq!(compare_at(before, now), COMPARE_EVERY.after(now));
        assert_eq!((behind(before, now), behind(None, now)), (Timestamp(hour + 10), now));
        assert_eq!(behind(Some(Timestamp(3)), now), now);
    }

    #[test]
    fn a_new_exposure_is_measured_a_second_after_it_took_hold() {
        let watch = Watch { epoch: 3, since: Timestamp(9_000_000), slow_over_us: None };
        let at = measure_at(&watch, Some(Timestamp(8_999_000)));
        assert_eq!(at, Timestamp(10_000_000));
    }
}
