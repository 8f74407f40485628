//! Passive ejection: a backend that fails the requests of clients is taken out for a while, for longer each time.
//! As in Envoy's outlier detection, the time grows by the base with each ejection, and shrinks by one for each base
//! that the backend was in order.

use hotswap_matcher::OutlierEjection;

use super::breaker::Verdict;
use super::millis;

/// Whether one backend is out, and how often it was.
#[derive(Clone, Debug, Default)]
pub(super) struct Ejection {
    in_a_row: u32,
    /// What the next time is counted by.
    times: u32,
    until: Option<u64>,
    back_since: u64,
    total: u64,
}

impl Ejection {
    /// Until when it is out, in ms.
    pub(super) fn until(&self) -> Option<u64> {
        self.until
    }

    /// How often it was taken out.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Whether a success would change it.
    pub(super) fn minds_success(&self) -> bool {
        self.in_a_row > 0
    }

    /// Time goes by; true: it is back.
    pub(super) fn advance(&mut self, now: u64) -> bool {
        let back = self.until.is_some_and(|until| now >= until);
        if back {
            self.until = None;
            self.in_a_row = 0;
            self.back_since = now;
        }
        back
    }

    /// It is back at once, as where ejection is turned off; true: it was out.
    pub(super) fn end(&mut self) -> bool {
        self.in_a_row = 0;
        self.until.take().is_some()
    }

    /// A request has ended. `take_place` asks whether one more of the pool may be out, and notes it.
    pub(super) fn note(
        &mut self,
        verdict: Verdict,
        now: u64,
        settings: &OutlierEjection,
        take_place: impl FnOnce() -> bool,
    ) {
        match verdict {
            Verdict::Neutral => {}
            Verdict::Success => self.in_a_row = 0,
            Verdict::Failure => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                let out = self.until.is_some();
                if !out && self.in_a_row >= settings.consecutive_failures && take_place() {
                    self.eject(now, settings);
                }
            }
        }
    }

    fn eject(&mut self, now: u64, settings: &OutlierEjection) {
        let base = millis(settings.base).max(1);
        let in_order = u32::try_from(now.saturating_sub(self.back_since) / base).unwrap_or(u32::MAX);
        self.times = self.times.saturating_sub(in_order).saturating_add(1);
        self.total += 1;
        let time = base.saturating_mul(u64::from(self.times)).min(millis(settings.max));
        self.until = Some(now.saturating_add(time));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings() -> OutlierEjection {
        let (base, max) = (Duration::from_millis(100), Duration::from_millis(250));
        OutlierEjection { consecutive_failures: 2, base, max, max_ejected_percent: 10 }
    }

    fn fail(ejection: &mut Ejection, now: u64, place: bool) -> Option<u64> {
        for _ in 0..2 {
            ejection.note(Verdict::Failure, now, &settings(), || place);
        }
        ejection.until()
    }

    #[test]
    fn each_time_is_longer_up_to_the_limit_and_good_conduct_makes_it_shorter() {
        let mut ejection = Ejection::default();
        assert_eq!(fail(&mut ejection, 1, true), Some(101));
        assert!(!ejection.advance(100) && ejection.advance(101));
        assert_eq!(fail(&mut ejection, 110, true), Some(310));
        assert!(ejection.advance(310));
        assert_eq!(fail(&mut ejection, 320, true), Some(570), "300 would be more than the limit");
        assert!(ejection.advance(570));
        // Three times the base in order: back to the first.
        assert_eq!(fail(&mut ejection, 870, true), Some(970));
        assert_eq!(ejection.total(), 4);
    }

    #[test]
    fn where_enough_are_out_it_stays_and_is_asked_for_again_with_the_next_failure() {
        let mut ejection = Ejection::default();
        assert_eq!(fail(&mut ejection, 1, false), None);
        ejection.note(Verdict::Failure, 2, &settings(), || true);
        assert_eq!(ejection.until(), Some(102));
    }

    #[test]
    fn what_says_nothing_breaks_no_row_and_a_success_does() {
        let mut ejection = Ejection::default();
        for verdict in [Verdict::Failure, Verdict::Success, Verdict::Failure, Verdict::Neutral] {
            ejection.note(verdict, 1, &settings(), || true);
            assert_eq!(ejection.until(), None);
        }
        ejection.note(Verdict::Failure, 1, &settings(), || true);
        assert_eq!(ejection.until(), Some(101));
    }
}
