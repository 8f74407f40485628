//! Strategies as the contract has them.

use hotswap_api::rollout::v1 as wire;
use hotswap_api::rollout::v1::rollout::Strategy;
use hotswap_core::Violations;
use hotswap_rollout::{
    CanaryStepDraft, CohortDraft, CohortKey, Millis, RollbackDraft, ShadowEnd, SmokeTest, StickyKey,
    StrategyDraft,
};

use super::spans::{chosen, millis, or};

/// The name of the strategy's field in the contract.
pub(in crate::rpc) fn field(strategy: &StrategyDraft) -> &'static str {
    match strategy {
        StrategyDraft::Direct => "direct",
        StrategyDraft::Canary { .. } => "canary",
        StrategyDraft::BlueGreen { .. } => "blue_green",
        StrategyDraft::Rolling { .. } => "rolling",
        StrategyDraft::Ab { .. } => "ab_test",
        StrategyDraft::Shadow { .. } => "shadow",
    }
}

/// The strategy; faults are of the rollout's fields.
pub(super) fn strategy(v: &mut Violations, strategy: Option<&Strategy>) -> StrategyDraft {
    let minutes = Millis::minutes;
    match strategy {
        None => {
            v.add("strategy", "must be one of direct, canary, blue_green, rolling, ab_test and shadow");
            StrategyDraft::Direct
        }
        Some(Strategy::Direct(wire::Direct {})) => StrategyDraft::Direct,
        Some(Strategy::Canary(canary)) => {
            let steps = canary.steps.iter().enumerate().map(|(i, step)| CanaryStepDraft {
                share_bp: step.share_bps,
                bake_ms: millis(v, &format!("canary.steps[{i}].bake"), step.bake.as_ref(), minutes(5)),
                gate: step.gate,
            });
            StrategyDraft::Canary { steps: steps.collect() }
        }
        Some(Strategy::BlueGreen(m)) => StrategyDraft::BlueGreen {
            smoke_tests: m.smoke_tests.iter().map(smoke_test).collect(),
            gate: m.gate,
            keep_ms: millis(v, "blue_green.keep", m.keep.as_ref(), minutes(10)),
        },
        Some(Strategy::Rolling(m)) => StrategyDraft::Rolling {
            batches: or(m.batches, 4),
            bake_ms: millis(v, "rolling.bake", m.bake.as_ref(), minutes(1)),
        },
        Some(Strategy::AbTest(m)) => StrategyDraft::Ab {
            bake_ms: millis(v, "ab_test.bake", m.bake.as_ref(), Millis(0)),
            cohort: cohort(v, m.cohort.as_ref()),
        },
        Some(Strategy::Shadow(m)) => StrategyDraft::Shadow {
            share_bp: or(m.share_bps, 1_000),
            bake_ms: millis(v, "shadow.bake", m.bake.as_ref(), minutes(10)),
            then: if m.gate { ShadowEnd::Ask } else { ShadowEnd::Withdraw },
        },
    }
}

fn smoke_test(m: &wire::SmokeTest) -> SmokeTest {
    SmokeTest {
        method: if m.method.is_empty() { "GET".to_owned() } else { m.method.clone() },
        path: m.path.clone(),
        host: Some(m.host.clone()).filter(|host| !host.is_empty()),
        // A status that no number of 16 bits holds is out of range, too.
        expect_status: (m.expect_status != 0).then(|| u16::try_from(m.expect_status).unwrap_or(u16::MAX)),
        timeout_ms: Millis(or(m.timeout_ms, 5_000).into()),
    }
}

fn cohort(v: &mut Violations, cohort: Option<&wire::Cohort>) -> CohortDraft {
    use wire::cohort::Key;
    // Faults that are told here must not be told once more by the engine.
    let stand_in = || CohortDraft { key: CohortKey::Cookie("cohort".into()), values: vec!["1".into()] };
    let Some(m) = cohort else {
        v.add("ab_test.cohort", "must be set");
        return stand_in();
    };
    let key = match &m.key {
        Some(Key::Header(name)) => CohortKey::Header(name.clone()),
        Some(Key::Cookie(name)) => CohortKey::Cookie(name.clone()),
        Some(Key::TargetingKey(name)) => CohortKey::Targeting(name.clone()),
        None => {
            v.add("ab_test.cohort", "must have one of header, cookie and targeting_key");
            stand_in().key
        }
    };
    CohortDraft { key, values: m.values.clone() }
}

/// The part of a request that decides its arm.
pub(super) fn sticky(v: &mut Violations, key: Option<&wire::StickyKey>) -> Option<StickyKey> {
    use wire::sticky_key::Kind;
    let parsed = match &key?.kind {
        Some(Kind::Header(name)) => StickyKey::Header(name.clone()).parse(),
        Some(Kind::Cookie(name)) => StickyKey::Cookie(name.clone()).parse(),
        Some(Kind::ClientAddress(given)) => {
            chosen(v, "sticky_key.client_address", *given);
            Ok(StickyKey::ClientAddress)
        }
        Some(Kind::TargetingKey(given)) => {
            chosen(v, "sticky_key.targeting_key", *given);
            Ok(StickyKey::Targeting)
        }
        None => {
            let choices = "must have one of header, cookie, client_address and targeting_key";
            Err(Violations::one("", choices))
        }
    };
    parsed.map_err(|faults| v.nest("sticky_key", faults)).ok()
}

/// How a candidate goes away again.
pub(super) fn rollback(v: &mut Violations, plan: Option<&wire::RollbackPlan>) -> RollbackDraft {
    let Some(plan) = plan else { return RollbackDraft::Instant };
    let every_ms = millis(v, "rollback.interval", plan.interval.as_ref(), Millis(10_000));
    match plan.steps {
        0 => {
            if plan.interval.is_some() {
                v.add("rollback.interval", "needs rollback.steps: at once there is nothing between steps");
            }
            RollbackDraft::Instant
        }
        steps => RollbackDraft::Gradual { steps, every_ms },
    }
}
