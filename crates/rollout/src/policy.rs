//! Rollout policies: which steps and approvals a change needs in a scope.

use hotswap_core::Violations;
use serde::{Deserialize, Serialize};

use crate::approval::{Level, check_levels};
use crate::strategy::{Act, Check, Step};
use crate::{Millis, Plan, PlanDraft, Powers, Share};

/// What a scope asks of every rollout in it. The default asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutPolicy {
    /// Who must approve; they take the place of those that the rollout names.
    pub approvals: Vec<Level>,
    /// The candidate may not go to everybody at once.
    pub gradual: bool,
    /// A judge must say pass.
    pub judged: bool,
    /// Smoke tests must run.
    pub smoke_tested: bool,
    /// Each bake must be at least so long, in milliseconds.
    pub min_bake_ms: Millis,
    /// At most so much at first.
    pub max_first_share: Option<Share>,
}

impl RolloutPolicy {
    /// Checks the policy itself.
    ///
    /// # Errors
    /// Every fault, each with its field.
    pub fn check(&self) -> Result<(), Violations> {
        let mut v = Violations::new();
        if let Err(faults) = check_levels(&self.approvals) {
            v.nest("approvals", faults);
        }
        if self.min_bake_ms > Millis::hours(24 * 30) {
            v.add("min_bake_ms", "must be at most 30 days");
        }
        if self.max_first_share == Some(Share::NONE) {
            v.add("max_first_share", "must be 1 to 10,000 basis points");
        }
        v.into_result()
    }

    /// Whether a write may be live at once: where no step and no approval is asked for.
    pub fn allows_live(&self) -> bool {
        self.approvals.is_empty()
            && !self.gradual
            && !self.judged
            && !self.smoke_tested
            && self.min_bake_ms == Millis(0)
            && self.max_first_share.is_none_or(|share| share == Share::ALL)
    }

    /// The plan of a rollout in this scope.
    ///
    /// # Errors
    /// Every fault of the draft, and everything that the scope asks for and the draft lacks.
    pub fn admit(&self, draft: &PlanDraft, powers: Powers) -> Result<Plan, Violations> {
        let mut draft = draft.clone();
        if !self.approvals.is_empty() {
            draft.approvals.clone_from(&self.approvals);
        }
        let plan = Plan::parse(&draft, powers)?;
        let mut v = Violations::new();
        if self.gradual && !plan.is_gradual() {
            v.add("strategy", "the policy of this scope asks for exposure in steps: take canary or rolling");
        }
        if self.judged && !plan.steps().contains(&Step::Judge) {
            v.add("judge", "the policy of this scope asks for a judge: take canary, with a judge");
        }
        let is_smoke = |step: &Step| matches!(step, Step::Act(Act::Check(Check::Smoke(_))));
        if self.smoke_tested && !plan.steps().iter().any(is_smoke) {
            v.add("strategy", "the policy of this scope asks for smoke tests: take blue_green, with some");
        }
        let baked = |step: &Step| matches!(step, Step::Bake(span) if *span < self.min_bake_ms);
        let bakes = plan.steps().iter().any(|step| matches!(step, Step::Bake(_)));
        if plan.steps().iter().any(baked) || (!bakes && self.min_bake_ms > Millis(0)) {
            v.add(
                "strategy",
                format!("the policy of this scope asks for bakes of at least {}", self.min_bake_ms),
            );
        }
        if let (Some(most), Some(first)) = (self.max_first_share, plan.first_share())
            && first > most
        {
            v.add(
                "strategy",
                format!("the policy of this scope allows at most {most} at first, not {first}"),
            );
        }
        v.into_result()?;
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::Approvers;
    use crate::strategy::StrategyDraft;

    fn strict() -> RolloutPolicy {
        RolloutPolicy {
            approvals: vec![Level { approvers: Approvers::Role("admin".into()), quorum: 1 }],
            gradual: true,
            judged: true,
            smoke_tested: false,
            min_bake_ms: Millis::minutes(5),
            max_first_share: Share::from_bp(1_000).ok(),
        }
    }

    #[test]
    fn a_scope_that_asks_nothing_allows_live_writes() {
        assert!(RolloutPolicy::default().allows_live());
        assert!(!strict().allows_live());
        let approvals = strict().approvals;
        assert!(!RolloutPolicy { approvals, ..RolloutPolicy::default() }.allows_live());
    }

    #[test]
    fn what_a_draft_lacks_is_named_all_at_once() {
        let faults = strict().admit(&PlanDraft::new(StrategyDraft::Direct), Powers::ALL).expect_err("lacks");
        let fields: Vec<_> = faults.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["strategy", "judge", "strategy", "strategy"]);
    }

    #[test]
    fn the_approvals_of_the_scope_take_the_place_of_those_asked_for() {
        let mut draft = PlanDraft::new(StrategyDraft::Canary { steps: vec![] });
        draft.approvals = vec![Level { approvers: Approvers::Role("viewer".into()), quorum: 1 }];
        let plan = strict().admit(&draft, Powers::ALL).expect("admitted");
        assert_eq!(plan.levels(), strict().approvals);
    }
}
