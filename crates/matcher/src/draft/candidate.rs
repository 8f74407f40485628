//! What a rollout says of the other revision of a resource.

/// The other revision of a resource, but for its content: who gets it, and what is to be tested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandidateDraft {
    /// "rollouts/{rollout}".
    pub rollout: String,
    /// Counts are of this exposure.
    pub epoch: i64,
    /// Who gets it; `None`: nobody.
    pub exposure: Option<ExposureDraft>,
    /// Which part of a request decides, with a share; `None`: each request is drawn.
    pub sticky_key: Option<RequestKeyDraft>,
    /// What is to be tested now; `None`: nothing.
    pub check: Option<CheckDraft>,
}

/// Who gets a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExposureDraft {
    /// A share of requests or keys, in basis points.
    ShareBps(u32),
    /// A cohort.
    Cohort(CohortDraft),
    /// Copies of a share of requests, in basis points.
    ShadowBps(u32),
}

/// Those whose key has one of some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CohortDraft {
    /// What it is told by.
    pub key: RequestKeyDraft,
    /// The values that belong to it.
    pub values: Vec<String>,
}

/// A part of a request that tells users apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestKeyDraft {
    /// None is given.
    Missing,
    /// A header, by name.
    Header(String),
    /// A cookie, by name.
    Cookie(String),
    /// The client's address.
    ClientAddress,
    /// The key of a client library, which no HTTP request has.
    Targeting,
}

/// A look at a candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckDraft {
    /// Its number within the rollout.
    pub number: i64,
    /// Requests that the candidate must answer well.
    pub smoke_tests: Vec<SmokeTestDraft>,
}

/// A request and the answer that it must get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmokeTestDraft {
    /// In capitals; empty: GET.
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// Empty: the subject's own.
    pub host: String,
    /// 0: any below 400.
    pub expect_status: u32,
    /// In ms; 0: 5,000.
    pub timeout_ms: u32,
}
