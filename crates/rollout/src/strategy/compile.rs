//! From a strategy to its steps, with every fault named.

use hotswap_core::Violations;

use super::{Act, CanaryStepDraft, Check, ShadowEnd, Step, StrategyDraft};
use crate::{Cohort, CohortDraft, Exposure, Millis, Powers, Share, SmokeTest};

/// Longest bake or keeping of a baseline: 30 days.
const MAX_SPAN: Millis = Millis::hours(24 * 30);

/// The steps of a strategy on a target with these powers. `judged`: there is a judge.
pub(crate) fn compile(draft: &StrategyDraft, powers: Powers, judged: bool) -> Result<Vec<Step>, Violations> {
    let mut v = Violations::new();
    refuse_what_it_cannot(&mut v, draft, powers);
    let middle = match draft {
        StrategyDraft::Direct => vec![expose(Exposure::Full)],
        StrategyDraft::Canary { steps } => canary(&mut v, steps, judged),
        StrategyDraft::BlueGreen { smoke_tests, gate, keep_ms } => {
            blue_green(&mut v, smoke_tests, *gate, *keep_ms)
        }
        StrategyDraft::Rolling { batches, bake_ms } => rolling(&mut v, *batches, *bake_ms),
        StrategyDraft::Ab { cohort, bake_ms } => ab(&mut v, cohort, *bake_ms),
        StrategyDraft::Shadow { share_bp, bake_ms, then } => {
            shadow(&mut v, *share_bp, *bake_ms, *then, judged)
        }
    };
    v.into_result()?;
    let end = match draft {
        StrategyDraft::Shadow { then: ShadowEnd::Withdraw, .. } => Act::Withdraw,
        _ => Act::Commit,
    };
    Ok([Step::Act(Act::Stage)].into_iter().chain(middle).chain([Step::Act(end)]).collect())
}

/// What the target can't do, with the reason.
fn refuse_what_it_cannot(v: &mut Violations, draft: &StrategyDraft, powers: Powers) {
    let name = draft.name();
    let mut need = |has: bool, field: &str, what: &str, instead: &str| {
        if !has {
            v.add(
                field,
                format!("a {name} rollout needs a target that can {what}; this one can't: {instead}"),
            );
        }
    };
    let by_share = "expose the candidate to a share of requests";
    let at_once = "switch everybody at once";
    match draft {
        StrategyDraft::Direct => need(powers.switch, "direct", at_once, "take canary or rolling"),
        StrategyDraft::Canary { .. } => need(powers.weight, "canary", by_share, "take direct or blue_green"),
        StrategyDraft::BlueGreen { .. } => {
            need(powers.switch, "blue_green", at_once, "take canary or rolling");
            need(powers.reversible, "blue_green", "take an exposure back", "there is no baseline to keep");
        }
        StrategyDraft::Rolling { .. } => {
            need(powers.weight, "rolling", by_share, "take direct or blue_green")
        }
        StrategyDraft::Ab { .. } => {
            need(powers.cohort, "ab", "tell cohorts apart", "take canary");
            need(powers.reversible, "ab", "take an exposure back", "a comparison must be able to end");
        }
        StrategyDraft::Shadow { then, .. } => {
            need(powers.shadow, "shadow", "send copies of requests to the candidate", "take canary");
            if *then == ShadowEnd::Ask {
                need(
                    powers.switch,
                    "shadow.then",
                    at_once,
                    "take withdraw, and roll out by canary afterwards",
                );
            }
        }
    }
}

