//! Rollout policies as the contract has them.

use hotswap_api::rollout::v1 as wire;
use hotswap_core::Violations;
use hotswap_rollout::{Millis, RolloutPolicy, Share};

use super::levels;
use super::spans::millis;
use crate::PutPolicy;
use crate::rpc::paths;

/// What a policy is to be; whether its name and subject can be is found with the rest, where it is written. Faults are of
/// the policy's fields.
///
/// # Errors
/// Every fault that shows in the message.
pub(in crate::rpc) fn policy(m: &wire::RolloutPolicy) -> Result<PutPolicy, Violations> {
    let mut v = Violations::new();
    let first = match m.max_first_share_bps {
        0 => None,
        bp => v.take("max_first_share_bps", Share::from_bp(bp)),
    };
    let policy = RolloutPolicy {
        approvals: levels(&mut v, &m.approval_levels),
        gradual: m.gradual,
        judged: m.judged,
        smoke_tested: m.smoke_tested,
        min_bake_ms: millis(&mut v, "min_bake", m.min_bake.as_ref(), Millis(0)),
        max_first_share: first,
    };
    if v.is_empty() {
        return Ok(PutPolicy {
            name: m.name.clone(),
            subject: m.subject.clone(),
            policy,
            etag: m.etag.clone(),
            validate_only: false,
        });
    }
    if let Err(faults) = policy.check() {
        v.nest("", paths::of_policy(faults));
    }
    Err(v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_policy_is_read() {
        let asked = wire::RolloutPolicy {
            name: "rolloutPolicies/strict".into(),
            subject: "routes/*".into(),
            approval_levels: vec![wire::ApprovalLevel { role: "admin".into(), ..Default::default() }],
            gradual: true,
            judged: true,
            smoke_tested: true,
            min_bake: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            max_first_share_bps: 1_000,
            etag: "e".into(),
            ..Default::default()
        };
        let read = policy(&asked).expect("valid");
        assert_eq!((read.name.as_str(), read.subject.as_str()), ("rolloutPolicies/strict", "routes/*"));
        assert_eq!((read.etag.as_str(), read.validate_only), ("e", false));
        let RolloutPolicy { approvals, gradual, judged, smoke_tested, min_bake_ms, max_first_share } =
            read.policy;
        assert!(gradual && judged && smoke_tested);
        assert_eq!((approvals.len(), min_bake_ms), (1, Millis::minutes(1)));
        assert_eq!(max_first_share, Share::from_bp(1_000).ok());
        let lenient = policy(&wire::RolloutPolicy::default()).expect("valid");
        assert_eq!(lenient.policy, RolloutPolicy::default());
    }

    #[test]
    fn every_fault_of_a_policy_bears_the_name_of_the_contract() {
        let month = 40 * 24 * 3_600;
        let asked = wire::RolloutPolicy {
            approval_levels: vec![wire::ApprovalLevel {
                role: "boss".into(),
                quorum: 101,
                ..Default::default()
            }],
            min_bake: Some(prost_types::Duration { seconds: month, nanos: 0 }),
            max_first_share_bps: 10_001,
            ..Default::default()
        };
        let faults = policy(&asked).expect_err("faults");
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        let want =
            ["max_first_share_bps", "approval_levels[0].role", "approval_levels[0].quorum", "min_bake"];
        assert_eq!(fields, want);
    }
}
