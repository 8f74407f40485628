//! Rollout policies and the global switch as the contract has them.

use hotswap_api::rollout::v1 as wire;
use hotswap_rollout::Millis;

use super::plan::levels;
use super::{duration, time};
use crate::{Freeze, PolicyView};

/// A policy as it is.
pub(in crate::rpc) fn policy(policy: &PolicyView) -> wire::RolloutPolicy {
    let asks = &policy.policy;
    wire::RolloutPolicy {
        name: policy.name(),
        subject: policy.subject.clone(),
        approval_levels: levels(&asks.approvals),
        gradual: asks.gradual,
        judged: asks.judged,
        smoke_tested: asks.smoke_tested,
        min_bake: Some(asks.min_bake_ms).filter(|span| *span > Millis(0)).map(duration),
        max_first_share_bps: asks.max_first_share.map(u32::from).unwrap_or_default(),
        etag: policy.etag().as_str().to_owned(),
        create_time: Some(time(policy.created_at)),
        update_time: Some(time(policy.updated_at)),
    }
}

/// The switch as it is.
pub(in crate::rpc) fn freeze(freeze: &Freeze) -> wire::Freeze {
    wire::Freeze {
        on: freeze.on,
        reason: freeze.reason.clone(),
        actor: freeze.actor.clone(),
        update_time: freeze.changed_at.map(time),
    }
}
