//! A plan: what was asked for, checked against what the target can do, as a list of steps.

use hotswap_core::{Timestamp, Violations};
use serde::{Deserialize, Serialize};

use crate::approval::{Level, check_levels};
use crate::judge::{Evidence, JudgeConfig, JudgeDraft};
use crate::strategy::{Act, Step, StrategyDraft, compile};
use crate::{Millis, Powers, Share};

/// How a candidate goes away again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackDraft {
    /// At once.
    #[default]
    Instant,
    /// In equal steps down from where it is. A panic is always instant.
    Gradual {
        /// Steps, 2 to 20.
        steps: u32,
        /// Time between two of them, in milliseconds.
        every_ms: Millis,
    },
}

/// A rollout as asked for; anything can stand in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanDraft {
    /// How it gets to everybody.
    pub strategy: StrategyDraft,
    /// What judges it. `None`: nothing does.
    pub judge: Option<JudgeDraft>,
    /// How it goes away again.
    pub rollback: RollbackDraft,
    /// Who must approve it first; at most 3 levels.
    pub approvals: Vec<Level>,
    /// From its start it must have ended after so long, else it is rolled back. `None`: whenever.
    pub deadline_ms: Option<Millis>,
    /// Each act of the target must have been done after so long, else it is rolled back.
    pub act_deadline_ms: Millis,
    /// Whether its commit has no way back, as when a schema is contracted.
    pub commit_is_final: bool,
}

impl PlanDraft {
    /// This strategy with the usual judge, no approvals, and rollback at once.
    pub fn new(strategy: StrategyDraft) -> Self {
        Self {
            strategy,
            judge: Some(JudgeDraft::default()),
            rollback: RollbackDraft::Instant,
            approvals: Vec::new(),
            deadline_ms: None,
            act_deadline_ms: Millis::minutes(10),
            commit_is_final: false,
        }
    }
}

/// A rollout that can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    strategy: String,
    steps: Vec<Step>,
    judge: Option<JudgeConfig>,
    rollback: RollbackDraft,
    levels: Vec<Level>,
    deadline: Option<Millis>,
    act_deadline: Millis,
    /// From this step on there is no way back.
    final_from: Option<usize>,
    /// What holds its authors to its steps.
    #[serde(default)]
    guard: Option<Guard>,
}

/// A policy that holds those who wrote a change to the steps that it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Guard {
    /// Which, and what it asks for.
    pub(crate) by: String,
    /// Bakes and verdicts are among it.
    pub(crate) waits: bool,
}

impl Plan {
    /// Checks what is asked for against what the target can do.
    ///
    /// # Errors
    /// Every fault, each with its field; what the target can't do is one, with the reason.
    pub fn parse(draft: &PlanDraft, powers: Powers) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let steps = match compile(&draft.strategy, powers, draft.judge.is_some()) {
            Ok(steps) => steps,
            Err(faults) => {
                v.nest("strategy", faults);
                Vec::new()
            }
        };
        let count = |is: fn(&Step) -> bool| {
            u32::try_from(steps.iter().filter(|step| is(step)).count()).unwrap_or(u32::MAX)
        };
        let exposures = count(|step| matches!(step, Step::Act(Act::Expose(e)) if e.has_baseline()));
        let judged = count(|step| *step == Step::Judge);
        let judge = draft.judge.as_ref().and_then(|judge| {
            let parsed = JudgeConfig::parse(judge, exposures, judged);
            parsed.map_err(|faults| v.nest("judge", faults)).ok()
        });
        if let Err(faults) = check_levels(&draft.approvals) {
            v.nest("approvals", faults);
        }
        check_spans(&mut v, draft);
        v.into_result()?;
        let final_from = steps.iter().position(|step| match step {
            Step::Act(Act::Expose(exposure)) => !powers.reversible && exposure.reaches_somebody(),
            Step::Act(Act::Commit) => !powers.reversible || draft.commit_is_final,
            _ => false,
        });
        Ok(Self {
            strategy: draft.strategy.name().to_owned(),
            steps,
            judge,
            rollback: draft.rollback,
            levels: draft.approvals.clone(),
            deadline: draft.deadline_ms,
            act_deadline: draft.act_deadline_ms,
            final_from,
            guard: None,
        })
    }

    pub(crate) fn guarded(self, guard: Guard) -> Self {
        Self { guard: Some(guard), ..self }
    }

    /// What holds its authors to its steps.
    pub(crate) fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// The strategy's name, for people.
    pub fn strategy(&self) -> &str {
        &self.strategy
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What judges it.
    pub fn judge(&self) -> Option<&JudgeConfig> {
        self.judge.as_ref()
    }

    /// What is seen of the exposure that a step sets begins so; `None`: nothing judges it.
    pub fn begin_evidence(&self, epoch: u32, since: Timestamp) -> Option<Evidence> {
        let step = self.steps.get(usize::try_from(epoch).unwrap_or(usize::MAX));
        let alone = matches!(step, Some(Step::Act(Act::Expose(exposure))) if !exposure.has_baseline());
        let begin = if alone { Evidence::begin_alone } else { Evidence::begin };
        self.judge.as_ref().map(|_| begin(epoch, since))
    }

    /// How it goes away again.
    pub fn rollback(&self) -> RollbackDraft {
        self.rollback
    }

    /// Who must approve it first.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// From its start it must have ended after so long.
    pub fn deadline(&self) -> Option<Millis> {
        self.deadline
    }

    /// Each act must have been done after so long.
    pub fn act_deadline(&self) -> Millis {
        self.act_deadline
    }

    /// Whether there is no way back once this step has begun.
    pub fn is_final(&self, step: usize) -> bool {
        self.final_from.is_some_and(|from| step >= from)
    }

    /// The shares that it lets out before everybody, and the shortest bake among them.
    pub(crate) fn first_share(&self) -> Option<Share> {
        self.steps.iter().find_map(|step| match step {
            Step::Act(Act::Expose(exposure)) if exposure.reaches_somebody() => exposure.share(),
            _ => None,
        })
    }

    /// Whether many keep the baseline for a while: who gets it first is a cohort, or at most half.
    pub(crate) fn is_gradual(&self) -> bool {
        let first = self.steps.iter().find_map(|step| match step {
            Step::Act(Act::Expose(exposure)) if exposure.reaches_somebody() => Some(exposure),
            _ => None,
        });
        first.is_some_and(|exposure| exposure.share().is_none_or(|share| share <= Share::HALF))
    }
}

