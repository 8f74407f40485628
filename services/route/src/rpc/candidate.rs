//! Candidates as they go to proxies.

use hotswap_api::gateway::v1 as wire;
use hotswap_api::rollout::v1 as rollout;
use hotswap_rollout::{Cohort, CohortKey, Exposure, SmokeTest, StickyKey};
use hotswap_route_wire::{pool_to_wire, route_to_wire};

use crate::domain::{AnyContent, Candidate, CandidateCheck};

/// The other revision of the resource `name`.
pub(super) fn candidate(name: &str, candidate: &Candidate<AnyContent>) -> wire::Candidate {
    use wire::candidate::Spec;
    let spec = match &candidate.content {
        AnyContent::Route(draft) => Spec::Route(route_to_wire(name, draft)),
        AnyContent::Pool(draft) => Spec::Pool(pool_to_wire(name, draft)),
        // No rollout is of one.
        AnyContent::Certificate(_) => return wire::Candidate::default(),
    };
    wire::Candidate {
        rollout: candidate.rollout.to_string(),
        epoch: candidate.epoch,
        spec: Some(spec),
        exposure: exposure(&candidate.exposure),
        sticky_key: candidate.sticky.as_ref().map(sticky_key),
        check: candidate.check.as_ref().map(check),
    }
}

fn exposure(exposure: &Exposure) -> Option<wire::candidate::Exposure> {
    use wire::candidate::Exposure as To;
    match exposure {
        Exposure::None => None,
        Exposure::Weight(share) => Some(To::ShareBps(share.bp().into())),
        Exposure::Full => Some(To::ShareBps(10_000)),
        Exposure::Shadow(share) => Some(To::ShadowBps(share.bp().into())),
        Exposure::Cohort(who) => Some(To::Cohort(cohort(who))),
    }
}

fn cohort(cohort: &Cohort) -> rollout::Cohort {
    use rollout::cohort::Key;
    let key = match cohort.key().clone() {
        CohortKey::Header(name) => Key::Header(name),
        CohortKey::Cookie(name) => Key::Cookie(name),
        CohortKey::Targeting(name) => Key::TargetingKey(name),
    };
    rollout::Cohort { key: Some(key), values: cohort.values().to_vec() }
}

fn sticky_key(key: &StickyKey) -> rollout::StickyKey {
    use rollout::sticky_key::Kind;
    let kind = match key.clone() {
        StickyKey::Header(name) => Kind::Header(name),
        StickyKey::Cookie(name) => Kind::Cookie(name),
        StickyKey::ClientAddress => Kind::ClientAddress(true),
        StickyKey::Targeting => Kind::TargetingKey(true),
    };
    rollout::StickyKey { kind: Some(kind) }
}

fn check(check: &CandidateCheck) -> wire::CandidateCheck {
    wire::CandidateCheck { number: check.number, smoke_tests: check.tests.iter().map(smoke_test).collect() }
}

fn smoke_test(test: &SmokeTest) -> rollout::SmokeTest {
    rollout::SmokeTest {
        method: test.method.clone(),
        path: test.path.clone(),
        host: test.host.clone().unwrap_or_default(),
        expect_status: test.expect_status.map_or(0, u32::from),
        timeout_ms: u32::try_from(test.timeout_ms.0).unwrap_or(u32::MAX),
    }
}
