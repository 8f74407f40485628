//! Strategies: what people ask for, and the one list of steps that each becomes.

mod compile;
mod steps;

use serde::{Deserialize, Serialize};

pub(crate) use compile::compile;
pub use steps::{Act, Check, Step};

use crate::{CohortDraft, Millis, SmokeTest};

/// One step of a canary, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryStepDraft {
    /// The share of requests, in basis points: 1 to 10,000, more than the step before.
    pub share_bp: u32,
    /// How long it stays at least, in milliseconds.
    pub bake_ms: Millis,
    /// Whether a person must promote it to go on.
    #[serde(default)]
    pub gate: bool,
}

/// What becomes of a candidate that was compared in the shadow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShadowEnd {
    /// It is taken away again; its figures stay.
    #[default]
    Withdraw,
    /// A person decides whether everybody gets it.
    Ask,
}

/// How a candidate gets to everybody, as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyDraft {
    /// At once.
    Direct,
    /// By growing shares of requests, judged at each. No steps: 10 %, 50 % and 100 %, five minutes each.
    Canary {
        /// 1 to 50 steps; where the last one is below 10,000, everybody gets the candidate after it.
        steps: Vec<CanaryStepDraft>,
    },
    /// Made ready with nobody on it, tested, switched at once; the baseline is kept for a while.
    BlueGreen {
        /// Requests that the candidate must answer well before the switch; up to 20.
        smoke_tests: Vec<SmokeTest>,
        /// Whether a person must promote it before the switch.
        gate: bool,
        /// How long the baseline is kept after the switch, in milliseconds.
        keep_ms: Millis,
    },
    /// In batches of equal size, with a look at the health between.
    Rolling {
        /// 2 to 100.
        batches: u32,
        /// How long a batch stays before its health is looked at, in milliseconds.
        bake_ms: Millis,
    },
    /// To a cohort, until a person ends it: promote gives it to everybody, rollback takes it away.
    Ab {
        /// Who gets it.
        cohort: CohortDraft,
        /// How long it stays at least, in milliseconds.
        bake_ms: Millis,
    },
    /// To copies of requests, whose answers are dropped and compared.
    Shadow {
        /// The share of requests that is copied, in basis points: 1 to 10,000.
        share_bp: u32,
        /// How long at least, in milliseconds.
        bake_ms: Millis,
        /// What then.
        then: ShadowEnd,
    },
}

impl StrategyDraft {
    /// Its name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Canary { .. } => "canary",
            Self::BlueGreen { .. } => "blue-green",
            Self::Rolling { .. } => "rolling",
            Self::Ab { .. } => "A/B",
            Self::Shadow { .. } => "shadow",
        }
    }
}
