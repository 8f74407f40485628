//! Every field of what is shown, and the way back of what was asked for.

use hotswap_api::rollout::v1 as wire;
use hotswap_api::rollout::v1::rollout::{State as Shown, Strategy};
use hotswap_core::Timestamp;
use hotswap_rollout::judge::{Evidence, Verdict};
use hotswap_rollout::{
    Act, Content, ContentHash, Ended, Exposure, Frozen, Outcome, Paused, Pending, Plan, Position, Powers,
    Principal, Reason, Record, Rollout, RolloutId, Share, State, UndoAct, UndoPosition, Undoing,
};
use uuid::Uuid;

use super::*;
use crate::rpc::draft;
use crate::{PendingApproval, StepTimes, View};

fn s(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

fn when(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn content() -> Content {
    Content { hash: ContentHash("h1".into()), authors: vec![Principal("ann".into())] }
}

fn asked(strategy: Strategy) -> wire::Rollout {
    wire::Rollout {
        subject: "routes/shop".into(),
        candidate_revision: 7,
        strategy: Some(strategy),
        ..wire::Rollout::default()
    }
}

fn canary() -> wire::Rollout {
    let step = |share_bps, gate| wire::CanaryStep { share_bps, bake: s(60), gate };
    asked(Strategy::Canary(wire::Canary { steps: vec![step(1_000, false), step(5_000, true)] }))
}

/// All that a rollout is made of, without what only belongs to the call.
fn same(asked: &wire::Rollout) -> impl PartialEq + std::fmt::Debug {
    let d = draft::rollout(asked).expect("valid");
    (d.subject, d.from, d.to, d.plan, d.sticky, d.source, d.reason)
}

/// What was asked for, begun.
fn view(asked: &wire::Rollout) -> View {
    let draft = draft::rollout(asked).expect("valid");
    let plan = Plan::parse(&draft.plan, Powers::ALL).expect("valid");
    let rollout = Rollout {
        id: RolloutId(Uuid::from_u128(9)),
        domain: "route".into(),
        subject: draft.subject,
        from: draft.from,
        to: draft.to,
        author: Principal("ann".into()),
        created_at: at(1),
        plan,
        sticky: draft.sticky,
        source: draft.source,
        reason: draft.reason,
    };
    View {
        record: Record::begin(&rollout.plan, content(), at(1)),
        strategy: rollout.plan.strategy().to_owned(),
        rollout,
        last_event: 3,
        step: 0,
        step_times: vec![StepTimes { began: Some(at(2)), ended: None }],
        verdict: None,
        updated_at: at(2),
        ended_at: None,
    }
}

/// The canary, so far.
fn running(step: usize, position: Position) -> View {
    let mut view = view(&canary());
    let State::Running(running) = &mut view.record.state else { panic!("runs") };
    (running.step, running.position) = (step, position);
    running.exposure = Exposure::Weight(Share::from_bp(1_000).expect("valid"));
    view.step = step;
    view
}

fn told(view: &View) -> (Shown, String) {
    let shown = rollout(view);
    (shown.state(), shown.state_message)
}

#[test]
fn what_was_asked_for_is_shown_with_its_defaults_and_can_be_asked_for_again() {
    let full = wire::Rollout {
        baseline_revision: 3,
        judgement: Some(wire::Judgement { min_samples: 5, ..Default::default() }),
        deadline: s(3_600),
        act_deadline: s(30),
        reason: "faster".into(),
        sticky_key: Some(wire::StickyKey { kind: Some(wire::sticky_key::Kind::Cookie("sid".into())) }),
        rollback: Some(wire::RollbackPlan { steps: 4, interval: s(2) }),
        approval_levels: vec![
            wire::ApprovalLevel { role: "operator".into(), quorum: 2, ..Default::default() },
            wire::ApprovalLevel { principals: vec!["bob".into()], quorum: 1, ..Default::default() },
        ],
        ..canary()
    };
    let shown = rollout(&view(&full));
    assert_eq!(
        (shown.name.as_str(), shown.actor.as_str()),
        (&*format!("rollouts/{}", Uuid::from_u128(9)), "ann")
    );
    assert_eq!((shown.create_time, shown.update_time, shown.end_time), (when(1), when(2), None));
    let judge = shown.judgement.clone().expect("a judge");
    assert_eq!((judge.min_samples, judge.panic_bps, judge.patience), (5, 5_000, s(1_800)));
    assert_eq!(shown.strategy, full.strategy);
    assert_eq!((shown.deadline, shown.act_deadline), (full.deadline, full.act_deadline));
    assert_eq!((&shown.sticky_key, &shown.rollback), (&full.sticky_key, &full.rollback));
    assert_eq!(shown.approval_levels, full.approval_levels);
    assert_eq!((shown.baseline_revision, shown.candidate_revision), (3, 7));
    assert_eq!(same(&shown), same(&full));
}

#[test]
fn every_strategy_is_found_again_in_its_steps() {
    let test = wire::SmokeTest {
        method: "HEAD".into(),
        path: "/a".into(),
        host: "a.example".into(),
        expect_status: 204,
        timeout_ms: 50,
    };
    let cohort = |key| Some(wire::Cohort { key: Some(key), values: vec!["1".into(), "2".into()] });
    let last = wire::CanaryStep { share_bps: 10_000, bake: s(1), gate: false };
    for (strategy, name) in [
        (Strategy::Direct(wire::Direct {}), "direct"),
        (Strategy::Canary(wire::Canary { steps: vec![last] }), "canary"),
        (canary().strategy.expect("set"), "canary"),
        (
            Strategy::BlueGreen(wire::BlueGreen { smoke_tests: vec![test], keep: s(0), gate: true }),
            "blue-green",
        ),
        (Strategy::BlueGreen(wire::BlueGreen { smoke_tests: vec![], keep: s(9), gate: false }), "blue-green"),
        (Strategy::Rolling(wire::Rolling { batches: 3, bake: s(5) }), "rolling"),
        (
            Strategy::AbTest(wire::AbTest {
                cohort: cohort(wire::cohort::Key::Header("x-beta".into())),
                bake: s(0),
            }),
            "A/B",
        ),
        (
            Strategy::AbTest(wire::AbTest {
                cohort: cohort(wire::cohort::Key::Cookie("b".into())),
                bake: s(1),
            }),
            "A/B",
        ),
        (
            Strategy::AbTest(wire::AbTest {
                cohort: cohort(wire::cohort::Key::TargetingKey("t".into())),
                bake: s(1),
            }),
            "A/B",
        ),
        (Strategy::Shadow(wire::Shadow { share_bps: 50, bake: s(5), gate: false }), "shadow"),
        (Strategy::Shadow(wire::Shadow { share_bps: 50, bake: s(5), gate: true }), "shadow"),
    ] {
        let shown = rollout(&view(&asked(strategy.clone())));
        assert_eq!((shown.strategy, shown.strategy_name.as_str()), (Some(strategy), name));
    }
    let usual = rollout(&view(&asked(Strategy::Canary(wire::Canary::default()))));
    let Some(Strategy::Canary(canary)) = usual.strategy else { panic!("a canary") };
    let shares: Vec<_> = canary.steps.iter().map(|step| step.share_bps).collect();
    assert_eq!(shares, [1_000, 5_000, 10_000]);
}

#[test]
fn every_method_and_source_of_a_judge_is_shown_as_it_was_asked_for() {
    use wire::judgement::Method;
    let round = |judgement: wire::Judgement| {
        let given = wire::Rollout { judgement: Some(judgement), ..canary() };
        let shown = rollout(&view(&given));
        assert_eq!(same(&shown), same(&given));
        shown.judgement.expect("set")
    };
    let windows = wire::Threshold { window: s(3), failures: 4, successes: 5 };
    let ranks = wire::MannWhitney { window: s(3), min_windows: 6, tolerance_percent: 7, level_bps: 8 };
    for method in
        [Method::Sequential(wire::Sequential {}), Method::Threshold(windows), Method::MannWhitney(ranks)]
    {
        let shown = round(wire::Judgement { method: Some(method), ..Default::default() });
        assert_eq!(shown.method, Some(method));
    }
    let limit = |kind| Some(wire::Limit { kind: Some(kind) });
    let shown = round(wire::Judgement {
        max_error_rise: limit(wire::limit::Kind::Bps(1)),
        max_slow_rise: limit(wire::limit::Kind::Percent(2)),
        inconclusive: wire::judgement::Inconclusive::Promote.into(),
        false_rollback_bps: 3,
        false_promotion_bps: 4,
        panic_min_samples: 5,
        ..Default::default()
    });
    assert_eq!(shown.max_error_rise, limit(wire::limit::Kind::Bps(1)));
    assert_eq!(shown.max_slow_rise, limit(wire::limit::Kind::Percent(2)));
    assert_eq!((shown.false_rollback_bps, shown.false_promotion_bps, shown.panic_min_samples), (3, 4, 5));
    let off = wire::Judgement { off: true, ..Default::default() };
    assert_eq!(round(off.clone()), off);
    let calm = round(wire::Judgement {
        ignore_latency: true,
        no_panic: true,
        inconclusive: wire::judgement::Inconclusive::RollBack.into(),
        source: Some(wire::MetricSource { kind: Some(wire::metric_source::Kind::Reported(true)) }),
        ..Default::default()
    });
    assert!(calm.ignore_latency && calm.no_panic && calm.source.is_some());
    let queries = wire::PrometheusSource {
        address: "http://a:9090".into(),
        total_query: "t".into(),
        error_query: "e".into(),
        slow_query: "s".into(),
        p95_query: "p".into(),
    };
    let source = Some(wire::MetricSource { kind: Some(wire::metric_source::Kind::Prometheus(queries)) });
    let shown = round(wire::Judgement { source: source.clone(), ..Default::default() });
    assert_eq!(shown.source, source);
}

#[test]
fn every_step_is_shown_with_its_kind_share_and_times() {
    use wire::step::Kind;
    let shown = rollout(&view(&canary()));
    let kinds: Vec<_> = shown.steps.iter().map(|step| (step.kind(), step.share_bps)).collect();
    let want = [
        (Kind::Stage, 0),
        (Kind::Expose, 1_000),
        (Kind::Bake, 0),
        (Kind::Judge, 0),
        (Kind::Expose, 5_000),
        (Kind::Bake, 0),
        (Kind::Judge, 0),
        (Kind::Gate, 0),
        (Kind::Expose, 10_000),
        (Kind::Commit, 0),
    ];
    assert_eq!(kinds, want);
    assert_eq!((shown.steps[0].start_time, shown.steps[0].end_time), (when(2), None));
    assert_eq!((shown.steps[1].start_time, shown.steps[2].message.as_str()), (None, "baking for 1 min"));
    let shadow = wire::Shadow { share_bps: 50, bake: s(5), gate: false };
    let shown = rollout(&view(&asked(Strategy::Shadow(shadow))));
    assert_eq!((shown.steps[1].kind(), shown.steps[1].share_bps), (Kind::Expose, 50));
    assert_eq!(shown.steps.last().map(wire::Step::kind), Some(Kind::Withdraw));
    let tested = wire::BlueGreen::default();
    assert_eq!(rollout(&view(&asked(Strategy::BlueGreen(tested)))).steps[1].kind(), Kind::Check);
}

#[test]
fn where_a_rollout_is_stands_in_its_state_and_in_words() {
    assert_eq!(
        told(&running(0, Position::Ready)),
        (Shown::Validating, "step 1 of 10: making the candidate ready is next".into())
    );
    let acting = |attempt| {
        let act = Act::Expose(Exposure::Weight(Share::from_bp(5_000).expect("valid")));
        Position::Acting(Pending { attempt, ..Pending::new(act, 1, at(1)) })
    };
    let words = "step 5 of 10: exposing the candidate to 50 % of requests";
    let shown = rollout(&running(4, acting(1)));
    assert_eq!((shown.state(), shown.state_message.as_str()), (Shown::Progressing, words));
    // What is just being set may be out already.
    assert_eq!((shown.share_bps, shown.exposure.as_str()), (5_000, "50 % of requests"));
    assert_eq!(told(&running(4, acting(3))).1, format!("{words}, try 3"));
    let Position::Acting(pending) = acting(1) else { panic!("acts") };
    let held = Position::Acting(Pending { held: true, ..pending });
    assert_eq!(told(&running(4, held)).1, format!("{words}, held up"));
    let baking = rollout(&running(2, Position::Baking { until: at(90) }));
    assert_eq!((baking.step_end_time, baking.current_step), (when(90), 2));
    assert_eq!(baking.state_message, "step 3 of 10: baking for 1 min");
    let judging = rollout(&running(3, Position::Judging { until: at(99) }));
    assert_eq!((judging.step_end_time, judging.share_bps), (when(99), 1_000));
    let gated = rollout(&running(7, Position::Gated { since: at(5) }));
    assert_eq!(gated.state_message, "step 8 of 10: waiting for a person: the step at 50 % asks for it");
    assert_eq!((gated.step_end_time, gated.content_hash.as_str()), (None, "h1"));
    let mut paused = running(2, Position::Baking { until: at(90) });
    let State::Running(inner) = &mut paused.record.state else { panic!("runs") };
    inner.paused = Some(Paused { by: Some(Principal("bob".into())), why: "lunch".into(), since: at(3) });
    let words = "paused by bob: lunch; step 3 of 10: baking for 1 min".to_owned();
    assert_eq!(told(&paused), (Shown::Paused, words));
}

#[test]
fn a_rollout_that_waits_for_approval_says_by_whom() {
    let level = |role: &str| wire::ApprovalLevel { role: role.into(), quorum: 2, ..Default::default() };
    let levels = vec![level("operator"), level("admin")];
    let view = view(&wire::Rollout { approval_levels: levels, ..canary() });
    let words = "waiting for approval at level 1 of 2: 0 of 2 by role operator".to_owned();
    assert_eq!(told(&view), (Shown::AwaitingApproval, words));
    assert_eq!(rollout(&view).content_hash, "h1");
    let waits = PendingApproval {
        view,
        level: 1,
        approved_by: vec!["bob".into()],
        quorum: 2,
        content_hash: "h1".into(),
        expires_at: at(9),
    };
    let shown = pending(&waits);
    assert_eq!((shown.level, shown.quorum, shown.content_hash.as_str()), (1, 2, "h1"));
    assert_eq!((shown.approved_by, shown.expire_time), (vec!["bob".to_owned()], when(9)));
    assert_eq!(shown.rollout.map(|r| r.subject), Some("routes/shop".into()));
}

#[test]
fn the_way_back_says_why() {
    let mut view = running(2, Position::Baking { until: at(90) });
    let State::Running(interrupted) = view.record.state.clone() else { panic!("runs") };
    let reason = || Reason::Failed("fail: errors 9 %".into());
    let half = Exposure::Weight(Share::from_bp(500).expect("valid"));
    let pending = |act| UndoPosition::Acting(Pending::new(act, 2, at(5)));
    for (position, stuck, words) in [
        (pending(UndoAct::Lower(half.clone())), None, "lowering to 5 % of requests: fail: errors 9 %"),
        (
            UndoPosition::Resting { until: at(9) },
            None,
            "at 5 % of requests, on the way down: fail: errors 9 %",
        ),
        (
            pending(UndoAct::Withdraw),
            Some(at(8)),
            "taking the candidate away: fail: errors 9 %; it is stuck, and tried on",
        ),
    ] {
        let ceiling = half.clone();
        view.record.state = State::Undoing(Undoing {
            reason: reason(),
            since: at(5),
            ceiling,
            left: vec![],
            position,
            stuck,
        });
        assert_eq!(told(&view), (Shown::RollingBack, words.to_owned()));
        let shown = rollout(&view);
        assert_eq!(
            (shown.verdict(), shown.verdict_message.as_str()),
            (wire::Verdict::Fail, "fail: errors 9 %")
        );
        assert_eq!(shown.share_bps, 500);
    }
    view.record.state = State::Frozen(Frozen { reason: Reason::Deadline, since: at(5), interrupted });
    let words = "frozen: it can't be taken back, and it should be: its deadline has passed".to_owned();
    assert_eq!(told(&view), (Shown::Frozen, words));
}

#[test]
fn every_end_says_why() {
    let mut view = running(2, Position::Baking { until: at(90) });
    view.ended_at = Some(at(20));
    for (outcome, state, words, verdict) in [
        (Outcome::Promoted, Shown::Promoted, "promoted: everybody has the candidate", wire::Verdict::Pass),
        (Outcome::Compared, Shown::RolledBack, "compared, and taken away as planned", wire::Verdict::Pass),
        (
            Outcome::RolledBack(Reason::Panic("panic: 9 of 9".into())),
            Shown::RolledBack,
            "rolled back: panic: 9 of 9",
            wire::Verdict::Panic,
        ),
        (
            Outcome::NotStarted(Reason::Rejected { by: Principal("bob".into()), why: "no".into() }),
            Shown::Rejected,
            "not started: bob rejected it: no",
            wire::Verdict::Pass,
        ),
        (
            Outcome::RolledBack(Reason::Undecided("no data".into())),
            Shown::RolledBack,
            "rolled back: the judge could not decide in time: no data",
            wire::Verdict::Inconclusive,
        ),
    ] {
        view.record.state = State::Ended(Ended { at: at(20), outcome });
        view.verdict = Some((Verdict::Pass, "pass: all well".into()));
        let shown = rollout(&view);
        assert_eq!((shown.state(), shown.state_message.as_str()), (state, words));
        assert_eq!((shown.verdict(), shown.end_time), (verdict, when(20)));
    }
}

#[test]
fn the_verdict_is_that_of_the_exposure_under_way() {
    let mut view = running(2, Position::Baking { until: at(90) });
    view.verdict = Some((Verdict::Pass, "of the step before".into()));
    assert_eq!(rollout(&view).verdict(), wire::Verdict::Pass);
    let State::Running(inner) = &mut view.record.state else { panic!("runs") };
    inner.evidence = Some(Evidence::begin(1, at(3)));
    assert_eq!(rollout(&view).verdict(), wire::Verdict::NoData);
    assert_eq!(rollout(&view).verdict_message, "nothing was measured yet");
}
