//! What was seen of one exposure: all that a verdict follows from. It is stored with the rollout, and the same
//! measurements taken again, in order, give the same verdicts.

use hotswap_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::config::{JudgeConfig, Limit, Method};
use super::counts::{Counts, Measurement, Reading};
use super::dispersion::count;
use super::look::{Look, Span, look, since};
use super::mann_whitney::{self, Settings};
use super::windows::Windows;
use super::{Aspect, Finding, Verdict, threshold, words};
use crate::Millis;

/// A candidate that breaks late is looked for in spans of this length.
const MINUTE: Millis = Millis(60_000);

/// What was seen of one exposure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Evidence {
    epoch: u32,
    since: Timestamp,
    /// Nobody has the baseline beside it.
    #[serde(default)]
    alone: bool,
    verdict: Verdict,
    words: String,
    /// The newest measurement.
    at: Option<Timestamp>,
    /// How many minutes were begun, when the last of them was, and what had been counted by then.
    minute: (u32, Timestamp, Counts),
    /// What had been counted when it was last looked for a panic.
    calm: Counts,
    windows: Windows,
}

impl Evidence {
    /// Nothing was seen yet.
    pub fn begin(epoch: u32, since: Timestamp) -> Self {
        Self {
            epoch,
            since,
            alone: false,
            verdict: Verdict::NoData,
            words: "nothing was measured yet".into(),
            at: None,
            minute: (1, since, Counts::default()),
            calm: Counts::default(),
            windows: Windows::default(),
        }
    }

    /// The same of an exposure that leaves nobody with the baseline: there is nothing to compare with at the same time, so
    /// only a panic is a verdict.
    pub fn begin_alone(epoch: u32, since: Timestamp) -> Self {
        Self { alone: true, ..Self::begin(epoch, since) }
    }

    /// Of which exposure.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// When the exposure took hold.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Whether nobody has the baseline beside it: then nothing but a panic is a verdict on the candidate.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// What the judge says now.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The same in words.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Takes a measurement. `None`: it is of another exposure, or no newer than the last one.
    pub fn take(&mut self, config: &JudgeConfig, measurement: &Measurement) -> Option<Finding> {
        if measurement.epoch != self.epoch || self.at.is_some_and(|at| measurement.at <= at) {
            return None;
        }
        self.at = Some(measurement.at);
        let finding = match &measurement.reading {
            Reading::NoData => without_figures(Verdict::NoData, words::no_data()),
            Reading::Broken(why) => without_figures(Verdict::Broken, words::broken(why)),
            Reading::Counts(counts) => self.judge(config, counts, measurement.at),
        };
        self.verdict = finding.verdict;
        self.words.clone_from(&finding.words);
        Some(finding)
    }

    fn judge(&mut self, config: &JudgeConfig, counts: &Counts, at: Timestamp) -> Finding {
        if let Some(words) = self.panics(config, counts) {
            return without_figures(Verdict::Panic, words);
        }
        let (candidate, baseline) = (counts.candidate.all.requests, counts.baseline.all.requests);
        if self.alone && candidate > 0 {
            return without_figures(Verdict::Inconclusive, words::alone(counts.candidate.all));
        }
        if candidate == 0 || baseline == 0 {
            return without_figures(Verdict::NoData, words::one_arm(candidate, baseline));
        }
        let least = config.min_requests();
        if candidate < least || baseline < least {
            return without_figures(Verdict::Inconclusive, words::too_few(candidate, baseline, least));
        }
        let draft = config.draft();
        if draft.slow.is_some() && !counts.timed && draft.method != Method::Sequential {
            return without_figures(Verdict::Inconclusive, words::untimed());
        }
        let aspects = aspects(config, counts.timed);
        match draft.method {
            Method::Sequential => self.sequential(config, counts, &aspects, at),
            Method::Threshold { window_ms, failures, successes } => {
                self.windows.take(counts, at, self.since, window_ms);
                let verdict = threshold::verdict(config, &self.windows, &aspects, failures, successes);
                without_figures(verdict, words::windowed("plain threshold", verdict, counts))
            }
            Method::MannWhitney { window_ms, min_windows, tolerance_percent, level_bp } => {
                if self.windows.take(counts, at, self.since, window_ms).is_none() {
                    return without_figures(self.verdict, self.words.clone());
                }
                let aspects: Vec<_> = aspects.iter().map(|(aspect, _)| *aspect).collect();
                let settings = Settings { min_windows, tolerance_percent, level_bp };
                let verdict = mann_whitney::verdict(&self.windows, &aspects, settings);
                without_figures(verdict, words::windowed("Mann-Whitney test", verdict, counts))
            }
        }
    }

