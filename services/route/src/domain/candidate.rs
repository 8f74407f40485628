//! The other revision of a resource, which a rollout has ready.

use hotswap_core::Revision;
use hotswap_rollout::{Exposure, RolloutId, SmokeTest, StickyKey};
use serde::{Deserialize, Serialize};

/// The other revision of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate<C> {
    /// Whose.
    pub rollout: RolloutId,
    /// Its revision.
    pub revision: Revision,
    /// Who gets it.
    pub exposure: Exposure,
    /// Which part of a request decides, with a share.
    pub sticky: Option<StickyKey>,
    /// Proxies count from here: the revision of the configuration that last changed the exposure.
    pub epoch: i64,
    /// What proxies are to test.
    pub check: Option<CandidateCheck>,
    /// Its content, as its revision wrote it, but for what operators let backends do meanwhile.
    pub content: C,
}

/// A look at a candidate that every proxy takes once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateCheck {
    /// Its number within the rollout.
    pub number: i64,
    /// Requests that it must answer well; none: its backends must take requests.
    pub tests: Vec<SmokeTest>,
}

impl<C> Candidate<C> {
    /// The same with its content in another form.
    pub fn map<T>(self, content: impl FnOnce(C) -> T) -> Candidate<T> {
        let Self { rollout, revision, exposure, sticky, epoch, check, content: from } = self;
        Candidate { rollout, revision, exposure, sticky, epoch, check, content: content(from) }
    }
}

/// How a rollout stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracked {
    /// Its candidate is there.
    Resident,
    /// Its candidate is the live revision.
    Committed,
    /// Its candidate was taken away.
    Withdrawn,
}

impl Tracked {
    /// Its word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resident => "resident",
            Self::Committed => "committed",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// From its word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Resident, Self::Committed, Self::Withdrawn].into_iter().find(|t| t.as_str() == word)
    }
}
