//! Every field of the contract, the defaults, and input of every bad kind.

use hotswap_api::rollout::v1 as wire;
use hotswap_api::rollout::v1::rollout::Strategy;
use hotswap_core::{Revision, Violations};
use hotswap_rollout::judge::{JudgeDraft, Limit, Method, Panic, Undecided};
use hotswap_rollout::{
    Approvers, CanaryStepDraft, CohortDraft, CohortKey, CountSource, Level, Millis, Principal,
    PrometheusQueries, RollbackDraft, ShadowEnd, SmokeTest, StickyKey, StrategyDraft,
};

use super::rollout;
use crate::Create;

fn s(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
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
    asked(Strategy::Canary(wire::Canary::default()))
}

fn read(message: &wire::Rollout) -> Create {
    rollout(message).expect("valid")
}

fn strategy(given: Strategy) -> StrategyDraft {
    read(&asked(given)).plan.strategy
}

fn judged(judgement: wire::Judgement) -> wire::Rollout {
    wire::Rollout { judgement: Some(judgement), ..canary() }
}

/// The fields that are wrong.
#[track_caller]
fn wrong(message: &wire::Rollout) -> Vec<String> {
    fields(rollout(message).expect_err("faults"))
}

fn fields(faults: Violations) -> Vec<String> {
    faults.iter().map(|fault| fault.field.clone()).collect()
}

#[test]
fn what_is_left_out_takes_the_defaults_of_the_contract() {
    let draft = read(&canary());
    assert_eq!((draft.from, draft.to), (None, Revision(7)));
    assert_eq!(draft.plan.strategy, StrategyDraft::Canary { steps: vec![] });
    assert_eq!(draft.plan.judge, Some(JudgeDraft::default()));
    assert_eq!(draft.plan.rollback, RollbackDraft::Instant);
    assert_eq!(draft.plan.deadline_ms, Some(Millis::hours(7 * 24)));
    assert_eq!(draft.plan.act_deadline_ms, Millis::minutes(10));
    assert_eq!((draft.plan.approvals, draft.plan.commit_is_final), (vec![], false));
    assert_eq!((draft.sticky, draft.source), (None, CountSource::Target));
}

#[test]
fn every_field_beside_the_strategy_is_read() {
    let draft = read(&wire::Rollout {
        baseline_revision: 3,
        approval_levels: vec![
            wire::ApprovalLevel { role: "operator".into(), quorum: 2, ..Default::default() },
            wire::ApprovalLevel { principals: vec!["ann".into(), "bob".into()], ..Default::default() },
        ],
        deadline: s(3_600),
        act_deadline: s(30),
        reason: "faster".into(),
        sticky_key: Some(wire::StickyKey { kind: Some(wire::sticky_key::Kind::Header("X-User".into())) }),
        rollback: Some(wire::RollbackPlan { steps: 4, interval: s(2) }),
        ..canary()
    });
    assert_eq!((draft.subject.as_str(), draft.reason.as_str()), ("routes/shop", "faster"));
    assert_eq!(draft.from, Some(Revision(3)));
    let two = vec![Principal("ann".into()), Principal("bob".into())];
    let levels = vec![
        Level { approvers: Approvers::Role("operator".into()), quorum: 2 },
        Level { approvers: Approvers::Principals(two), quorum: 1 },
    ];
    assert_eq!(draft.plan.approvals, levels);
    assert_eq!(draft.plan.deadline_ms, Some(Millis::hours(1)));
    assert_eq!(draft.plan.act_deadline_ms, Millis(30_000));
    assert_eq!(draft.plan.rollback, RollbackDraft::Gradual { steps: 4, every_ms: Millis(2_000) });
    assert_eq!(draft.sticky, Some(StickyKey::Header("x-user".into())));
}

