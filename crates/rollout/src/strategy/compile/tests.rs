use super::*;
use crate::CohortKey;

fn steps(draft: &StrategyDraft) -> Vec<String> {
    let steps = compile(draft, Powers::ALL, true).expect("valid");
    steps.iter().map(ToString::to_string).collect()
}

fn faults(draft: &StrategyDraft, powers: Powers) -> Vec<(String, String)> {
    let faults = compile(draft, powers, true).expect_err("faults");
    faults.iter().map(|v| (v.field.clone(), v.message.clone())).collect()
}

#[test]
fn a_canary_without_steps_goes_by_10_50_and_100_percent() {
    let expected = [
        "making the candidate ready",
        "exposing the candidate to 10 % of requests",
        "baking for 5 min",
        "waiting for the judge",
        "exposing the candidate to 50 % of requests",
        "baking for 5 min",
        "waiting for the judge",
        "exposing the candidate to everybody",
        "baking for 5 min",
        "making the candidate the new baseline",
    ];
    assert_eq!(steps(&StrategyDraft::Canary { steps: vec![] }), expected);
}

#[test]
fn blue_green_tests_before_it_switches_and_keeps_the_baseline() {
    let draft = StrategyDraft::BlueGreen {
        smoke_tests: vec![SmokeTest::get("/login")],
        gate: true,
        keep_ms: Millis::minutes(30),
    };
    let expected = [
        "making the candidate ready",
        "smoke tests (GET /login)",
        "waiting for a person: ready to switch",
        "exposing the candidate to everybody",
        "baking for 30 min",
        "making the candidate the new baseline",
    ];
    assert_eq!(steps(&draft), expected);
}

#[test]
fn rolling_looks_at_the_health_after_each_batch() {
    let draft = StrategyDraft::Rolling { batches: 3, bake_ms: Millis(1_000) };
    let shown = steps(&draft);
    assert_eq!(shown.len(), 2 + 3 * 3);
    assert_eq!(shown[1], "exposing the candidate to 33.33 % of requests");
    assert_eq!(shown[3], "a look at the health");
    assert_eq!(shown[7], "exposing the candidate to everybody");
}

#[test]
fn a_shadow_is_taken_away_or_asked_about() {
    let draft = |then| StrategyDraft::Shadow { share_bp: 1_000, bake_ms: Millis(1_000), then };
    let last = |draft: &StrategyDraft| steps(draft).pop().expect("steps");
    assert_eq!(last(&draft(ShadowEnd::Withdraw)), "taking the candidate away");
    assert_eq!(last(&draft(ShadowEnd::Ask)), "making the candidate the new baseline");
}

#[test]
fn what_a_target_cannot_do_is_refused_with_reason_and_field() {
    let canary = StrategyDraft::Canary { steps: vec![] };
    let expected = "a canary rollout needs a target that can expose the candidate to a share of requests; \
                    this one can't: take direct or blue_green";
    assert_eq!(faults(&canary, Powers::SWITCH), [("canary".into(), expected.into())]);
    let cohort = CohortDraft { key: CohortKey::Cookie("beta".into()), values: vec!["1".into()] };
    let ab = StrategyDraft::Ab { cohort, bake_ms: Millis(0) };
    let fields = |draft: &StrategyDraft, powers| -> Vec<String> {
        faults(draft, powers).into_iter().map(|f| f.0).collect()
    };
    assert_eq!(fields(&ab, Powers { reversible: false, ..Powers::SWITCH }), ["ab", "ab"]);
    let shadow = StrategyDraft::Shadow { share_bp: 1, bake_ms: Millis(0), then: ShadowEnd::Ask };
    assert_eq!(fields(&shadow, Powers { switch: false, ..Powers::ALL }), ["shadow.then"]);
    let weight_only = Powers { switch: false, ..Powers::ALL };
    assert_eq!(fields(&StrategyDraft::Direct, weight_only), ["direct"]);
}

#[test]
fn all_faults_come_at_once() {
    let step = |share_bp, bake_ms| CanaryStepDraft { share_bp, bake_ms: Millis(bake_ms), gate: false };
    let draft =
        StrategyDraft::Canary { steps: vec![step(0, 1), step(20_000, 1), step(10, u64::MAX), step(10, 1)] };
    let fields: Vec<_> = faults(&draft, Powers::SWITCH).into_iter().map(|f| f.0).collect();
    let expected = [
        "canary",
        "canary.steps[0].share_bp",
        "canary.steps[1].share_bp",
        "canary.steps[2].bake_ms",
        "canary.steps[3].share_bp",
    ];
    assert_eq!(fields, expected);
}
