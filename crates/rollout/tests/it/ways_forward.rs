use hotswap_rollout::judge::{JudgeDraft, Reading, Undecided};
use hotswap_rollout::{
    Act, ActResult, Answered, CanaryStepDraft, Check, CohortDraft, CohortKey, Event, Exposure, Facts, Millis,
    Order, PlanDraft, Powers, RollbackDraft, RolloutPolicy, ShadowEnd, SmokeTest, State, StrategyDraft,
};

use crate::world::{World, baking_at_a_tenth, draft, healthy, pause, promote, rollback, share};

#[test]
fn a_healthy_canary_promotes_itself() {
    let mut world = baking_at_a_tenth(&draft());
    for expected in [share(1_000), share(5_000)] {
        assert_eq!(world.out, expected);
        world.measure(healthy());
        assert_eq!(world.out, expected, "it bakes whatever the judge says");
        world.pass(Millis::minutes(5));
        world.settle();
    }
    assert_eq!((&world.out, world.step().as_str()), (&Exposure::Full, "baking for 5 min"));
    world.pass(Millis::minutes(5));
    world.settle();
    assert_eq!(world.tale(), "promoted: everybody has the candidate");
    let exposed: Vec<_> = world.acts.iter().filter(|act| matches!(act, Act::Expose(_))).collect();
    assert_eq!(exposed.len(), 3);
}

#[test]
fn a_bake_lasts_to_its_last_microsecond() {
    let mut world = baking_at_a_tenth(&draft());
    world.measure(healthy());
    let until = world.last.wake_at.expect("a time to wake");
    world.now = until.plus_micros(-1);
    world.settle();
    assert_eq!(world.out, share(1_000));
    world.now = until;
    world.settle();
    assert_eq!(world.out, share(5_000));
}

#[test]
fn without_a_verdict_it_waits_and_then_pauses() {
    let mut world = baking_at_a_tenth(&draft());
    world.pass(Millis::minutes(6));
    world.settle();
    assert_eq!(world.step(), "waiting for the judge");
    world.measure(Reading::NoData);
    world.pass(Millis::minutes(31));
    world.settle();
    assert_eq!((world.word(), &world.out), ("paused", &share(1_000)));
    assert!(world.tale().contains("no data"), "{}", world.tale());
    assert_eq!(world.say("bob", Order::Resume), Answered::Done);
    assert_eq!(world.word(), "running", "a resume gives the judge its patience anew");
    world.measure(healthy());
    world.settle();
    assert_eq!(world.out, share(5_000));
}

#[test]
fn no_data_is_not_promoted_even_where_the_undecided_is() {
    let judge = JudgeDraft { undecided: Undecided::Promote, ..JudgeDraft::default() };
    let draft = PlanDraft { judge: Some(judge), ..draft() };
    for (reading, expected) in [
        (Reading::NoData, share(1_000)),
        (Reading::Broken("down".into()), share(1_000)),
        (crate::world::counts(30, 0), share(5_000)),
    ] {
        let mut world = baking_at_a_tenth(&draft);
        world.measure(reading);
        world.pass(Millis::hours(1));
        world.settle();
        world.pass(Millis::hours(1));
        world.settle();
        assert_eq!(world.out, expected);
    }
}

#[test]
fn a_gate_holds_until_a_person_promotes() {
    let step = |share_bp, gate| CanaryStepDraft { share_bp, bake_ms: Millis(0), gate };
    let draft = PlanDraft {
        strategy: StrategyDraft::Canary { steps: vec![step(1_000, true), step(10_000, false)] },
        judge: None,
        ..draft()
    };
    let mut world = World::new(&draft);
    world.settle();
    world.pass(Millis::hours(100));
    world.settle();
    assert_eq!((world.word(), &world.out), ("waiting_for_promotion", &share(1_000)));
    let stale = Order::Promote { step: Some(1), full: false };
    assert_eq!(world.say("bob", stale), Answered::Refused("it has moved on to step 4; look again".into()));
    assert_eq!(world.say("bob", promote()), Answered::Done);
    world.settle();
    assert_eq!(world.word(), "promoted");
}

#[test]
fn a_pause_stops_growth_and_a_promote_ends_it() {
    let mut world = baking_at_a_tenth(&draft());
    world.measure(healthy());
    assert_eq!(world.say("bob", pause()), Answered::Done);
    world.pass(Millis::hours(10));
    world.settle();
    assert_eq!((world.word(), &world.out), ("paused", &share(1_000)));
    assert_eq!(world.say("bob", promote()), Answered::Done);
    world.settle();
    assert_eq!((world.word(), &world.out), ("running", &share(5_000)));
}

