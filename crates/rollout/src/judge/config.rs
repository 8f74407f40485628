//! What a judge is told to look for.

use std::fmt;

use hotswap_core::Violations;
use serde::{Deserialize, Serialize};

use crate::Millis;

/// How much worse than the baseline is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// So many basis points of requests more than the baseline: 500 is five percentage points.
    Points(u32),
    /// So many hundredths of the baseline's own share more: 5 turns 2 % into 2.1 %.
    Relative(u32),
}

impl Limit {
    /// How much more than `baseline`, a share of one, is too much.
    pub(crate) fn above(self, baseline: f64) -> f64 {
        match self {
            Self::Points(bp) => f64::from(bp) / 10_000.0,
            Self::Relative(percent) => baseline * f64::from(percent) / 100.0,
        }
    }

    fn check(self, v: &mut Violations, field: &str) {
        match self {
            Self::Points(bp) if !(1..=10_000).contains(&bp) => {
                v.add(field, "points must be 1 to 10,000 basis points");
            }
            Self::Relative(percent) if !(1..=10_000).contains(&percent) => {
                v.add(field, "relative must be 1 to 10,000 percent");
            }
            Self::Points(_) | Self::Relative(_) => {}
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Points(bp) => write!(f, "+{} points", f64::from(*bp) / 100.0),
            Self::Relative(percent) => write!(f, "+{percent} % of the baseline's"),
        }
    }
}

/// How it is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Tests that hold whenever one looks: as soon as the counts suffice, and not before.
    #[default]
    Sequential,
    /// The candidate's share in a window, minus the baseline's, against the limit: as Argo Rollouts and Flagger do.
    Threshold {
        /// Length of a window.
        window_ms: Millis,
        /// So many windows in a row above the limit fail.
        failures: u32,
        /// So many windows below the limit pass.
        successes: u32,
    },
    /// A rank test over the shares in windows, with a tolerance on the Hodges-Lehmann shift: as Kayenta does.
    MannWhitney {
        /// Length of a window.
        window_ms: Millis,
        /// Windows that are needed; Kayenta's users are told 50.
        min_windows: u32,
        /// Parts of the baseline's mean that don't count, in percent; Kayenta's is 25.
        tolerance_percent: u32,
        /// Chance of a wrong difference at one look, in basis points; Kayenta's is 200.
        level_bp: u32,
    },
}

/// An error share of the candidate that needs no statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Panic {
    /// So many basis points above the baseline.
    pub above_bp: u32,
    /// Requests that the candidate must have had.
    pub min_requests: u64,
}

/// What is done where the judge can't decide in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecided {
    /// A person decides.
    #[default]
    Pause,
    /// It goes on, unless there was no data: that is never taken for health.
    Promote,
    /// It is rolled back.
    Rollback,
}

/// A judge as asked for; anything can stand in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeDraft {
    /// How.
    pub method: Method,
    /// How many more requests may fail.
    pub errors: Limit,
    /// How many more requests may be slow: slower than twice the baseline's p95 before judging. `None`: not judged.
    pub slow: Option<Limit>,
    /// Requests that the candidate must have had before there is a verdict; the baseline too.
    pub min_requests: u64,
    /// Chance of a rollback without cause over the whole rollout, in basis points.
    pub false_rollback_bp: u32,
    /// Chance that a candidate beyond a limit passes over the whole rollout, in basis points.
    pub false_promotion_bp: u32,
    /// Acts at once. `None`: nothing does.
    pub panic: Option<Panic>,
    /// How long beyond the bake it is waited for a verdict, in milliseconds.
    pub patience_ms: Millis,
    /// What then.
    pub undecided: Undecided,
}

impl Default for JudgeDraft {
    fn default() -> Self {
        Self {
            method: Method::Sequential,
            errors: Limit::Points(500),
            slow: Some(Limit::Points(500)),
            min_requests: 20,
            false_rollback_bp: 100,
            false_promotion_bp: 100,
            panic: Some(Panic { above_bp: 5_000, min_requests: 20 }),
            patience_ms: Millis::minutes(30),
            undecided: Undecided::Pause,
        }
    }
}

