//! Rollout policies: which steps and approvals a change needs in a scope.

use hotswap_core::Violations;
use serde::{Deserialize, Serialize};

use crate::approval::{Level, check_levels};
use crate::judge::{Limit, Undecided};
use crate::plan::Guard;
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

    /// The plan of a rollout in this scope. `name` is the policy's own, for what is said of it.
    ///
    /// # Errors
    /// Every fault of the draft, and everything that the scope asks for and the draft lacks.
    pub fn admit(&self, name: &str, draft: &PlanDraft, powers: Powers) -> Result<Plan, Violations> {
        let mut draft = draft.clone();
        if !self.approvals.is_empty() {
            draft.approvals.clone_from(&self.approvals);
        }
        let plan = Plan::parse(&draft, powers)?;
        let mut v = Violations::new();
        self.ask_for_steps(&mut v, name, &plan);
        if self.judged {
            ask_for_a_judge(&mut v, name, &plan, &draft);
        }
        v.into_result()?;
        Ok(match self.guard(name) {
            Some(guard) => plan.guarded(guard),
            None => plan,
        })
    }

    fn ask_for_steps(&self, v: &mut Violations, name: &str, plan: &Plan) {
        let mut ask = |by: &str, what: String| v.add("strategy", format!("{name} asks by {by} for {what}"));
        if self.gradual && !plan.is_gradual() {
            ask(
                "gradual",
                format!(
                    "at most {} of requests, or a cohort, before everybody: take canary or rolling",
                    Share::HALF
                ),
            );
        }
        let is_smoke = |step: &Step| matches!(step, Step::Act(Act::Check(Check::Smoke(_))));
        if self.smoke_tested && !plan.steps().iter().any(is_smoke) {
            ask("smoke_tested", "smoke tests: take blue_green, with some".to_owned());
        }
        let baked = |step: &Step| matches!(step, Step::Bake(span) if *span < self.min_bake_ms);
        let bakes = plan.steps().iter().any(|step| matches!(step, Step::Bake(_)));
        if plan.steps().iter().any(baked) || (!bakes && self.min_bake_ms > Millis(0)) {
            ask("min_bake", format!("bakes of at least {}", self.min_bake_ms));
        }
        if let (Some(most), Some(first)) = (self.max_first_share, plan.first_share())
            && first > most
        {
            ask("max_first_share_bps", format!("at most {most} at first, not {first}"));
        }
    }

    /// Whoever wrote the change does not pass over what is asked for.
    fn guard(&self, name: &str) -> Option<Guard> {
        let asked = [
            ("gradual", self.gradual),
            ("judged", self.judged),
            ("min_bake", self.min_bake_ms > Millis(0)),
            ("max_first_share_bps", self.max_first_share.is_some()),
        ];
        let fields: Vec<_> = asked.into_iter().filter(|(_, is)| *is).map(|(field, _)| field).collect();
        let waits = self.judged || self.min_bake_ms > Millis(0);
        (!fields.is_empty()).then(|| Guard { by: format!("{name} ({})", fields.join(", ")), waits })
    }
}

/// A judge that may say pass to more than that, in basis points of requests or in percent of the baseline's share, says
/// nothing.
const MOST_POINTS: u32 = 1_000;
const MOST_PERCENT: u32 = 100;
/// Chance of a false pass, in basis points, and requests, at the edge of what is a verdict.
const MOST_FALSE_PROMOTIONS: u32 = 500;
const LEAST_REQUESTS: u64 = 20;