#[test]
fn every_strategy_is_read_with_its_defaults() {
    assert_eq!(strategy(Strategy::Direct(wire::Direct {})), StrategyDraft::Direct);
    let steps = vec![
        wire::CanaryStep { share_bps: 500, ..Default::default() },
        wire::CanaryStep { share_bps: 10_000, bake: s(1), gate: true },
    ];
    let want = vec![
        CanaryStepDraft { share_bp: 500, bake_ms: Millis::minutes(5), gate: false },
        CanaryStepDraft { share_bp: 10_000, bake_ms: Millis(1_000), gate: true },
    ];
    assert_eq!(strategy(Strategy::Canary(wire::Canary { steps })), StrategyDraft::Canary { steps: want });
    let tests = vec![
        wire::SmokeTest { path: "/a".into(), ..Default::default() },
        wire::SmokeTest {
            method: "HEAD".into(),
            path: "/b".into(),
            host: "a.example".into(),
            expect_status: 204,
            timeout_ms: 50,
        },
    ];
    let want = vec![
        SmokeTest::get("/a"),
        SmokeTest {
            method: "HEAD".into(),
            path: "/b".into(),
            host: Some("a.example".into()),
            expect_status: Some(204),
            timeout_ms: Millis(50),
        },
    ];
    let given = wire::BlueGreen { smoke_tests: tests, keep: None, gate: true };
    let want = StrategyDraft::BlueGreen { smoke_tests: want, gate: true, keep_ms: Millis::minutes(10) };
    assert_eq!(strategy(Strategy::BlueGreen(given)), want);
    let rolling = |batches, bake| strategy(Strategy::Rolling(wire::Rolling { batches, bake }));
    assert_eq!(rolling(0, None), StrategyDraft::Rolling { batches: 4, bake_ms: Millis::minutes(1) });
    assert_eq!(rolling(3, s(0)), StrategyDraft::Rolling { batches: 3, bake_ms: Millis(0) });
    let shadow = |share_bps, bake, gate| strategy(Strategy::Shadow(wire::Shadow { share_bps, bake, gate }));
    let want = |share_bp, bake_ms, then| StrategyDraft::Shadow { share_bp, bake_ms, then };
    assert_eq!(shadow(0, None, false), want(1_000, Millis::minutes(10), ShadowEnd::Withdraw));
    assert_eq!(shadow(50, s(5), true), want(50, Millis(5_000), ShadowEnd::Ask));
}

#[test]
fn every_kind_of_cohort_and_of_sticky_key_is_read() {
    use wire::cohort::Key;
    use wire::sticky_key::Kind;
    for (key, want) in [
        (Key::Header("x-beta".into()), CohortKey::Header("x-beta".into())),
        (Key::Cookie("beta".into()), CohortKey::Cookie("beta".into())),
        (Key::TargetingKey("tenant".into()), CohortKey::Targeting("tenant".into())),
    ] {
        let cohort = Some(wire::Cohort { key: Some(key), values: vec!["1".into()] });
        let want = CohortDraft { key: want, values: vec!["1".into()] };
        let read = strategy(Strategy::AbTest(wire::AbTest { cohort, bake: None }));
        assert_eq!(read, StrategyDraft::Ab { cohort: want, bake_ms: Millis(0) });
    }
    for (kind, want) in [
        (Kind::Cookie("sid".into()), StickyKey::Cookie("sid".into())),
        (Kind::ClientAddress(true), StickyKey::ClientAddress),
        (Kind::TargetingKey(true), StickyKey::Targeting),
    ] {
        let sticky_key = Some(wire::StickyKey { kind: Some(kind) });
        assert_eq!(read(&wire::Rollout { sticky_key, ..canary() }).sticky, Some(want));
    }
}

#[test]
fn every_field_of_a_judgement_is_read() {
    let limit = |kind| Some(wire::Limit { kind: Some(kind) });
    let given = wire::Judgement {
        method: Some(wire::judgement::Method::Threshold(wire::Threshold::default())),
        max_error_rise: limit(wire::limit::Kind::Bps(100)),
        max_slow_rise: limit(wire::limit::Kind::Percent(20)),
        min_samples: 5,
        false_rollback_bps: 200,
        false_promotion_bps: 300,
        panic_bps: 4_000,
        panic_min_samples: 9,
        patience: s(60),
        inconclusive: wire::judgement::Inconclusive::RollBack.into(),
        ..Default::default()
    };
    let want = JudgeDraft {
        method: Method::Threshold { window_ms: Millis::minutes(1), failures: 2, successes: 3 },
        errors: Limit::Points(100),
        slow: Some(Limit::Relative(20)),
        min_requests: 5,
        false_rollback_bp: 200,
        false_promotion_bp: 300,
        panic: Some(Panic { above_bp: 4_000, min_requests: 9 }),
        patience_ms: Millis::minutes(1),
        undecided: Undecided::Rollback,
    };
    assert_eq!(read(&judged(given)).plan.judge, Some(want));
    let off = wire::Judgement { off: true, ..Default::default() };
    assert_eq!(read(&judged(off)).plan.judge, None);
    let bare = wire::Judgement { ignore_latency: true, no_panic: true, ..Default::default() };
    let judge = read(&judged(bare)).plan.judge.expect("a judge");
    assert_eq!((judge.slow, judge.panic), (None, None));
    let ranks = wire::judgement::Method::MannWhitney(wire::MannWhitney::default());
    let judge = read(&judged(wire::Judgement { method: Some(ranks), ..Default::default() })).plan.judge;
    let want = Method::MannWhitney {
        window_ms: Millis(10_000),
        min_windows: 50,
        tolerance_percent: 25,
        level_bp: 200,
    };
    assert_eq!(judge.map(|judge| judge.method), Some(want));
}

