//! What the control plane is told of rollouts: the counts of both arms, of each rollout of which they have changed.

use std::collections::HashMap;

use hotswap_api::gateway::v1::{ArmReport, RolloutCounts};
use hotswap_matcher::Arm;

use crate::config::Live;
use crate::rollout::Rollout;

/// What a stream has been told so far.
#[derive(Default)]
pub(super) struct ArmReports {
    said: HashMap<String, RolloutCounts>,
}

impl ArmReports {
    /// What has changed since it was last asked; `None`: nothing.
    pub(super) fn due(&mut self, config: &Live) -> Option<ArmReport> {
        let current = config.now();
        let mut said = HashMap::with_capacity(self.said.len());
        let mut rollouts = Vec::new();
        for rollout in current.rollouts() {
            let Some(counts) = counts(rollout) else { continue };
            if self.said.get(rollout.name()) != Some(&counts) {
                rollouts.push(counts.clone());
            }
            said.insert(rollout.name().to_owned(), counts);
        }
        // Those that are gone are forgotten.
        self.said = said;
        (!rollouts.is_empty()).then_some(ArmReport { rollouts })
    }
}

/// The counts of a rollout; `None`: there are none yet.
fn counts(rollout: &Rollout) -> Option<RolloutCounts> {
    let tallies = rollout.tallies();
    let (candidate, baseline) = (tallies.of(Arm::Candidate), tallies.of(Arm::Baseline));
    let some = [&candidate, &baseline].iter().any(|arm| arm.all.as_ref().is_some_and(|all| all.requests > 0));
    some.then(|| RolloutCounts {
        rollout: rollout.name().to_owned(),
        epoch: rollout.epoch(),
        candidate: Some(candidate),
        baseline: Some(baseline),
    })
}