#[test]
fn promoted_all_the_way_it_passes_waits_over_but_not_tests() {
    let mut world = baking_at_a_tenth(&draft());
    assert_eq!(world.say("bob", Order::Promote { step: None, full: true }), Answered::Done);
    while world.do_requested() {}
    assert_eq!((&world.out, world.step().as_str()), (&Exposure::Full, "baking for 5 min"));

    let tests = vec![SmokeTest::get("/login")];
    let strategy =
        StrategyDraft::BlueGreen { smoke_tests: tests.clone(), gate: true, keep_ms: Millis::minutes(5) };
    let mut world = World::new(&PlanDraft { strategy, ..draft() });
    world.say("bob", Order::Promote { step: None, full: true });
    while world.do_requested() {}
    assert_eq!(world.acts[1], Act::Check(Check::Smoke(tests)));
    assert_eq!((&world.out, world.word()), (&Exposure::Full, "running"));
}

#[test]
fn blue_green_goes_back_at_once_while_the_baseline_is_kept() {
    let strategy =
        StrategyDraft::BlueGreen { smoke_tests: vec![], gate: false, keep_ms: Millis::minutes(30) };
    let gradual = RollbackDraft::Gradual { steps: 2, every_ms: Millis(1_000) };
    let mut world = World::new(&PlanDraft { strategy, rollback: gradual, ..draft() });
    world.settle();
    assert_eq!(world.out, Exposure::Full);
    world.say("bob", Order::Rollback { why: String::new(), instant: true });
    while world.do_requested() {}
    assert_eq!((world.word(), &world.out), ("rolled_back", &Exposure::None));
    assert_eq!(world.acts[3..], [Act::Expose(Exposure::None), Act::Withdraw]);
}

#[test]
fn a_cohort_keeps_the_candidate_until_somebody_ends_it() {
    let cohort = CohortDraft { key: CohortKey::Cookie("beta".into()), values: vec!["1".into()] };
    let strategy = StrategyDraft::Ab { cohort, bake_ms: Millis::minutes(1) };
    let mut world = World::new(&PlanDraft { strategy, ..draft() });
    world.settle();
    world.pass(Millis::hours(24 * 20));
    world.settle();
    assert!(matches!(world.out, Exposure::Cohort(_)) && world.word() == "waiting_for_promotion");
    let mut other = world.clone();
    world.say("bob", promote());
    while world.do_requested() {}
    assert_eq!((world.word(), &world.out), ("promoted", &Exposure::Full));
    other.say("bob", rollback());
    while other.do_requested() {}
    assert_eq!((other.word(), &other.out), ("rolled_back", &Exposure::None));
}

#[test]
fn a_shadow_reaches_nobody_and_is_taken_away() {
    let strategy =
        StrategyDraft::Shadow { share_bp: 1_000, bake_ms: Millis::minutes(1), then: ShadowEnd::Withdraw };
    let mut world = World::new(&PlanDraft { strategy, ..draft() });
    world.settle();
    assert!(!world.out.reaches_somebody());
    world.measure(healthy());
    world.pass(Millis::minutes(1));
    world.settle();
    assert_eq!(world.tale(), "compared, and taken away as planned");
}

#[test]
fn the_global_switch_holds_everything_but_the_way_back() {
    let mut world = World::new(&draft());
    world.frozen = true;
    world.settle();
    assert!(world.acts.is_empty(), "nothing begins");
    world.frozen = false;
    world.settle();
    world.measure(healthy());
    world.frozen = true;
    world.pass(Millis::hours(1));
    world.settle();
    assert_eq!((world.word(), &world.out), ("running", &share(1_000)));
    world.say("bob", rollback());
    while world.do_requested() {}
    assert_eq!(world.word(), "rolled_back");
}

#[test]
fn who_wrote_a_change_does_not_pass_over_what_a_policy_asks_for() {
    let policy = RolloutPolicy { judged: true, min_bake_ms: Millis::minutes(1), ..RolloutPolicy::default() };
    let world = || {
        let mut world = World::new(&draft());
        world.plan = policy.admit("rolloutPolicies/p", &draft(), Powers::ALL).expect("admitted");
        world.settle();
        world
    };
    let all_the_way = Order::Promote { step: None, full: true };
    let mut baking = world();
    let refused = Answered::Refused(
        "rolloutPolicies/p (judged, min_bake) holds those who wrote the change to its steps; somebody else may"
            .into(),
    );
    for order in [all_the_way.clone(), promote()] {
        assert_eq!(baking.say("ann", order), refused, "the bake");
    }
    baking.pass(Millis::minutes(5));
    baking.settle();
    assert_eq!((baking.step().as_str(), baking.say("ann", promote())), ("waiting for the judge", refused));
    assert_eq!(baking.say("bob", promote()), Answered::Done);
    assert_eq!(world().say("bob", all_the_way.clone()), Answered::Done);
    // Where no policy asks for anything, authors do as they like.
    assert_eq!(baking_at_a_tenth(&draft()).say("ann", all_the_way), Answered::Done);
}

/// A world that intends to expose half, and whose driver died before it asked for it.
fn about_to_expose_half() -> World {
    let mut world = baking_at_a_tenth(&draft());
    world.measure(healthy());
    world.pass(Millis::minutes(5));
    world.turn(Facts::default());
    assert_eq!(requested(&world), Some(Act::Expose(share(5_000))));
    world
}