#[test]
fn every_source_of_counts_is_read() {
    use wire::metric_source::Kind;
    let from = |kind| {
        let source = Some(wire::MetricSource { kind });
        read(&judged(wire::Judgement { source, ..Default::default() }))
    };
    assert_eq!(from(None).source, CountSource::Target);
    assert_eq!(from(Some(Kind::Reported(true))).source, CountSource::Reported);
    let mut queries = wire::PrometheusSource {
        address: "http://a:9090".into(),
        total_query: "t".into(),
        error_query: "e".into(),
        slow_query: "s".into(),
        p95_query: "p".into(),
    };
    let want = PrometheusQueries {
        address: "http://a:9090".into(),
        total: "t".into(),
        errors: "e".into(),
        slow: Some("s".into()),
        p95: Some("p".into()),
    };
    let draft = from(Some(Kind::Prometheus(queries.clone())));
    assert_eq!(draft.source, CountSource::Prometheus(want));
    assert!(draft.plan.judge.is_some_and(|judge| judge.slow.is_some()));
    (queries.slow_query, queries.p95_query) = (String::new(), String::new());
    let draft = from(Some(Kind::Prometheus(queries)));
    assert!(draft.plan.judge.is_some_and(|judge| judge.slow.is_none()), "slowness is not judged");
}

#[test]
fn a_rollout_of_nothing_names_all_that_is_missing() {
    assert_eq!(wrong(&wire::Rollout::default()), ["subject", "candidate_revision", "strategy"]);
    let negative = wire::Rollout { baseline_revision: -1, candidate_revision: -1, ..canary() };
    assert_eq!(wrong(&negative), ["baseline_revision", "candidate_revision"]);
}

#[test]
fn faults_that_the_engine_finds_bear_the_names_of_the_contract() {
    let steps = [(5_000, 5), (1_000, 3_000_000), (20_000, 5), (0, -1)];
    let steps = steps.map(|(share_bps, bake)| wire::CanaryStep { share_bps, bake: s(bake), gate: false });
    let given = wire::Rollout {
        deadline: s(0),
        act_deadline: s(0),
        rollback: Some(wire::RollbackPlan { steps: 1, interval: s(7_200) }),
        approval_levels: vec![wire::ApprovalLevel {
            role: "operator".into(),
            quorum: 101,
            ..Default::default()
        }],
        judgement: Some(wire::Judgement {
            max_error_rise: Some(wire::Limit { kind: Some(wire::limit::Kind::Bps(0)) }),
            max_slow_rise: Some(wire::Limit { kind: Some(wire::limit::Kind::Percent(0)) }),
            false_rollback_bps: 2_001,
            false_promotion_bps: 2_001,
            panic_bps: 10_001,
            patience: s(3_000_000),
            ..Default::default()
        }),
        ..asked(Strategy::Canary(wire::Canary { steps: steps.into() }))
    };
    let want = [
        "canary.steps[3].bake",
        "canary.steps[1].share_bps",
        "canary.steps[1].bake",
        "canary.steps[2].share_bps",
        "canary.steps[3].share_bps",
        "judgement.max_error_rise.bps",
        "judgement.max_slow_rise.percent",
        "judgement.false_rollback_bps",
        "judgement.false_promotion_bps",
        "judgement.patience",
        "judgement.panic_bps",
        "approval_levels[0].quorum",
        "act_deadline",
        "deadline",
        "rollback.steps",
        "rollback.interval",
    ];
    assert_eq!(wrong(&given), want);
}

#[test]
fn faults_of_the_other_strategies_bear_the_names_of_the_contract() {
    let test = wire::SmokeTest {
        method: "get".into(),
        path: "a".into(),
        host: "a b".into(),
        expect_status: 70_000,
        timeout_ms: 60_001,
    };
    let given = wire::BlueGreen { smoke_tests: vec![test], keep: s(3_000_000), gate: false };
    let at = |name: &str| format!("blue_green.smoke_tests[0].{name}");
    let want = [at("method"), at("path"), at("host"), at("expect_status"), at("timeout_ms")];
    let got = wrong(&asked(Strategy::BlueGreen(given)));
    assert_eq!((&got[..5], got[5].as_str()), (&want[..], "blue_green.keep"));
    let rolling = wire::Rolling { batches: 101, bake: s(3_000_000) };
    assert_eq!(wrong(&asked(Strategy::Rolling(rolling))), ["rolling.batches", "rolling.bake"]);
    let shadow = wire::Shadow { share_bps: 10_001, bake: s(3_000_000), gate: false };
    assert_eq!(wrong(&asked(Strategy::Shadow(shadow))), ["shadow.bake", "shadow.share_bps"]);
    for (key, name) in [
        (wire::cohort::Key::Header("a b".into()), "header"),
        (wire::cohort::Key::Cookie(String::new()), "cookie"),
        (wire::cohort::Key::TargetingKey("ü".into()), "targeting_key"),
    ] {
        let cohort = Some(wire::Cohort { key: Some(key), values: vec![String::new()] });
        let got = wrong(&asked(Strategy::AbTest(wire::AbTest { cohort, bake: s(3_000_000) })));
        let name = format!("ab_test.cohort.{name}");
        assert_eq!(got, ["ab_test.bake", name.as_str(), "ab_test.cohort.values[0]"]);
    }
    assert_eq!(wrong(&asked(Strategy::AbTest(wire::AbTest::default()))), ["ab_test.cohort"]);
    let keyless = wire::Cohort { key: None, values: vec!["1".into()] };
    let keyless = wire::AbTest { cohort: Some(keyless), bake: None };
    assert_eq!(wrong(&asked(Strategy::AbTest(keyless))), ["ab_test.cohort"]);
}

