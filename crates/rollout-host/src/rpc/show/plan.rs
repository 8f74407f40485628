//! Plans as the contract has them: the strategy that the steps came of, the judge, the steps themselves.

use hotswap_api::rollout::v1 as wire;
use hotswap_api::rollout::v1::rollout::Strategy;
use hotswap_rollout::judge::{JudgeDraft, Limit, Method, Undecided};
use hotswap_rollout::{
    Act, Approvers, Check, Cohort, CohortKey, CountSource, Exposure, Level, Millis, Plan, RollbackDraft,
    SmokeTest, Step, StickyKey,
};

use super::{duration, share_bps, time};
use crate::StepTimes;

/// The strategy that these steps came of. Each leaves steps of its own kind, so that nothing else need be kept.
pub(super) fn strategy(plan: &Plan) -> Option<Strategy> {
    let steps = plan.steps();
    Some(match plan.strategy() {
        "canary" => Strategy::Canary(wire::Canary { steps: canary_steps(steps) }),
        "blue-green" => Strategy::BlueGreen(wire::BlueGreen {
            smoke_tests: smoke_tests(steps),
            keep: bake(steps),
            gate: is_gated(steps),
        }),
        "rolling" => Strategy::Rolling(wire::Rolling {
            batches: u32::try_from(exposures(steps).count()).unwrap_or(u32::MAX),
            bake: bake(steps),
        }),
        "A/B" => {
            let cohort = exposures(steps).find_map(|exposure| match exposure {
                Exposure::Cohort(cohort) => Some(self::cohort(cohort)),
                _ => None,
            });
            Strategy::AbTest(wire::AbTest { cohort, bake: bake(steps) })
        }
        "shadow" => {
            let share = exposures(steps).find_map(|exposure| match exposure {
                Exposure::Shadow(share) => Some(u32::from(*share)),
                _ => None,
            });
            Strategy::Shadow(wire::Shadow {
                share_bps: share.unwrap_or_default(),
                bake: bake(steps),
                gate: is_gated(steps),
            })
        }
        // "direct", and "live" for a write that was live at once.
        _ => Strategy::Direct(wire::Direct {}),
    })
}

fn exposures(steps: &[Step]) -> impl Iterator<Item = &Exposure> {
    steps.iter().filter_map(|step| match step {
        Step::Act(Act::Expose(exposure)) => Some(exposure),
        _ => None,
    })
}

/// An exposure begins a step; the last one, of everybody, is one only where it bakes.
fn canary_steps(steps: &[Step]) -> Vec<wire::CanaryStep> {
    let mut out: Vec<wire::CanaryStep> = Vec::new();
    for step in steps {
        match (step, out.last_mut()) {
            (Step::Act(Act::Expose(exposure)), _) => {
                out.push(wire::CanaryStep { share_bps: share_bps(exposure), ..wire::CanaryStep::default() });
            }
            (Step::Bake(span), Some(last)) => last.bake = Some(duration(*span)),
            (Step::Gate(_), Some(last)) => last.gate = true,
            _ => {}
        }
    }
    out.retain(|step| step.bake.is_some());
    out
}

fn smoke_tests(steps: &[Step]) -> Vec<wire::SmokeTest> {
    let tests = steps.iter().find_map(|step| match step {
        Step::Act(Act::Check(Check::Smoke(tests))) => Some(tests.as_slice()),
        _ => None,
    });
    tests.unwrap_or_default().iter().map(smoke_test).collect()
}

fn smoke_test(test: &SmokeTest) -> wire::SmokeTest {
    wire::SmokeTest {
        method: test.method.clone(),
        path: test.path.clone(),
        host: test.host.clone().unwrap_or_default(),
        expect_status: test.expect_status.unwrap_or_default().into(),
        timeout_ms: u32::try_from(test.timeout_ms.0).unwrap_or(u32::MAX),
    }
}

fn bake(steps: &[Step]) -> Option<prost_types::Duration> {
    steps.iter().find_map(|step| match step {
        Step::Bake(span) => Some(duration(*span)),
        _ => None,
    })
}

fn is_gated(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::Gate(_)))
}

fn cohort(cohort: &Cohort) -> wire::Cohort {
    use wire::cohort::Key;
    let key = match cohort.key() {
        CohortKey::Header(name) => Key::Header(name.clone()),
        CohortKey::Cookie(name) => Key::Cookie(name.clone()),
        CohortKey::Targeting(name) => Key::TargetingKey(name.clone()),
    };
    wire::Cohort { key: Some(key), values: cohort.values().to_vec() }
}