/// A judge must say pass, and its pass must mean something.
fn ask_for_a_judge(v: &mut Violations, name: &str, plan: &Plan, draft: &PlanDraft) {
    let mut ask = |field: &str, what: String| v.add(field, format!("{name} asks by judged for {what}"));
    if !plan.steps().contains(&Step::Judge) {
        ask("judge", "a judge: take canary, with a judge".to_owned());
    }
    let Some(judge) = &draft.judge else { return };
    let weak = |limit: Limit| match limit {
        Limit::Points(bp) => bp > MOST_POINTS,
        Limit::Relative(percent) => percent > MOST_PERCENT,
    };
    let limit = format!("a limit of at most {MOST_POINTS} basis points, or {MOST_PERCENT} %");
    if weak(judge.errors) {
        ask("judge.errors", limit.clone());
    }
    if judge.slow.is_some_and(weak) {
        ask("judge.slow", limit);
    }
    if judge.min_requests < LEAST_REQUESTS {
        ask("judge.min_requests", format!("at least {LEAST_REQUESTS} requests"));
    }
    if judge.false_promotion_bp > MOST_FALSE_PROMOTIONS {
        ask("judge.false_promotion_bp", format!("at most {MOST_FALSE_PROMOTIONS} basis points"));
    }
    if judge.undecided == Undecided::Promote {
        ask("judge.undecided", "a verdict: take pause or rollback".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::Approvers;
    use crate::judge::JudgeDraft;
    use crate::strategy::{CanaryStepDraft, StrategyDraft};

    const NAME: &str = "rolloutPolicies/strict";

    fn faults(policy: &RolloutPolicy, draft: &PlanDraft) -> Vec<(String, String)> {
        let faults = policy.admit(NAME, draft, Powers::ALL).err().unwrap_or_default();
        faults.iter().map(|v| (v.field.clone(), v.message.clone())).collect()
    }

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
        let faults = faults(&strict(), &PlanDraft::new(StrategyDraft::Direct));
        let fields: Vec<_> = faults.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["strategy", "strategy", "strategy", "judge"]);
        for (fault, by) in faults.iter().zip(["gradual", "min_bake", "max_first_share_bps", "judged"]) {
            assert!(fault.1.starts_with(&format!("{NAME} asks by {by} for ")), "{fault:?}");
        }
    }

    #[test]
    fn the_approvals_of_the_scope_take_the_place_of_those_asked_for() {
        let mut draft = PlanDraft::new(StrategyDraft::Canary { steps: vec![] });
        draft.approvals = vec![Level { approvers: Approvers::Role("viewer".into()), quorum: 1 }];
        let plan = strict().admit(NAME, &draft, Powers::ALL).expect("admitted");
        assert_eq!(plan.levels(), strict().approvals);
    }

    #[test]
    fn what_is_asked_for_is_not_met_in_name_alone() {
        let gradual = RolloutPolicy { gradual: true, ..RolloutPolicy::default() };
        let step = |share_bp| CanaryStepDraft { share_bp, bake_ms: Millis(0), gate: false };
        let canary = |share_bp| PlanDraft::new(StrategyDraft::Canary { steps: vec![step(share_bp)] });
        let shadow =
            StrategyDraft::Shadow { share_bp: 1_000, bake_ms: Millis(0), then: crate::ShadowEnd::Ask };
        for (draft, refused) in
            [(PlanDraft::new(shadow), 1), (canary(9_999), 1), (canary(5_001), 1), (canary(5_000), 0)]
        {
            assert_eq!(faults(&gradual, &draft).len(), refused, "{draft:?}");
        }

        let judged = RolloutPolicy { judged: true, ..RolloutPolicy::default() };
        let weak = JudgeDraft {
            errors: Limit::Points(10_000),
            slow: Some(Limit::Relative(101)),
            min_requests: 1,
            false_promotion_bp: 2_000,
            undecided: Undecided::Promote,
            ..JudgeDraft::default()
        };
        let draft = PlanDraft { judge: Some(weak), ..canary(1_000) };
        let fields: Vec<_> = faults(&judged, &draft).into_iter().map(|(field, _)| field).collect();
        let weak = ["errors", "slow", "min_requests", "false_promotion_bp", "undecided"];
        assert_eq!(fields, weak.map(|field| format!("judge.{field}")));
        assert!(faults(&judged, &canary(1_000)).is_empty());
    }
}
