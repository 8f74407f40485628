//! What a target can do.

use serde::{Deserialize, Serialize};

/// What a target declares that it can do. A strategy that needs more is refused when the rollout is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Powers {
    /// Expose by share of requests, or of instances.
    pub weight: bool,
    /// Expose to a cohort.
    pub cohort: bool,
    /// Send copies of requests and drop the answers.
    pub shadow: bool,
    /// Go from nobody to everybody at once, and back.
    pub switch: bool,
    /// Take an exposure back. Without it the first exposure is the point of no return.
    pub reversible: bool,
}

impl Powers {
    /// All of them, as a gateway's route has.
    pub const ALL: Self = Self { weight: true, cohort: true, shadow: true, switch: true, reversible: true };
    /// Everybody at once, with a way back.
    pub const SWITCH: Self =
        Self { weight: false, cohort: false, shadow: false, switch: true, reversible: true };
}