fn requested(world: &World) -> Option<Act> {
    world.last.request.as_ref().map(|request| request.act.clone())
}

#[test]
fn neither_in_a_pause_nor_under_the_switch_is_asked_for_more_that_was_intended_before() {
    let mut world = about_to_expose_half();
    world.say("bob", pause());
    assert_eq!(requested(&world), None);
    // Its time does not run meanwhile, and begins anew.
    world.pass(Millis::hours(1));
    world.turn(Facts::default());
    assert_eq!((world.word(), requested(&world)), ("paused", None));
    world.say("bob", Order::Resume);
    assert_eq!(requested(&world), Some(Act::Expose(share(5_000))));
    world.pass(Millis::minutes(9));
    world.turn(Facts::default());
    assert_eq!((world.word(), requested(&world)), ("running", Some(Act::Expose(share(5_000)))));

    let mut world = about_to_expose_half();
    world.frozen = true;
    for _ in 0..2 {
        world.turn(Facts::default());
        assert_eq!((world.word(), requested(&world)), ("running", None));
        world.pass(Millis::hours(1));
    }
    world.say("bob", rollback());
    assert_eq!(requested(&world), Some(Act::Expose(Exposure::None)), "the way back stays open");

    let mut world = about_to_expose_half();
    world.frozen = true;
    world.turn(Facts::default());
    world.pass(Millis::hours(1));
    world.frozen = false;
    world.turn(Facts::default());
    assert_eq!((world.word(), requested(&world)), ("running", Some(Act::Expose(share(5_000)))));
}

#[test]
fn what_is_out_already_is_seen_through_in_a_pause_and_judged() {
    let mut world = about_to_expose_half();
    world.say("bob", pause());
    world.turn(Facts { actual: Some(share(1_000)), ..Facts::default() });
    assert_eq!(requested(&world), None);
    world.turn(Facts { actual: Some(share(5_000)), ..Facts::default() });
    assert_eq!(requested(&world), Some(Act::Expose(share(5_000))));
    world.turn(Facts::default());
    assert!(world.do_requested(), "it is not forgotten that it is out");
    assert_eq!((world.word(), &world.out), ("paused", &share(5_000)));
    world.measure(crate::world::counts(200, 100));
    assert_eq!(world.word(), "rolling_back");
}

#[test]
fn in_a_pause_nothing_becomes_the_baseline() {
    let draft = PlanDraft { judge: None, ..PlanDraft::new(StrategyDraft::Direct) };
    let mut world = World::new(&draft);
    world.turn(Facts::default());
    world.answer(ActResult::Done);
    world.answer(ActResult::Done);
    assert_eq!(requested(&world), Some(Act::Commit));
    world.say("bob", pause());
    world.turn(Facts { actual: Some(Exposure::Full), ..Facts::default() });
    assert_eq!((world.word(), requested(&world)), ("paused", None));
    world.say("bob", Order::Resume);
    while world.do_requested() {}
    assert_eq!(world.word(), "promoted");
}

#[test]
fn an_act_that_can_be_tried_again_is() {
    let mut world = World::new(&draft());
    world.turn(Facts::default());
    let first = world.last.request.clone().expect("staging");
    world.answer(ActResult::Retry { after: Millis(2_000), detail: "busy".into() });
    assert_eq!(world.last.request, None);
    assert_eq!(world.last.wake_at, Some(Millis(2_000).after(world.now)));
    world.pass(Millis(2_000));
    world.turn(Facts::default());
    let again = world.last.request.clone().expect("staging again");
    assert_eq!((again.act, again.ticket, again.attempt), (first.act, first.ticket, 2));
}

#[test]
fn of_attempts_that_say_the_same_the_first_alone_is_told() {
    let mut world = World::new(&draft());
    world.turn(Facts::default());
    let told = |world: &World| world.log.iter().filter(|e| matches!(e, Event::Retried { .. })).count();
    for (detail, events) in [("a lags", 1), ("a lags", 1), ("b lags", 2), ("b lags", 2)] {
        world.answer(ActResult::Retry { after: Millis(200), detail: detail.into() });
        assert_eq!(told(&world), events, "{detail}");
        world.pass(Millis(200));
        world.turn(Facts::default());
    }
}

#[test]
fn what_drifted_is_set_again() {
    let mut world = baking_at_a_tenth(&draft());
    world.turn(Facts { actual: Some(share(3_000)), ..Facts::default() });
    assert!(matches!(world.log.last(), Some(Event::Drifted { .. })));
    world.do_requested();
    assert_eq!(world.out, share(1_000));
}

#[test]
fn slow_is_settled_once_at_twice_the_baselines_p95() {
    let mut world = World::new(&draft());
    let p95 = |us| Facts { baseline_p95_us: Some(us), ..Facts::default() };
    world.turn(p95(120_000));
    world.turn(p95(900_000));
    while world.do_requested() {}
    assert_eq!(world.last.watch.and_then(|watch| watch.slow_over_us), Some(240_000));
    assert!(matches!(world.record.state, State::Running(_)));
}
