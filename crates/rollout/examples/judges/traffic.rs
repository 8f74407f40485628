//! Simulated traffic: 1 % of requests fail; latencies are log-normal (σ = 0.6), so that 0.26 % are slower than twice the
//! p95. Sticky: each client has its own activity (log-normal, σ = 1) and its own share of errors and slow requests
//! (beta, one client's requests correlated at 0.05), and stays in its arm and its hash bucket.

use hotswap_rollout::Share;
use hotswap_rollout::judge::{Arm, Counts, Tally};

use crate::random::Random;

/// The candidate's share of requests, in basis points.
const SHARE_BP: u32 = 1_000;
const ERRORS: f64 = 0.01;
const CORRELATION: f64 = 0.05;
const BUCKETS: usize = 64;
/// How long a rollout is judged, in seconds.
pub(crate) const HORIZON: u32 = 1_800;

/// Which traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Requests a second, both arms.
    pub(crate) rate: f64,
    pub(crate) sticky: bool,
}

/// What is wrong with the candidate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    None,
    /// So many more of its requests fail.
    Errors(f64),
    /// It takes so many times as long.
    Latency(f64),
}

impl Trouble {
    fn more_errors(self) -> f64 {
        if let Self::Errors(more) = self { more } else { 0.0 }
    }

    fn slow(self) -> f64 {
        let times: f64 = if let Self::Latency(times) = self { times } else { 1.0 };
        upper_tail(1.644_854 + (2.0 / times).ln() / 0.6)
    }
}

/// A part of an arm with requests of its own: a bucket, or all of it.
struct Part {
    /// Requests a second.
    rate: f64,
    errors: f64,
    slow: f64,
    seen: Tally,
}

/// The traffic of one rollout.
pub(crate) struct Traffic {
    random: Random,
    candidate: Vec<Part>,
    baseline: Vec<Part>,
    /// Seconds since the exposure.
    pub(crate) at: u32,
    sticky: bool,
}

impl Traffic {
    pub(crate) fn new(setting: Setting, trouble: Trouble, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let part = f64::from(SHARE_BP) / 10_000.0;
        let (candidate, baseline) = if setting.sticky {
            clients(&mut random, setting.rate, trouble)
        } else {
            let whole = |rate, trouble: Trouble| {
                let errors = ERRORS + trouble.more_errors();
                vec![Part { rate, errors, slow: trouble.slow(), seen: Tally::default() }]
            };
            (whole(setting.rate * part, trouble), whole(setting.rate * (1.0 - part), Trouble::None))
        };
        Self { random, candidate, baseline, at: 0, sticky: setting.sticky }
    }

    /// The next measurement: all that was counted so far.
    pub(crate) fn next(&mut self) -> Counts {
        let seconds = if self.at < 60 { 1 } else { 10 };
        self.at += seconds;
        let random = &mut self.random;
        for part in self.candidate.iter_mut().chain(&mut self.baseline) {
            let requests = random.poisson(part.rate * f64::from(seconds));
            part.seen.requests += requests;
            part.seen.errors += random.binomial(requests, part.errors);
            part.seen.slow += random.binomial(requests, part.slow);
        }
        let arm = |parts: &[Part]| {
            let add = |a: Tally, b: &Part| Tally {
                requests: a.requests + b.seen.requests,
                errors: a.errors + b.seen.errors,
                slow: a.slow + b.seen.slow,
            };
            let all = parts.iter().fold(Tally::default(), add);
            Arm { all, buckets: if self.sticky { parts.iter().map(|p| p.seen).collect() } else { vec![] } }
        };
        let share = Share::from_bp(SHARE_BP).ok().filter(|_| !self.sticky);
        Counts { candidate: arm(&self.candidate), baseline: arm(&self.baseline), share, timed: true }
    }
}

/// Some hundreds to some thousands of clients, spread over arms and buckets.
fn clients(random: &mut Random, rate: f64, trouble: Trouble) -> (Vec<Part>, Vec<Part>) {
    let count = if rate < 10.0 {
        600
    } else if rate < 100.0 {
        3_000
    } else {
        10_000
    };
    let empty = || (0..BUCKETS).map(|_| Part { rate: 0.0, errors: 0.0, slow: 0.0, seen: Tally::default() });
    let (mut candidate, mut baseline): (Vec<Part>, Vec<Part>) = (empty().collect(), empty().collect());
    let mut all = 0.0;
    for _ in 0..count {
        let activity = random.normal().exp();
        let is_candidate = random.unit() <= f64::from(SHARE_BP) / 10_000.0;
        let of = if is_candidate { trouble } else { Trouble::None };
        let own = |random: &mut Random, mean: f64| {
            let size = 1.0 / CORRELATION - 1.0;
            random.beta(mean * size, (1.0 - mean) * size)
        };
        let errors = (own(random, ERRORS) + of.more_errors()).min(1.0);
        let slow = own(random, of.slow());
        let arm = if is_candidate { &mut candidate } else { &mut baseline };
        let bucket = random.below(64);
        if let Some(part) = arm.get_mut(bucket) {
            part.rate += activity;
            part.errors += activity * errors;
            part.slow += activity * slow;
        }
        all += activity;
    }
    for part in candidate.iter_mut().chain(&mut baseline).filter(|part| part.rate > 0.0) {
        part.errors /= part.rate;
        part.slow /= part.rate;
        part.rate *= rate / all;
    }
    (candidate, baseline)
}

/// The chance that a standard normal variable is above `z`: Abramowitz and Stegun 26.2.17.
fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let factors = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let series = factors.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    series * (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt()
}