#[test]
fn choices_that_are_none_are_refused() {
    use wire::sticky_key::Kind;
    let sticky = |kind| {
        let sticky_key = Some(wire::StickyKey { kind });
        wrong(&wire::Rollout { sticky_key, ..canary() })
    };
    assert_eq!(sticky(None), ["sticky_key"]);
    assert_eq!(sticky(Some(Kind::Header("a b".into()))), ["sticky_key.header"]);
    assert_eq!(sticky(Some(Kind::Cookie(String::new()))), ["sticky_key.cookie"]);
    assert_eq!(sticky(Some(Kind::ClientAddress(false))), ["sticky_key.client_address"]);
    assert_eq!(sticky(Some(Kind::TargetingKey(false))), ["sticky_key.targeting_key"]);
    let level = |role: &str, some: &[&str]| {
        let principals = some.iter().map(|p| (*p).to_owned()).collect();
        let level = wire::ApprovalLevel { role: role.into(), principals, quorum: 0 };
        wrong(&wire::Rollout { approval_levels: vec![level], ..canary() })
    };
    assert_eq!(level("", &[]), ["approval_levels[0]"]);
    assert_eq!(level("operator", &["ann"]), ["approval_levels[0]"]);
    assert_eq!(level("boss", &[]), ["approval_levels[0].role"]);
    assert_eq!(level("", &["ann", "ann"]), ["approval_levels[0].principals"]);
    let lone = Some(wire::RollbackPlan { steps: 0, interval: s(1) });
    assert_eq!(wrong(&wire::Rollout { rollback: lone, ..canary() }), ["rollback.interval"]);
}

#[test]
fn a_judgement_that_contradicts_itself_is_refused() {
    let limit = Some(wire::Limit { kind: Some(wire::limit::Kind::Bps(1)) });
    let bad = |judgement| wrong(&judged(judgement));
    let none = wire::Judgement::default;
    assert_eq!(bad(wire::Judgement { off: true, min_samples: 1, ..none() }), ["judgement.off"]);
    let both = wire::Judgement { ignore_latency: true, max_slow_rise: limit, ..none() };
    assert_eq!(bad(both), ["judgement.max_slow_rise"]);
    assert_eq!(bad(wire::Judgement { no_panic: true, panic_bps: 1, ..none() }), ["judgement.no_panic"]);
    assert_eq!(bad(wire::Judgement { inconclusive: 9, ..none() }), ["judgement.inconclusive"]);
    let empty = wire::Judgement { max_error_rise: Some(wire::Limit { kind: None }), ..none() };
    assert_eq!(bad(empty), ["judgement.max_error_rise"]);
    let from = |kind| wire::Judgement { source: Some(wire::MetricSource { kind: Some(kind) }), ..none() };
    let reported = from(wire::metric_source::Kind::Reported(false));
    assert_eq!(bad(reported), ["judgement.source.reported"]);
    let queries = wire::PrometheusSource { slow_query: "s".into(), ..Default::default() };
    let at = |name: &str| format!("judgement.source.prometheus.{name}");
    let want = [at("address"), at("total_query"), at("error_query"), at("p95_query")];
    assert_eq!(bad(from(wire::metric_source::Kind::Prometheus(queries))), want);
    let window = wire::Threshold { window: s(0), failures: 1_001, successes: 1_001 };
    let method = Some(wire::judgement::Method::Threshold(window));
    let at = |name: &str| format!("judgement.threshold.{name}");
    assert_eq!(bad(wire::Judgement { method, ..none() }), [at("window"), at("failures"), at("successes")]);
    let ranks =
        wire::MannWhitney { window: s(0), min_windows: 4, tolerance_percent: 10_001, level_bps: 2_001 };
    let method = Some(wire::judgement::Method::MannWhitney(ranks));
    let at = |name: &str| format!("judgement.mann_whitney.{name}");
    let want = [at("window"), at("min_windows"), at("tolerance_percent"), at("level_bps")];
    assert_eq!(bad(wire::Judgement { method, ..none() }), want);
}
