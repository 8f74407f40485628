//! The judge: candidate against the baseline beside it, on counts.
//!
//! Two questions are asked of errors, and of slow requests, each time that counts come in:
//!
//! - *Is it worse than the baseline?* ([`worse`]) An e-value grows as long as the candidate does worse; where it
//!   reaches 1/α and the candidate is beyond the limit, the verdict is **fail**. If it is not worse, the chance that
//!   this ever happens is at most α, however often one looks.
//! - *Is it within the limit?* ([`within`]) Where every pair of shares beyond the limit has become implausible at β, it
//!   is; where errors and slowness both are, the verdict is **pass**.
//!
//! Else it is **inconclusive**. No data is a verdict of its own, and so is a source that is broken: neither is taken
//! for health or for a breach. Requests of one client are not independent, so sticky traffic is counted by hash bucket,
//! and counts are divided by the overdispersion seen ([`dispersion`]). A candidate that breaks late is found by the
//! same test over the last minute. A **panic** needs no statistics.
//!
//! Sources: H. Robbins, *Statistical methods related to the law of the iterated logarithm*, 1970 (mixtures);
//! R. Turner, A. Ly, P. Grünwald, *Generic E-variables for exact sequential k-sample tests*, arXiv 2106.02693 (the
//! first question); L. Wasserman, A. Ramdas, S. Balakrishnan, *Universal inference*, arXiv 1912.11436 (the second);
//! S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, *Time-uniform, nonparametric, nonasymptotic confidence sequences*,
//! arXiv 1810.08240; I. Waudby-Smith, A. Ramdas, *Estimating means of bounded random variables by betting*, arXiv
//! 2010.09686; J. Rao, A. Scott, *A simple method for the analysis of clustered binary data*, Biometrics 1992
//! (effective counts); M. Lindon, C. Sanden, V. Shirikian, *Rapid regression detection in software deployments through
//! sequential testing*, arXiv 2205.14762.

mod config;
mod counts;
mod dispersion;
mod evidence;
mod look;
mod mann_whitney;
mod threshold;
mod windows;
mod within;
mod words;
mod worse;

use serde::{Deserialize, Serialize};

pub use config::{JudgeConfig, JudgeDraft, Limit, Method, Panic, Undecided};
pub use counts::{Arm, Counts, Measurement, Reading, Tally};
pub use evidence::Evidence;

/// What the judge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Within the limits.
    Pass,
    /// Beyond a limit.
    Fail,
    /// So far beyond that it takes no statistics.
    Panic,
    /// Too little to tell.
    Inconclusive,
    /// Nothing was counted.
    NoData,
    /// What counts is broken.
    Broken,
}

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Requests that failed.
    Errors,
    /// Requests that were slow.
    Slow,
}

impl Aspect {
    pub(crate) fn of(self, tally: Tally) -> u64 {
        match self {
            Self::Errors => tally.errors,
            Self::Slow => tally.slow,
        }
    }
}

/// The figures of one aspect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Of what.
    pub aspect: Aspect,
    /// The candidate's share of such requests, of one.
    pub candidate: f64,
    /// The baseline's.
    pub baseline: f64,
    /// How much more is too much, in shares of one.
    pub limit: f64,
    /// The difference is at least this, at any time, but for the chance of a false promotion.
    pub lower: f64,
    /// The difference is at most this, likewise.
    pub upper: f64,
    /// How strongly the counts speak for "worse than the baseline": an e-value. 1 is neutral.
    pub worse: f64,
    /// What it must reach.
    pub needed: f64,
    /// One request of the candidate counts as the inverse of this, since requests of one client are alike.
    pub dispersion: f64,
    /// What it says of this aspect alone.
    pub verdict: Verdict,
}

/// What the judge found in a measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it says.
    pub verdict: Verdict,
    /// The same in words, with the figures that it rests on.
    pub words: String,
    /// The figures.
    pub figures: Vec<Figures>,
}
