//! What was counted.

use hotswap_core::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::Share;

/// Requests of an arm, or of a part of it. Stored as three numbers in this order, since sticky traffic has 128 of them in
/// each measurement; read with or without their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub struct Tally {
    /// All of them.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those slower than the threshold.
    pub slow: u64,
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.requests, self.errors, self.slow).serialize(serializer)
    }
}

impl Tally {
    /// What came since `earlier`; nothing where a counter was set back.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            slow: self.slow.saturating_sub(earlier.slow),
        }
    }
}

/// One arm: the candidate, or the baseline beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Arm {
    /// All its requests.
    pub all: Tally,
    /// The same by hash bucket of the sticky key: some 64 parts, each key always in the same one. Empty where each
    /// request was drawn by itself.
    pub buckets: Vec<Tally>,
}

/// Counts of both arms since this exposure took hold. Absolute: reading them twice changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Counts {
    /// Those who got the candidate, or copies that it answered.
    pub candidate: Arm,
    /// Those who got the baseline meanwhile; with everybody on the candidate, those before.
    pub baseline: Arm,
    /// The share of requests that was drawn for the candidate, where each was drawn by itself. `None`: as counted.
    pub share: Option<Share>,
    /// Whether `slow` was counted: there is a threshold.
    pub timed: bool,
}

/// What came of an attempt to measure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Counts.
    Counts(Counts),
    /// The source answered, and had nothing.
    NoData,
    /// The source did not answer, or not with counts. The text says why.
    Broken(String),
}

/// One measurement, as it is stored. The same measurements judged again give the same verdicts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Measurement {
    /// When.
    pub at: Timestamp,
    /// Of which exposure: what is told to the source comes back.
    pub epoch: u32,
    /// What came of it.
    pub reading: Reading,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_stored_as_three_numbers_and_read_with_names_too() {
        let tally = Tally { requests: 3, errors: 2, slow: 1 };
        let text = serde_json::to_string(&tally).expect("serializes");
        assert_eq!(text, "[3,2,1]");
        for text in [text.as_str(), r#"{"requests":3,"errors":2,"slow":1}"#] {
            assert_eq!(serde_json::from_str::<Tally>(text).expect("parses"), tally);
        }
    }
}
