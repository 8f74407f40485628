//! A candidate, but for its content.

use hotswap_api::gateway::v1 as gateway;
use hotswap_api::rollout::v1 as rollout;
use hotswap_matcher::{
    CandidateDraft, CheckDraft, CohortDraft, ExposureDraft, RequestKeyDraft, SmokeTestDraft,
};

/// Who gets a candidate, and what is to be tested of it; its content is left aside.
pub fn candidate_from_wire(candidate: &gateway::Candidate) -> CandidateDraft {
    use gateway::candidate::Exposure;
    let exposure = candidate.exposure.as_ref().map(|exposure| match exposure {
        Exposure::ShareBps(bps) => ExposureDraft::ShareBps(*bps),
        Exposure::Cohort(cohort) => ExposureDraft::Cohort(cohort_draft(cohort)),
        Exposure::ShadowBps(bps) => ExposureDraft::ShadowBps(*bps),
    });
    CandidateDraft {
        rollout: candidate.rollout.clone(),
        epoch: candidate.epoch,
        exposure,
        sticky_key: candidate.sticky_key.as_ref().map(sticky_key),
        check: candidate.check.as_ref().map(check),
    }
}

fn cohort_draft(cohort: &rollout::Cohort) -> CohortDraft {
    use rollout::cohort::Key;
    let key = match &cohort.key {
        None => RequestKeyDraft::Missing,
        Some(Key::Header(name)) => RequestKeyDraft::Header(name.clone()),
        Some(Key::Cookie(name)) => RequestKeyDraft::Cookie(name.clone()),
        Some(Key::TargetingKey(_)) => RequestKeyDraft::Targeting,
    };
    CohortDraft { key, values: cohort.values.clone() }
}

fn sticky_key(key: &rollout::StickyKey) -> RequestKeyDraft {
    use rollout::sticky_key::Kind;
    match &key.kind {
        Some(Kind::Header(name)) => RequestKeyDraft::Header(name.clone()),
        Some(Kind::Cookie(name)) => RequestKeyDraft::Cookie(name.clone()),
        Some(Kind::ClientAddress(true)) => RequestKeyDraft::ClientAddress,
        Some(Kind::TargetingKey(true)) => RequestKeyDraft::Targeting,
        None | Some(Kind::ClientAddress(false) | Kind::TargetingKey(false)) => RequestKeyDraft::Missing,
    }
}

fn check(check: &gateway::CandidateCheck) -> CheckDraft {
    let test = |test: &rollout::SmokeTest| SmokeTestDraft {
        method: test.method.clone(),
        path: test.path.clone(),
        host: test.host.clone(),
        expect_status: test.expect_status,
        timeout_ms: test.timeout_ms,
    };
    CheckDraft { number: check.number, smoke_tests: check.smoke_tests.iter().map(test).collect() }
}
