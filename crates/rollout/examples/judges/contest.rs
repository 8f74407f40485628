//! Several judges on the same rollouts.

use std::fmt;
use std::ops::Range;

use hotswap_core::Timestamp;
use hotswap_rollout::judge::{Evidence, JudgeConfig, JudgeDraft, Measurement, Method, Reading, Verdict};

use crate::traffic::{HORIZON, Setting, Traffic, Trouble};

/// A judge with its settings.
#[derive(Clone)]
pub(crate) struct Judge(JudgeDraft);

impl Judge {
    pub(crate) fn ours() -> Self {
        Self(JudgeDraft::default())
    }

    pub(crate) fn of(method: Method) -> Self {
        Self(JudgeDraft { method, panic: None, min_requests: 1, ..JudgeDraft::default() })
    }
}

impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.method {
            Method::Sequential => f.write_str("as by default"),
            Method::Threshold { window_ms, failures, .. } => {
                write!(f, "{failures} windows of {window_ms} in a row")
            }
            Method::MannWhitney { window_ms, min_windows, level_bp, .. } => {
                write!(
                    f,
                    "windows of {window_ms}, {min_windows} at least, level {} %",
                    f64::from(level_bp) / 100.0
                )
            }
        }
    }
}

/// What became of the rollouts under a judge.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) rolled_back: u64,
    pub(crate) promoted: u64,
    /// Requests of the candidate until the rollback; infinite where there was none.
    requests: Vec<f64>,
}

impl Results {
    /// The middle of the requests until the rollback; `None`: fewer than half were rolled back.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.requests.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().filter(|median| median.is_finite())
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of one simulated rollout")]
    fn add(&mut self, verdict: Verdict, requests: Option<u64>) {
        self.rolled_back += u64::from(requests.is_some());
        self.promoted += u64::from(requests.is_none() && verdict == Verdict::Pass);
        self.requests.push(requests.map_or(f64::INFINITY, |requests| requests as f64));
    }

    fn join(&mut self, other: Self) {
        self.rolled_back += other.rolled_back;
        self.promoted += other.promoted;
        self.requests.extend(other.requests);
    }
}

/// A traffic, a trouble, and the judges.
pub(crate) struct Contest {
    pub(crate) setting: Setting,
    pub(crate) trouble: Trouble,
    pub(crate) judges: Vec<Judge>,
}

impl Contest {
    /// The rollouts with these seeds, on two threads.
    pub(crate) fn run(&self, seeds: Range<u64>) -> Vec<Results> {
        let middle = seeds.start + (seeds.end - seeds.start) / 2;
        let halves = [seeds.start..middle, middle..seeds.end];
        std::thread::scope(|scope| {
            let threads: Vec<_> = halves.map(|seeds| scope.spawn(move || self.some(seeds))).into();
            let mut all: Vec<Results> = self.judges.iter().map(|_| Results::default()).collect();
            for results in threads.into_iter().filter_map(|thread| thread.join().ok()) {
                for (sum, more) in all.iter_mut().zip(results) {
                    sum.join(more);
                }
            }
            all
        })
    }

    fn some(&self, seeds: Range<u64>) -> Vec<Results> {
        let mut results: Vec<Results> = self.judges.iter().map(|_| Results::default()).collect();
        let configs: Vec<_> =
            self.judges.iter().filter_map(|j| JudgeConfig::parse(&j.0, 1, 1).ok()).collect();
        for seed in seeds {
            let mut evidence: Vec<_> =
                configs.iter().map(|_| (Evidence::begin(0, Timestamp(0)), None)).collect();
            let mut traffic = Traffic::new(self.setting, self.trouble, seed);
            while traffic.at < HORIZON && evidence.iter().any(|(_, failed)| failed.is_none()) {
                let counts = traffic.next();
                let requests = counts.candidate.all.requests;
                let at = Timestamp(i64::from(traffic.at) * 1_000_000);
                let measurement = Measurement { at, epoch: 0, reading: Reading::Counts(counts) };
                for ((evidence, failed), config) in evidence.iter_mut().zip(&configs) {
                    if failed.is_some() {
                        continue;
                    }
                    let finding = evidence.take(config, &measurement);
                    if finding.is_some_and(|f| matches!(f.verdict, Verdict::Fail | Verdict::Panic)) {
                        *failed = Some(requests);
                    }
                }
            }
            for ((sum, (evidence, failed)), judge) in results.iter_mut().zip(evidence).zip(&self.judges) {
                // A threshold that has not failed has passed.
                let passes = matches!(judge.0.method, Method::Threshold { .. });
                sum.add(if passes { Verdict::Pass } else { evidence.verdict() }, failed);
            }
        }
        results
    }
}
