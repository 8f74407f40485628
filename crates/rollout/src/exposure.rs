//! Who gets the candidate.

use std::cmp::Ordering;
use std::fmt;

use hotswap_core::Violations;
use serde::{Deserialize, Serialize};

use crate::Share;

/// Most values of a cohort, and their longest, in bytes.
const MAX_VALUES: usize = 100;
const MAX_VALUE: usize = 256;

/// What a cohort is told by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CohortKey {
    /// A request header, in lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A key that the target gives a meaning, as "tenant".
    Targeting(String),
}

/// A cohort as it comes from outside; anything can stand in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CohortDraft {
    /// What it is told by.
    pub key: CohortKey,
    /// The values that belong to it; 1 to 100 of them, each of 1 to 256 bytes.
    pub values: Vec<String>,
}

/// Those whose key has one of some values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cohort {
    key: CohortKey,
    values: Vec<String>,
}

impl Cohort {
    /// Checks a draft; header names become lower case.
    ///
    /// # Errors
    /// Every fault, each with its field.
    pub fn parse(draft: &CohortDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let key = match &draft.key {
            CohortKey::Header(name) => CohortKey::Header(name.to_ascii_lowercase()),
            other => other.clone(),
        };
        let (CohortKey::Header(name) | CohortKey::Cookie(name) | CohortKey::Targeting(name)) = &key;
        if !is_token(name) {
            v.add("key", "the name must be 1 to 128 letters, digits, or any of -_.");
        }
        if draft.values.is_empty() || draft.values.len() > MAX_VALUES {
            v.add("values", "must have 1 to 100 entries");
        }
        for (i, value) in draft.values.iter().enumerate() {
            if value.is_empty() || value.len() > MAX_VALUE || value.chars().any(char::is_control) {
                v.add(format!("values[{i}]"), "must be 1 to 256 bytes without control characters");
            } else if draft.values.iter().take(i).any(|earlier| earlier == value) {
                v.add(format!("values[{i}]"), "stands in the list already");
            }
        }
        v.into_result()?;
        Ok(Self { key, values: draft.values.clone() })
    }

    /// What it is told by.
    pub fn key(&self) -> &CohortKey {
        &self.key
    }

    /// The values that belong to it.
    pub fn values(&self) -> &[String] {
        &self.values
    }
}

pub(crate) fn is_token(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

impl fmt::Display for Cohort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match &self.key {
            CohortKey::Header(name) => ("header", name),
            CohortKey::Cookie(name) => ("cookie", name),
            CohortKey::Targeting(name) => ("key", name),
        };
        write!(f, "those with {kind} {name} = {}", self.values.join(" or "))
    }
}

/// How much of the candidate is out. Always absolute, never "so much more": doing it twice is doing it once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// Nobody gets it.
    #[default]
    None,
    /// A copy of this share of requests goes to it, and its answers are dropped: nobody gets them.
    Shadow(Share),
    /// This share of requests gets it.
    Weight(Share),
    /// These get it.
    Cohort(Cohort),
    /// Everybody gets it.
    Full,
}

impl Exposure {
    /// The exposure of a share: none and all have forms of their own.
    pub fn of(share: Share) -> Self {
        match share {
            Share::NONE => Self::None,
            Share::ALL => Self::Full,
            share => Self::Weight(share),
        }
    }

    /// The share of requests that gets it, where it is a share: not of a cohort, whose size nobody knows.
    pub fn share(&self) -> Option<Share> {
        match self {
            Self::None | Self::Shadow(_) => Some(Share::NONE),
            Self::Weight(share) => Some(*share),
            Self::Full => Some(Share::ALL),
            Self::Cohort(_) => None,
        }
    }

    /// Whether anybody gets the candidate's answers.
    pub fn reaches_somebody(&self) -> bool {
        self.share() != Some(Share::NONE)
    }

    /// Whether somebody still gets the baseline, so that there is something to compare with.
    pub fn has_baseline(&self) -> bool {
        matches!(self, Self::Shadow(_) | Self::Weight(_) | Self::Cohort(_))
    }
}

/// "At most as much as". Cohorts and shares can't be compared, nor can two cohorts; a copy reaches nobody, so it is
/// more than nothing and less than anything else.
impl PartialOrd for Exposure {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other {
            return Some(Ordering::Equal);
        }
        match (self, other) {
            (Self::None, _) | (_, Self::Full) => Some(Ordering::Less),
            (_, Self::None) | (Self::Full, _) => Some(Ordering::Greater),
            (Self::Weight(a), Self::Weight(b)) | (Self::Shadow(a), Self::Shadow(b)) => Some(a.cmp(b)),
            (Self::Shadow(_), _) => Some(Ordering::Less),
            (_, Self::Shadow(_)) => Some(Ordering::Greater),
            (Self::Cohort(_), _) | (_, Self::Cohort(_)) => None,
        }
    }
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("nobody"),
            Self::Shadow(share) => write!(f, "copies of {share} of requests"),
            Self::Weight(share) => write!(f, "{share} of requests"),
            Self::Cohort(cohort) => cohort.fmt(f),
            Self::Full => f.write_str("everybody"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(key: CohortKey, values: &[&str]) -> Result<Cohort, Violations> {
        Cohort::parse(&CohortDraft { key, values: values.iter().map(|v| (*v).to_owned()).collect() })
    }

    #[test]
    fn every_fault_of_a_cohort_is_named() {
        let faults = cohort(CohortKey::Cookie("a b".into()), &["x", "", "x"]).expect_err("faults");
        let fields: Vec<_> = faults.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["key", "values[1]", "values[2]"]);
        assert!(cohort(CohortKey::Header("X-Beta".into()), &[]).is_err());
    }

    #[test]
    fn header_names_are_in_lower_case() {
        let cohort = cohort(CohortKey::Header("X-Beta".into()), &["1"]).expect("valid");
        assert_eq!(cohort.key(), &CohortKey::Header("x-beta".into()));
        assert_eq!(cohort.to_string(), "those with header x-beta = 1");
    }

    #[test]
    fn exposures_have_an_order_where_one_makes_sense() {
        let weight = |bp| Exposure::of(Share::from_bp(bp).expect("valid"));
        let group = Exposure::Cohort(cohort(CohortKey::Cookie("beta".into()), &["1"]).expect("valid"));
        assert_eq!((weight(0), weight(10_000)), (Exposure::None, Exposure::Full));
        assert!(Exposure::None < Exposure::Shadow(Share::ALL) && Exposure::Shadow(Share::ALL) < weight(1));
        assert!(weight(1) < weight(2) && weight(2) < Exposure::Full);
        assert!(group < Exposure::Full && group > Exposure::None);
        assert_eq!(group.partial_cmp(&weight(5_000)), None);
    }
}
