//! The steps that every strategy becomes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Exposure, Millis, SmokeTest};

/// What is looked at where counts can't tell yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// These requests must be answered well.
    Smoke(Vec<SmokeTest>),
    /// Whether what has the candidate says that it is well.
    Health,
}

/// What the target is asked to do. Each is absolute: done twice it is as done once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Make the candidate ready, with nobody on it.
    Stage,
    /// Look at it.
    Check(Check),
    /// Set who gets it.
    Expose(Exposure),
    /// Make it the new baseline.
    Commit,
    /// Take it away: only the baseline is left. From any state, any number of times.
    Withdraw,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage => f.write_str("making the candidate ready"),
            Self::Check(Check::Smoke(tests)) => {
                let tests: Vec<_> = tests.iter().map(ToString::to_string).collect();
                write!(f, "smoke tests ({})", tests.join(", "))
            }
            Self::Check(Check::Health) => f.write_str("a look at the health"),
            Self::Expose(exposure) => write!(f, "exposing the candidate to {exposure}"),
            Self::Commit => f.write_str("making the candidate the new baseline"),
            Self::Withdraw => f.write_str("taking the candidate away"),
        }
    }
}

/// One step of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The target does something.
    Act(Act),
    /// At least so long nothing grows; judging goes on meanwhile.
    Bake(Millis),
    /// Until the judge says pass.
    Judge,
    /// Until a person promotes.
    Gate(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Act(act) => act.fmt(f),
            Self::Bake(span) => write!(f, "baking for {span}"),
            Self::Judge => f.write_str("waiting for the judge"),
            Self::Gate(why) => write!(f, "waiting for a person: {why}"),
        }
    }
}