    fn sequential(
        &mut self,
        config: &JudgeConfig,
        counts: &Counts,
        aspects: &[(Aspect, Limit)],
        at: Timestamp,
    ) -> Finding {
        let looks = |counts: &Counts, span| -> Option<Vec<Look>> {
            aspects.iter().map(|(aspect, limit)| look(config, counts, *aspect, *limit, span)).collect()
        };
        let Some(whole) = looks(counts, Span::Whole) else {
            return without_figures(Verdict::Inconclusive, words::few_clients());
        };
        let (number, begun, before) = &self.minute;
        let late = looks(&since(counts, before), Span::Minute(*number)).unwrap_or_default();
        if MINUTE.after(*begun) <= at {
            self.minute = (number.saturating_add(1), at, counts.clone());
        }
        let failed = whole.iter().chain(&late).find(|look| look.verdict == Verdict::Fail);
        let timed = counts.timed || config.draft().slow.is_none();
        let verdict = if failed.is_some() {
            Verdict::Fail
        } else if timed && whole.iter().all(|look| look.verdict == Verdict::Pass) {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        };
        let is_late = failed.is_some() && whole.iter().all(|look| look.verdict != Verdict::Fail);
        let shown = if is_late { &late } else { &whole };
        let figures: Vec<_> = shown.iter().map(|look| look.figures(config)).collect();
        let words = words::sequential(verdict, &figures, is_late, timed);
        Finding { verdict, words, figures }
    }

    /// Whether what came since the last look is so bad that it takes no statistics. At least so many requests are
    /// waited for; where traffic is sticky they must come from several buckets, unless there is but one.
    fn panics(&mut self, config: &JudgeConfig, counts: &Counts) -> Option<String> {
        let panic = config.draft().panic?;
        let news = since(counts, &self.calm);
        let candidate = news.candidate.all;
        if candidate.requests < panic.min_requests {
            return None;
        }
        self.calm = counts.clone();
        let baseline = if news.baseline.all.requests > 0 { news.baseline.all } else { counts.baseline.all };
        let share = count(candidate.errors) / count(candidate.requests);
        let beside =
            if baseline.requests > 0 { count(baseline.errors) / count(baseline.requests) } else { 0.0 };
        let buckets = &news.candidate.buckets;
        let filled = buckets.iter().filter(|bucket| bucket.requests > 0).count();
        let failing = buckets.iter().filter(|bucket| bucket.errors > 0).count();
        let alone = !buckets.is_empty() && failing < filled.min(3);
        let beyond = share - beside >= f64::from(panic.above_bp) / 10_000.0;
        (beyond && !alone).then(|| words::panic(candidate, share, beside))
    }
}

fn aspects(config: &JudgeConfig, timed: bool) -> Vec<(Aspect, Limit)> {
    let errors = Some((Aspect::Errors, config.draft().errors));
    let slow = config.draft().slow.filter(|_| timed).map(|limit| (Aspect::Slow, limit));
    errors.into_iter().chain(slow).collect()
}

fn without_figures(verdict: Verdict, words: String) -> Finding {
    Finding { verdict, words, figures: Vec::new() }
}

#[cfg(test)]
mod tests;