fn check_spans(v: &mut Violations, draft: &PlanDraft) {
    let month = Millis::hours(24 * 30);
    if !(Millis(1_000)..=Millis::hours(24)).contains(&draft.act_deadline_ms) {
        v.add("act_deadline_ms", "must be 1 s to 24 h");
    }
    if draft.deadline_ms.is_some_and(|span| span < Millis(1_000) || span > month) {
        v.add("deadline_ms", "must be 1 s to 30 days");
    }
    if let RollbackDraft::Gradual { steps, every_ms } = draft.rollback {
        if !(2..=20).contains(&steps) {
            v.add("rollback.gradual.steps", "must be 2 to 20");
        }
        if every_ms > Millis::hours(1) {
            v.add("rollback.gradual.every_ms", "must be at most 1 h");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Limit;

    #[test]
    fn faults_of_all_parts_come_at_once() {
        let mut draft = PlanDraft::new(StrategyDraft::Canary { steps: vec![] });
        draft.act_deadline_ms = Millis(0);
        draft.rollback = RollbackDraft::Gradual { steps: 1, every_ms: Millis::hours(2) };
        draft.judge = Some(JudgeDraft { errors: Limit::Points(0), min_requests: 0, ..JudgeDraft::default() });
        let faults = Plan::parse(&draft, Powers::SWITCH).expect_err("faults");
        let fields: Vec<_> = faults.iter().map(|v| v.field.as_str()).collect();
        let expected = [
            "strategy.canary",
            "judge.errors",
            "judge.min_requests",
            "act_deadline_ms",
            "rollback.gradual.steps",
            "rollback.gradual.every_ms",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn without_a_way_back_the_first_exposure_is_the_point_of_no_return() {
        let draft = PlanDraft::new(StrategyDraft::Canary { steps: vec![] });
        let plan = Plan::parse(&draft, Powers { reversible: false, ..Powers::ALL }).expect("valid");
        assert_eq!((plan.is_final(0), plan.is_final(1)), (false, true));
        let plan = Plan::parse(&draft, Powers::ALL).expect("valid");
        assert!(!plan.is_final(plan.steps().len() - 1));
        let draft = PlanDraft { commit_is_final: true, ..draft };
        let plan = Plan::parse(&draft, Powers::ALL).expect("valid");
        let commit = plan.steps().len() - 1;
        assert_eq!((plan.is_final(commit - 1), plan.is_final(commit)), (false, true));
    }

    #[test]
    fn the_chance_of_a_false_rollback_is_split_among_all_exposures_that_are_judged() {
        let alpha = |strategy| {
            let plan = Plan::parse(&PlanDraft::new(strategy), Powers::ALL).expect("valid");
            plan.judge().expect("a judge").alpha()
        };
        // Errors and slow requests share it, too.
        let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-9, "{got} {expected}");
        near(alpha(StrategyDraft::Canary { steps: vec![] }), 0.01 / 2.0 / 2.0);
        near(alpha(StrategyDraft::Rolling { batches: 20, bake_ms: Millis(0) }), 0.01 / 19.0 / 2.0);
        near(alpha(StrategyDraft::Direct), 0.01 / 2.0);
    }

    #[test]
    fn a_plan_survives_its_stored_form() {
        let plan = Plan::parse(&PlanDraft::new(StrategyDraft::Canary { steps: vec![] }), Powers::ALL);
        let plan = plan.expect("valid");
        let text = serde_json::to_string(&plan).expect("serializes");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("parses"), plan);
    }
}