/// How it is judged, with the defaults that were taken.
pub(super) fn judgement(plan: &Plan, source: &CountSource) -> wire::Judgement {
    let Some(JudgeDraft {
        method,
        errors,
        slow,
        min_requests,
        false_rollback_bp,
        false_promotion_bp,
        panic,
        patience_ms,
        undecided,
    }) = plan.judge().map(|judge| judge.draft())
    else {
        return wire::Judgement { off: true, ..wire::Judgement::default() };
    };
    let inconclusive = match undecided {
        Undecided::Pause => wire::judgement::Inconclusive::Pause,
        Undecided::Promote => wire::judgement::Inconclusive::Promote,
        Undecided::Rollback => wire::judgement::Inconclusive::RollBack,
    };
    wire::Judgement {
        off: false,
        method: Some(judge_method(*method)),
        max_error_rise: Some(limit(*errors)),
        max_slow_rise: slow.map(limit),
        ignore_latency: slow.is_none(),
        min_samples: *min_requests,
        false_rollback_bps: *false_rollback_bp,
        false_promotion_bps: *false_promotion_bp,
        panic_bps: panic.map(|p| p.above_bp).unwrap_or_default(),
        panic_min_samples: panic.map(|p| p.min_requests).unwrap_or_default(),
        no_panic: panic.is_none(),
        patience: Some(duration(*patience_ms)),
        inconclusive: inconclusive.into(),
        source: metric_source(source),
    }
}

fn judge_method(method: Method) -> wire::judgement::Method {
    use wire::judgement::Method as Wire;
    match method {
        Method::Sequential => Wire::Sequential(wire::Sequential {}),
        Method::Threshold { window_ms, failures, successes } => {
            Wire::Threshold(wire::Threshold { window: Some(duration(window_ms)), failures, successes })
        }
        Method::MannWhitney { window_ms, min_windows, tolerance_percent, level_bp } => {
            Wire::MannWhitney(wire::MannWhitney {
                window: Some(duration(window_ms)),
                min_windows,
                tolerance_percent,
                level_bps: level_bp,
            })
        }
    }
}

fn limit(limit: Limit) -> wire::Limit {
    let kind = match limit {
        Limit::Points(bp) => wire::limit::Kind::Bps(bp),
        Limit::Relative(percent) => wire::limit::Kind::Percent(percent),
    };
    wire::Limit { kind: Some(kind) }
}

fn metric_source(source: &CountSource) -> Option<wire::MetricSource> {
    use wire::metric_source::Kind;
    let kind = match source {
        CountSource::Target => return None,
        CountSource::Reported => Kind::Reported(true),
        CountSource::Prometheus(queries) => Kind::Prometheus(wire::PrometheusSource {
            address: queries.address.clone(),
            total_query: queries.total.clone(),
            error_query: queries.errors.clone(),
            slow_query: queries.slow.clone().unwrap_or_default(),
            p95_query: queries.p95.clone().unwrap_or_default(),
        }),
    };
    Some(wire::MetricSource { kind: Some(kind) })
}

pub(super) fn levels(levels: &[Level]) -> Vec<wire::ApprovalLevel> {
    let level = |level: &Level| {
        let (role, principals) = match &level.approvers {
            Approvers::Role(role) => (role.clone(), Vec::new()),
            Approvers::Principals(some) => (String::new(), some.iter().map(|p| p.0.clone()).collect()),
        };
        wire::ApprovalLevel { role, principals, quorum: level.quorum }
    };
    levels.iter().map(level).collect()
}

pub(super) fn sticky(key: &StickyKey) -> wire::StickyKey {
    use wire::sticky_key::Kind;
    let kind = match key {
        StickyKey::Header(name) => Kind::Header(name.clone()),
        StickyKey::Cookie(name) => Kind::Cookie(name.clone()),
        StickyKey::ClientAddress => Kind::ClientAddress(true),
        StickyKey::Targeting => Kind::TargetingKey(true),
    };
    wire::StickyKey { kind: Some(kind) }
}

pub(super) fn rollback(plan: &Plan) -> Option<wire::RollbackPlan> {
    match plan.rollback() {
        RollbackDraft::Instant => None,
        RollbackDraft::Gradual { steps, every_ms } => {
            Some(wire::RollbackPlan { steps, interval: Some(duration(every_ms)) })
        }
    }
}

pub(super) fn span(span: Millis) -> Option<prost_types::Duration> {
    Some(duration(span))
}

/// The steps, with the times at which they were done.
pub(super) fn steps(plan: &Plan, times: &[StepTimes]) -> Vec<wire::Step> {
    let times = times.iter().copied().chain(std::iter::repeat(StepTimes::default()));
    plan.steps().iter().zip(times).map(|(step, times)| shown_step(step, times)).collect()
}

fn shown_step(step: &Step, times: StepTimes) -> wire::Step {
    use wire::step::Kind;
    let kind = match step {
        Step::Act(Act::Stage) => Kind::Stage,
        Step::Act(Act::Check(_)) => Kind::Check,
        Step::Act(Act::Expose(_)) => Kind::Expose,
        Step::Act(Act::Commit) => Kind::Commit,
        Step::Act(Act::Withdraw) => Kind::Withdraw,
        Step::Bake(_) => Kind::Bake,
        Step::Judge => Kind::Judge,
        Step::Gate(_) => Kind::Gate,
    };
    let share = match step {
        Step::Act(Act::Expose(Exposure::Shadow(share))) => u32::from(*share),
        Step::Act(Act::Expose(exposure)) => share_bps(exposure),
        _ => 0,
    };
    wire::Step {
        kind: kind.into(),
        share_bps: share,
        start_time: times.began.map(time),
        end_time: times.ended.map(time),
        message: step.to_string(),
    }
}
