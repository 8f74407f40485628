//! Which revisions of what is under a rollout a request would meet.

use std::sync::Arc;

use hotswap_api::route::v1 as wire;
use hotswap_matcher::{Arm, Exposure, RequestKey};
use hotswap_route_wire::Described;

use super::sender_of;
use crate::balance::client::TrustedProxies;
use crate::config::{Compiled, PoolEntry, RouteEntry};
use crate::rollout::{Part, Rollout, Subject};

/// What can be foretold of a request on one configuration.
pub(super) struct Foretold<'a> {
    pub(super) config: &'a Compiled,
    pub(super) described: &'a Described,
}

impl<'a> Foretold<'a> {
    /// The revision of a rollout that the request meets; `None`: chance decides.
    fn arm(&self, rollout: &Rollout) -> Option<Arm> {
        let trusted = TrustedProxies::default();
        let needs_client = rollout.sticky_key() == Some(&RequestKey::ClientAddress)
            && matches!(rollout.exposure(), Exposure::Share(_));
        if needs_client && self.described.client().is_none() {
            return rollout.foretell_of_all();
        }
        rollout.foretell(self.described, sender_of(self.described, &trusted))
    }

    /// Whether the request sees this entry. Where chance decides, it is told of the baseline.
    pub(super) fn admits(&self, entry: &RouteEntry) -> bool {
        let Some(part) = entry.part() else { return true };
        let arm = self.config.rollout(part.rollout).and_then(|rollout| self.arm(rollout));
        arm.unwrap_or(Arm::Baseline) == part.arm
    }

    /// The pool that stands in a slot, or its candidate.
    pub(super) fn pool(&self, slot: usize) -> Option<(usize, &'a Arc<PoolEntry>)> {
        let entry = self.config.pool(slot)?;
        let rollout = entry.part().and_then(|part| self.config.rollout(part.rollout));
        if let Some(rollout) = rollout
            && self.arm(rollout) == Some(Arm::Candidate)
            && let Subject::Pool(slot) = rollout.subject()
        {
            return Some((slot, self.config.pool(slot)?));
        }
        Some((slot, entry))
    }

    /// What is told of a rollout.
    pub(super) fn outlook(&self, part: Option<Part>) -> Option<wire::RolloutOutlook> {
        let rollout = self.config.rollout(part?.rollout)?;
        Some(wire::RolloutOutlook {
            rollout: rollout.name().to_owned(),
            resource: rollout.resource().to_owned(),
            arm: self.arm(rollout).map(Arm::name).unwrap_or_default().to_owned(),
            message: who(rollout),
        })
    }
}

/// Who meets a candidate.
fn who(rollout: &Rollout) -> String {
    let percent = |bps: u32| f64::from(bps) / 100.0;
    match (rollout.exposure(), rollout.sticky_key()) {
        (Exposure::Nobody, _) => "nobody meets the candidate".to_owned(),
        (Exposure::Share(bps), None) => {
            format!("{} % of requests meet the candidate", percent(*bps))
        }
        (Exposure::Share(bps), Some(key)) => {
            format!("{} % of users meet the candidate, told apart by {}", percent(*bps), named(key))
        }
        (Exposure::Shadow(bps), _) => format!("copies of {} % go to the candidate", percent(*bps)),
        (Exposure::Cohort(cohort), _) => {
            format!("a cohort meets the candidate, known by {}", named(&cohort.key))
        }
    }
}

fn named(key: &RequestKey) -> String {
    match key {
        RequestKey::Header(name) => format!("the header {name}"),
        RequestKey::Cookie(name) => format!("the cookie {name}"),
        RequestKey::ClientAddress => "the client's address".to_owned(),
    }
}