/// A judge that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeConfig {
    pub(crate) draft: JudgeDraft,
    /// Among so many steps that wait for a pass the chance of a false one is split.
    pub(crate) judged_steps: u32,
    /// Among so many exposures the chance of a rollback without cause is split: each is judged anew, from its beginning to
    /// its end, whether a step waits for that or not.
    #[serde(default)]
    pub(crate) judged_exposures: u32,
}

impl JudgeConfig {
    /// Checks a draft: for so many exposures that have a baseline beside them, and steps that wait for a pass.
    ///
    /// # Errors
    /// Every fault, each with its field.
    pub fn parse(draft: &JudgeDraft, exposures: u32, judged_steps: u32) -> Result<Self, Violations> {
        let mut v = Violations::new();
        draft.errors.check(&mut v, "errors");
        if let Some(slow) = draft.slow {
            slow.check(&mut v, "slow");
        }
        for (field, bp) in
            [("false_rollback_bp", draft.false_rollback_bp), ("false_promotion_bp", draft.false_promotion_bp)]
        {
            if !(1..=2_000).contains(&bp) {
                v.add(field, "must be 1 to 2,000 basis points");
            }
        }
        if draft.min_requests == 0 {
            v.add("min_requests", "must be at least 1: no data is never healthy");
        }
        if draft.patience_ms > Millis::hours(24 * 30) {
            v.add("patience_ms", "must be at most 30 days");
        }
        if let Some(panic) = draft.panic {
            if !(1..=10_000).contains(&panic.above_bp) {
                v.add("panic.above_bp", "must be 1 to 10,000 basis points");
            }
            if panic.min_requests == 0 {
                v.add("panic.min_requests", "must be at least 1");
            }
        }
        check_method(&mut v, draft.method);
        v.into_result()?;
        let (judged_steps, judged_exposures) = (judged_steps.max(1), exposures.max(1));
        Ok(Self { draft: draft.clone(), judged_steps, judged_exposures })
    }

    /// What was asked for.
    pub fn draft(&self) -> &JudgeDraft {
        &self.draft
    }

    /// How long beyond the bake it is waited for a verdict.
    pub fn patience(&self) -> Millis {
        self.draft.patience_ms
    }

    /// The requests that the candidate and the baseline must have had each.
    pub fn min_requests(&self) -> u64 {
        self.draft.min_requests
    }

    /// How many things are judged.
    fn measures(&self) -> f64 {
        if self.draft.slow.is_some() { 2.0 } else { 1.0 }
    }

    /// Chance of a wrong fail of one test: a rollout's, over its tests.
    pub(crate) fn alpha(&self) -> f64 {
        let exposures = f64::from(self.judged_exposures.max(self.judged_steps));
        f64::from(self.draft.false_rollback_bp) / 10_000.0 / exposures / self.measures()
    }

    /// Chance of a wrong pass of one test. All measures must pass, so the chance is split among steps alone.
    pub(crate) fn beta(&self) -> f64 {
        f64::from(self.draft.false_promotion_bp) / 10_000.0 / f64::from(self.judged_steps)
    }
}

fn check_method(v: &mut Violations, method: Method) {
    let window = |v: &mut Violations, field: &str, window: Millis| {
        if !(Millis(1_000)..=Millis::hours(24)).contains(&window) {
            v.add(field, "must be 1 s to 24 h");
        }
    };
    match method {
        Method::Sequential => {}
        Method::Threshold { window_ms, failures, successes } => {
            window(v, "method.threshold.window_ms", window_ms);
            for (field, count) in [("failures", failures), ("successes", successes)] {
                if !(1..=1_000).contains(&count) {
                    v.add(format!("method.threshold.{field}"), "must be 1 to 1,000");
                }
            }
        }
        Method::MannWhitney { window_ms, min_windows, tolerance_percent, level_bp } => {
            window(v, "method.mann_whitney.window_ms", window_ms);
            if !(5..=500).contains(&min_windows) {
                v.add("method.mann_whitney.min_windows", "must be 5 to 500");
            }
            if tolerance_percent > 10_000 {
                v.add("method.mann_whitney.tolerance_percent", "must be at most 10,000");
            }
            if !(1..=2_000).contains(&level_bp) {
                v.add("method.mann_whitney.level_bp", "must be 1 to 2,000 basis points");
            }
        }
    }
}