fn canary(v: &mut Violations, drafts: &[CanaryStepDraft], judged: bool) -> Vec<Step> {
    let usual = [1_000, 5_000, 10_000].map(|share_bp| CanaryStepDraft {
        share_bp,
        bake_ms: Millis::minutes(5),
        gate: false,
    });
    let drafts = if drafts.is_empty() { &usual } else { drafts };
    if drafts.len() > 50 {
        v.add("canary.steps", "must have at most 50 entries");
    }
    let (mut steps, mut before) = (Vec::new(), Share::NONE);
    for (i, draft) in drafts.iter().enumerate() {
        let field = |name: &str| format!("canary.steps[{i}].{name}");
        let Some(share) = v.take(&field("share_bp"), Share::from_bp(draft.share_bp)) else { continue };
        if share <= before {
            v.add(field("share_bp"), format!("must be more than the step before it ({before})"));
        }
        span(v, &field("bake_ms"), draft.bake_ms);
        before = share;
        steps.extend([expose(Exposure::of(share)), Step::Bake(draft.bake_ms)]);
        // With everybody on the candidate there is no baseline beside it to compare with.
        if judged && share < Share::ALL {
            steps.push(Step::Judge);
        }
        if draft.gate {
            steps.push(Step::Gate(format!("the step at {share} asks for it")));
        }
    }
    if before < Share::ALL {
        steps.push(expose(Exposure::Full));
    }
    steps
}

fn blue_green(v: &mut Violations, tests: &[SmokeTest], gate: bool, keep: Millis) -> Vec<Step> {
    if tests.len() > 20 {
        v.add("blue_green.smoke_tests", "must have at most 20 entries");
    }
    for (i, test) in tests.iter().enumerate() {
        test.check(v, &format!("blue_green.smoke_tests[{i}]"));
    }
    span(v, "blue_green.keep_ms", keep);
    let check = if tests.is_empty() { Check::Health } else { Check::Smoke(tests.to_vec()) };
    let mut steps = vec![Step::Act(Act::Check(check))];
    if gate {
        steps.push(Step::Gate("ready to switch".into()));
    }
    steps.extend([expose(Exposure::Full), Step::Bake(keep)]);
    steps
}

fn rolling(v: &mut Violations, batches: u32, bake: Millis) -> Vec<Step> {
    if !(2..=100).contains(&batches) {
        v.add("rolling.batches", "must be 2 to 100");
    }
    span(v, "rolling.bake_ms", bake);
    let batches = batches.min(100);
    let batch = |n| {
        let exposed = expose(Exposure::of(Share::ALL.part(n, batches)));
        [exposed, Step::Bake(bake), Step::Act(Act::Check(Check::Health))]
    };
    (1..=batches).flat_map(batch).collect()
}

fn ab(v: &mut Violations, draft: &CohortDraft, bake: Millis) -> Vec<Step> {
    span(v, "ab.bake_ms", bake);
    match Cohort::parse(draft) {
        Ok(cohort) => vec![
            expose(Exposure::Cohort(cohort)),
            Step::Bake(bake),
            Step::Gate("promote gives the candidate to everybody, rollback takes it away".into()),
            expose(Exposure::Full),
        ],
        Err(faults) => {
            v.nest("ab.cohort", faults);
            Vec::new()
        }
    }
}

fn shadow(v: &mut Violations, share_bp: u32, bake: Millis, then: ShadowEnd, judged: bool) -> Vec<Step> {
    span(v, "shadow.bake_ms", bake);
    let share = v.take("shadow.share_bp", Share::from_bp(share_bp)).unwrap_or_default();
    if share_bp == 0 {
        v.add("shadow.share_bp", "must be 1 to 10,000 basis points");
    }
    let mut steps = vec![expose(Exposure::Shadow(share)), Step::Bake(bake)];
    if judged {
        steps.push(Step::Judge);
    }
    if then == ShadowEnd::Ask {
        let ask = "compared; promote gives the candidate to everybody".to_owned();
        steps.extend([Step::Gate(ask), expose(Exposure::Full)]);
    }
    steps
}

fn expose(exposure: Exposure) -> Step {
    Step::Act(Act::Expose(exposure))
}

fn span(v: &mut Violations, field: &str, span: Millis) {
    if span > MAX_SPAN {
        v.add(field, "must be at most 30 days");
    }
}

#[cfg(test)]
mod tests;
