use std::time::Duration;

use hotswap_matcher::FailureRate;
use proptest::prelude::*;

use super::*;

/// Without a rate.
fn settings(failure_threshold: u32, half_open_requests: u32) -> CircuitBreaker {
    let open = Duration::from_millis(100);
    CircuitBreaker { failure_threshold, open, half_open_requests, rate: None }
}

fn rate(percent: u32, min_requests: u32) -> CircuitBreaker {
    let window = Duration::from_secs(10);
    let rate = Some(FailureRate { percent, window, min_requests });
    CircuitBreaker { rate, ..settings(1_000, 1) }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    /// One of those under way, by its place.
    End(usize, Verdict),
    Wait(u64),
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(Verdict::Success), Just(Verdict::Failure), Just(Verdict::Neutral)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Begin),
        4 => (any::<prop::sample::Index>(), verdict()).prop_map(|(i, v)| Step::End(i.index(64), v)),
        1 => (0_u64..150).prop_map(Step::Wait),
    ]
}

/// Requests under way, and what a breaker must come to by its description alone.
struct Run {
    breaker: Breaker,
    settings: CircuitBreaker,
    now: u64,
    under_way: Vec<Option<Trial>>,
    in_a_row: u32,
    opened_at: u64,
}

impl Run {
    fn take(&mut self, step: Step) {
        match step {
            Step::Wait(ms) => {
                self.now += ms;
                let due = self.breaker.state() == BreakerState::Open && self.now >= self.opened_at + 100;
                self.breaker.advance(self.now);
                assert_eq!(due, due && self.breaker.state() == BreakerState::HalfOpen);
            }
            Step::Begin => {
                let admits = self.breaker.admits(&self.settings);
                match self.breaker.state() {
                    BreakerState::Closed => assert!(admits),
                    BreakerState::Open => assert!(!admits),
                    BreakerState::HalfOpen => {}
                }
                if admits {
                    let trial = self.breaker.begin();
                    assert_eq!(trial.is_some(), self.breaker.state() == BreakerState::HalfOpen);
                    self.under_way.push(trial);
                }
                let round = Some(Trial(self.breaker.opened));
                let trials = self.under_way.iter().filter(|t| **t == round).count();
                if self.breaker.state() == BreakerState::HalfOpen {
                    assert!(trials <= self.settings.half_open_requests as usize, "{trials} trials at once");
                }
            }
            Step::End(place, verdict) if !self.under_way.is_empty() => {
                let place = place % self.under_way.len();
                let trial = self.under_way.swap_remove(place);
                self.end(trial, verdict);
            }
            Step::End(..) => {}
        }
    }

    fn end(&mut self, trial: Option<Trial>, verdict: Verdict) {
        let (before, round) = (self.breaker.state(), self.breaker.opened);
        self.breaker.end(trial, verdict, (self.now, 0), &self.settings);
        let after = self.breaker.state();
        let mine = trial == Some(Trial(round));
        match (before, verdict) {
            (BreakerState::Closed, Verdict::Failure) => {
                self.in_a_row += 1;
                let trips = self.in_a_row >= self.settings.failure_threshold;
                assert_eq!(after == BreakerState::Open, trips);
            }
            (BreakerState::Closed, Verdict::Success) => {
                self.in_a_row = 0;
                assert_eq!(after, before);
            }
            (BreakerState::HalfOpen, Verdict::Failure) if mine => assert_eq!(after, BreakerState::Open),
            (BreakerState::HalfOpen, Verdict::Success) if mine => assert_ne!(after, BreakerState::Open),
            (_, Verdict::Neutral) | (BreakerState::Open | BreakerState::HalfOpen, _) => {
                assert_eq!(after, before, "neither 429 nor an older request moves it");
            }
        }
        if before != after {
            self.in_a_row = 0;
            self.opened_at = self.now;
        }
    }
}

proptest! {
    #[test]
    fn it_does_what_its_picture_says(
        threshold in 1_u32..6, trials in 1_u32..4, steps in prop::collection::vec(step(), 1..300)
    ) {
        let settings = settings(threshold, trials);
        let breaker = Breaker::default();
        let mut run = Run { breaker, settings, now: 1, under_way: vec![], in_a_row: 0, opened_at: 0 };
        for step in steps {
            run.take(step);
        }
        // However it stands, it comes back when the backend does.
        while let Some(trial) = run.under_way.pop() {
            run.end(trial, Verdict::Neutral);
        }
        run.take(Step::Wait(100));
        while run.breaker.state() != BreakerState::Closed {
            prop_assert!(run.breaker.admits(&run.settings));
            let trial = run.breaker.begin();
            run.end(trial, Verdict::Success);
        }
    }

    #[test]
    fn a_rate_opens_it_exactly_when_it_is_reached(
        percent in 1_u32..=100, min in 1_u32..30, fails in prop::collection::vec(any::<bool>(), 1..200)
    ) {
        let settings = rate(percent, min);
        let mut breaker = Breaker::default();
        // The window begins with the first failure.
        let (mut all, mut failed) = (0_u64, 0_u64);
        for (i, fail) in fails.iter().enumerate() {
            let verdict = if *fail { Verdict::Failure } else { Verdict::Success };
            breaker.end(None, verdict, (1, i as u64 + 1), &settings);
            failed += u64::from(*fail);
            all += u64::from(failed > 0);
            let reached = *fail && all >= u64::from(min) && failed * 100 >= u64::from(percent) * all;
            prop_assert_eq!(breaker.state() == BreakerState::Open, reached);
            if reached {
                break;
            }
        }
    }
}

#[test]
fn five_failures_in_a_row_open_it_and_one_success_between_starts_anew() {
    let settings = settings(5, 1);
    let mut breaker = Breaker::default();
    for verdict in [Verdict::Failure; 4].into_iter().chain([Verdict::Success]).chain([Verdict::Failure; 4]) {
        breaker.end(None, verdict, (1, 0), &settings);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
    breaker.end(None, Verdict::Failure, (7, 0), &settings);
    assert_eq!((breaker.state(), breaker.opens_until()), (BreakerState::Open, Some(107)));
}

#[test]
fn a_trial_that_says_nothing_makes_room_for_another() {
    let settings = settings(1, 1);
    let mut breaker = Breaker::default();
    breaker.end(None, Verdict::Failure, (1, 0), &settings);
    breaker.advance(101);
    let trial = breaker.begin();
    assert!(!breaker.admits(&settings));
    breaker.end(trial, Verdict::Neutral, (102, 0), &settings);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(breaker.admits(&settings));
}

#[test]
fn a_trial_of_an_earlier_round_decides_nothing() {
    let settings = settings(1, 2);
    let mut breaker = Breaker::default();
    breaker.end(None, Verdict::Failure, (1, 0), &settings);
    breaker.advance(101);
    let (slow, fast) = (breaker.begin(), breaker.begin());
    breaker.end(fast, Verdict::Failure, (102, 0), &settings);
    breaker.advance(202);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.end(slow, Verdict::Failure, (203, 0), &settings);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn failures_of_another_window_do_not_add_up() {
    let settings = rate(50, 4);
    let mut breaker = Breaker::default();
    for i in 0..20 {
        // Every second one fails, but two windows never hold four together.
        breaker.end(None, Verdict::Failure, (1 + i * 6_000, i * 2), &settings);
        assert_eq!(breaker.state(), BreakerState::Closed, "{i}");
    }
}
