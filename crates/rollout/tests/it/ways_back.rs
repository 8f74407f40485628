use hotswap_rollout::judge::{Arm, Counts, Reading, Tally};
use hotswap_rollout::{
    Act, ActResult, Answered, CanaryStepDraft, Exposure, Facts, Millis, Order, Outcome, PlanDraft, Powers,
    RollbackDraft, State, StrategyDraft, Subject,
};

use crate::world::{
    World, baking_at_a_tenth, content, counts, draft, healthy, pause, promote, rollback, share,
};

fn bad() -> Reading {
    counts(200, 30)
}

fn dead() -> Reading {
    counts(40, 40)
}

fn gradual() -> PlanDraft {
    PlanDraft { rollback: RollbackDraft::Gradual { steps: 4, every_ms: Millis(10_000) }, ..draft() }
}

fn at_half(draft: &PlanDraft) -> World {
    let mut world = baking_at_a_tenth(draft);
    world.measure(healthy());
    world.pass(Millis::minutes(5));
    world.settle();
    assert_eq!(world.out, share(5_000));
    world
}

#[test]
fn a_bad_candidate_rolls_itself_back_and_says_why() {
    let mut world = baking_at_a_tenth(&draft());
    world.measure(bad());
    while world.do_requested() {}
    assert_eq!((world.word(), &world.out), ("rolled_back", &Exposure::None));
    assert!(world.tale().starts_with("rolled back: fail: errors 15.00 % beside 1.00 %"), "{}", world.tale());
}

#[test]
fn it_is_judged_in_a_pause_and_at_a_gate_too() {
    let mut world = baking_at_a_tenth(&draft());
    world.say("bob", pause());
    world.measure(bad());
    assert_eq!(world.word(), "rolling_back");

    let steps = vec![CanaryStepDraft { share_bp: 1_000, bake_ms: Millis(0), gate: true }];
    let mut world = World::new(&PlanDraft { strategy: StrategyDraft::Canary { steps }, ..draft() });
    world.settle();
    world.measure(healthy());
    assert_eq!(world.word(), "waiting_for_promotion");
    world.measure(counts(1_400, 200));
    assert_eq!(world.word(), "rolling_back");
}

#[test]
fn a_gradual_way_back_goes_down_step_by_step() {
    let mut world = at_half(&gradual());
    world.say("bob", rollback());
    let mut seen = vec![];
    while !world.record.state.is_ended() {
        while world.do_requested() {}
        seen.push(world.out.clone());
        world.pass(Millis(10_000));
        world.turn(Facts::default());
    }
    assert_eq!(seen, [share(3_750), share(2_500), share(1_250), Exposure::None]);
}

#[test]
fn a_gradual_way_back_begins_below_what_was_confirmed_and_not_below_what_was_only_intended() {
    let mut world = baking_at_a_tenth(&gradual());
    world.measure(healthy());
    world.pass(Millis::minutes(5));
    world.turn(Facts::default());
    // Half is intended and not done, as where a driver died before it.
    assert_eq!(world.last.request.as_ref().map(|r| &r.act), Some(&Act::Expose(share(5_000))));
    world.say("bob", rollback());
    assert_eq!(world.last.request.as_ref().map(|r| &r.act), Some(&Act::Expose(share(750))));
    assert_eq!(world.record.state.reach(), share(5_000), "half may be out all the same");

    let gradual = RollbackDraft::Gradual { steps: 2, every_ms: Millis(1_000) };
    let direct = PlanDraft { rollback: gradual, ..PlanDraft::new(StrategyDraft::Direct) };
    let mut world = World::new(&direct);
    world.turn(Facts::default());
    world.answer(ActResult::Done);
    assert_eq!(world.last.request.as_ref().map(|r| &r.act), Some(&Act::Expose(Exposure::Full)));
    world.say("bob", rollback());
    assert_eq!(world.last.request.as_ref().map(|r| &r.act), Some(&Act::Expose(Exposure::None)));
}

#[test]
fn a_step_of_a_gradual_way_back_that_cant_be_had_is_passed_over_for_nobody() {
    let refused = ActResult::Refused("proxies/old: no".into());
    let busy = ActResult::Retry { after: Millis(200), detail: "proxies/slow must still take it".into() };
    for (result, times) in [(refused, 1), (busy, 5)] {
        let mut world = at_half(&gradual());
        world.say("bob", rollback());
        for _ in 0..times {
            assert_eq!(world.last.request.as_ref().map(|r| &r.act), Some(&Act::Expose(share(3_750))));
            world.answer(result.clone());
            world.pass(Millis(200));
            world.turn(Facts::default());
        }
        assert_eq!(world.last.request.as_ref().map(|r| &r.act), Some(&Act::Expose(Exposure::None)));
        assert!(world.tale().starts_with("the way back goes on at once: proxies/"), "{}", world.tale());
        while world.do_requested() {}
        assert_eq!((world.word(), &world.out), ("rolled_back", &Exposure::None));
    }
}

#[test]
fn every_act_of_the_way_back_says_so_and_none_forward_does() {
    let mut world = World::new(&gradual());
    world.turn(Facts::default());
    assert!(world.last.request.as_ref().is_some_and(|request| !request.back));
    let mut world = at_half(&gradual());
    world.say("bob", rollback());
    while !world.record.state.is_ended() {
        assert!(world.last.request.as_ref().is_none_or(|request| request.back));
        world.do_requested();
        world.pass(Millis(10_000));
        world.turn(Facts::default());
    }
}

#[test]
fn a_panic_is_instant_even_where_the_plan_says_gradually() {
    let mut world = at_half(&gradual());
    world.measure(dead());
    while world.do_requested() {}
    assert_eq!(world.word(), "rolled_back");
    assert_eq!(world.acts[world.acts.len() - 2..], [Act::Expose(Exposure::None), Act::Withdraw]);
    assert!(
        world.tale().contains("panic: 40 of the candidate's last 40 requests failed"),
        "{}",
        world.tale()
    );
}

#[test]
fn a_candidate_that_dies_late_is_found_by_its_last_minute() {
    let mut world = baking_at_a_tenth(&draft());
    let tally = |requests, errors| Arm { all: Tally { requests, errors, slow: 0 }, buckets: vec![] };
    let reading = |requests, errors| {
        Reading::Counts(Counts {
            candidate: tally(requests, errors),
            baseline: tally(requests * 9, requests * 9 / 100),
            share: None,
            timed: true,
        })
    };
    for minute in 1..=4 {
        world.measure(reading(minute * 5_000, minute * 50));
        world.pass(Millis(59_000));
    }
    assert_eq!(world.word(), "running");
    // A fifth of a hundred more: nothing among 20,000, much in its minute.
    world.measure(reading(20_100, 220));
    assert_eq!(world.word(), "rolling_back");
    while world.do_requested() {}
    assert!(world.tale().contains("in the last minute"), "{}", world.tale());
}

#[test]
fn with_everybody_on_it_a_candidate_is_not_compared_with_what_was_before_and_a_panic_still_counts() {
    let mut world = at_half(&draft());
    world.measure(healthy());
    world.pass(Millis::minutes(5));
    world.settle();
    assert_eq!((&world.out, world.step().as_str()), (&Exposure::Full, "baking for 5 min"));
    // Worse than the baseline was a while ago: so might the baseline be by now.
    world.measure(counts(1_000, 200));
    assert_eq!(world.word(), "running");
    world.measure(counts(1_100, 300));
    assert_eq!(world.word(), "rolling_back");
    while world.do_requested() {}
    assert!(world.tale().starts_with("rolled back: panic"), "{}", world.tale());
}

#[test]
fn a_second_rollback_makes_the_first_one_instant() {
    let mut world = at_half(&gradual());
    world.say("bob", rollback());
    world.do_requested();
    assert_eq!(world.out, share(3_750));
    assert_eq!(world.say("eve", Order::Rollback { why: String::new(), instant: true }), Answered::Done);
    while world.do_requested() {}
    assert_eq!(world.word(), "rolled_back");
}

#[test]
fn of_promoting_and_rolling_back_at_once_the_rollback_wins() {
    for rollback_first in [true, false] {
        let mut world = baking_at_a_tenth(&draft());
        let full = Order::Promote { step: None, full: true };
        let orders = if rollback_first { [rollback(), full] } else { [full, rollback()] };
        let commands = orders.map(|order| world.command_of("bob", &[], order)).to_vec();
        world.turn(Facts { commands, ..Facts::default() });
        assert_eq!(world.word(), "rolling_back");
        while world.do_requested() {}
        assert_eq!(world.out, Exposure::None);
    }
}

#[test]
fn a_command_is_answered_once_however_often_it_comes() {
    let mut world = baking_at_a_tenth(&draft());
    let command = world.command_of("bob", &[], promote());
    let facts = Facts { commands: vec![command], ..Facts::default() };
    world.turn(facts.clone());
    assert_eq!(world.last.answers.len(), 1);
    let step = world.step();
    world.turn(facts);
    assert!(world.last.answers.is_empty());
    assert_eq!(world.step(), step);
}

#[test]
fn what_takes_too_long_is_rolled_back() {
    let mut world = baking_at_a_tenth(&PlanDraft { deadline_ms: Some(Millis::minutes(4)), ..draft() });
    world.pass(Millis::minutes(4));
    world.settle();
    assert_eq!(world.tale(), "rolled back: its deadline has passed");

    let mut world = World::new(&draft());
    world.turn(Facts::default());
    world.pass(Millis::minutes(10));
    world.settle();
    assert_eq!(world.tale(), "rolled back: making the candidate ready took too long");
}

#[test]
fn an_act_that_is_done_at_its_deadline_is_done() {
    let mut world = World::new(&draft());
    world.turn(Facts::default());
    world.pass(Millis::minutes(10));
    world.answer(ActResult::Done);
    assert_eq!(world.word(), "running");
}

#[test]
fn a_target_that_refuses_the_candidate_is_taken_back() {
    let mut world = World::new(&draft());
    world.turn(Facts::default());
    world.answer(ActResult::Refused("proxies/a: routes[0]: no such pool".into()));
    while world.do_requested() {}
    assert_eq!(
        world.tale(),
        "rolled back: making the candidate ready was refused: proxies/a: routes[0]: no such pool"
    );
}

#[test]
fn a_subject_that_is_gone_or_edited_is_rolled_back() {
    for (subject, tale) in [
        (Subject::Gone, "rolled back: what it changes was deleted meanwhile"),
        (Subject::Present(content("h2")), "rolled back: the content was changed while it was rolled out"),
    ] {
        let mut world = baking_at_a_tenth(&draft());
        world.see(Subject::Present(content("h1")));
        assert_eq!(world.word(), "running");
        world.see(subject);
        while world.do_requested() {}
        assert_eq!(world.tale(), tale);
    }
}

#[test]
fn before_anything_was_asked_of_the_target_nothing_is_undone() {
    let mut world = World::new(&draft());
    world.say("bob", rollback());
    assert_eq!(world.word(), "not_started");
    assert!(world.acts.is_empty());
}

#[test]
fn a_way_back_that_fails_is_tried_on_and_somebody_is_called() {
    let mut world = baking_at_a_tenth(&draft());
    world.say("bob", rollback());
    for attempt in 1..=5 {
        assert_eq!(world.word(), "rolling_back", "attempt {attempt}");
        world.answer(ActResult::Retry { after: Millis(1_000), detail: "no answer".into() });
        world.pass(Millis(1_000));
        world.turn(Facts::default());
    }
    assert_eq!(world.word(), "rollback_stuck");
    while world.do_requested() {}
    assert_eq!((world.word(), &world.out), ("rolled_back", &Exposure::None));
}

#[test]
fn a_way_back_leaves_those_behind_that_never_take_it() {
    let mut world = baking_at_a_tenth(&draft());
    world.say("bob", rollback());
    let lagging =
        || ActResult::Lagging { after: Millis(200), detail: "proxies/dead must still take it".into() };
    for act in [Act::Expose(Exposure::None), Act::Withdraw] {
        let began = world.now;
        loop {
            assert_eq!(world.last.request.as_ref().map(|r| &r.act), Some(&act));
            world.answer(lagging());
            if Millis::minutes(10).after(began) <= world.now {
                break;
            }
            world.pass(Millis::minutes(1));
            world.turn(Facts::default());
        }
        let said = "nobody is waited for any longer: proxies/dead must still take it";
        assert!(world.log.iter().any(|event| event.to_string() == said));
    }
    assert_eq!(world.word(), "rolled_back");

    // What does not stand yet is tried on for ever.
    let mut world = baking_at_a_tenth(&draft());
    world.say("bob", rollback());
    for _ in 0..100 {
        world.answer(ActResult::Retry { after: Millis(200), detail: "the store is away".into() });
        world.pass(Millis::minutes(1));
        world.turn(Facts::default());
    }
    assert_eq!(world.word(), "rollback_stuck");
}

#[test]
fn forward_nobody_is_left_behind() {
    let mut world = World::new(&draft());
    world.turn(Facts::default());
    world.pass(Millis::minutes(10));
    world.answer(ActResult::Lagging { after: Millis(200), detail: "proxies/dead must still take it".into() });
    assert_eq!(world.word(), "rolling_back");
}

#[test]
fn past_the_point_of_no_return_it_freezes_and_a_person_has_it_go_on() {
    let powers = Powers { reversible: false, ..Powers::ALL };
    let mut world = World::on(&draft(), powers);
    world.settle();
    world.measure(bad());
    assert_eq!((world.word(), &world.out), ("frozen", &share(1_000)));
    assert!(matches!(world.say("bob", rollback()), Answered::Refused(_)));
    world.pass(Millis::hours(10));
    world.settle();
    assert_eq!((world.word(), &world.out), ("frozen", &share(1_000)), "nothing goes on by itself");
    assert_eq!(world.say("bob", Order::Promote { step: None, full: true }), Answered::Done);
    while world.do_requested() {}
    world.pass(Millis::minutes(5));
    world.settle();
    assert_eq!((world.word(), &world.out), ("promoted", &Exposure::Full));
}

#[test]
fn a_rollback_past_the_point_of_no_return_is_told_so() {
    let mut world = World::on(&draft(), Powers { reversible: false, ..Powers::ALL });
    world.settle();
    assert!(matches!(world.say("bob", rollback()), Answered::Refused(why) if why.contains("frozen")));
    assert_eq!(world.word(), "frozen");
}

#[test]
fn on_the_way_back_what_is_found_lower_stays_lower() {
    let mut world = at_half(&gradual());
    world.say("bob", rollback());
    world.do_requested();
    world.turn(Facts { actual: Some(Exposure::None), ..Facts::default() });
    assert_eq!(world.last.request, None);
    world.turn(Facts { actual: Some(share(9_000)), ..Facts::default() });
    assert_eq!(world.last.request.as_ref().map(|r| &r.act), Some(&Act::Expose(share(3_750))));
    // The next step down would be a step up from there.
    world.pass(Millis(10_000));
    world.turn(Facts::default());
    assert_eq!(world.last.request.as_ref().map(|r| &r.act), Some(&Act::Expose(Exposure::None)));
}

#[test]
fn what_is_frozen_in_the_midst_of_an_exposure_is_not_lowered() {
    let mut world = World::on(&draft(), Powers { reversible: false, ..Powers::ALL });
    world.settle();
    world.measure(healthy());
    world.pass(Millis::minutes(5));
    world.turn(Facts::default());
    // The target has done it, and nobody heard of that.
    world.out = share(5_000);
    world.say("bob", rollback());
    assert_eq!(world.word(), "frozen");
    world.turn(Facts { actual: Some(share(5_000)), ..Facts::default() });
    assert_eq!(world.last.request, None);
    world.say("bob", promote());
    assert_eq!(world.last.request.as_ref().map(|r| &r.act), Some(&Act::Expose(share(5_000))));
}

#[test]
fn an_ended_rollout_stays_as_it_is() {
    let mut world = baking_at_a_tenth(&draft());
    world.say("bob", rollback());
    while world.do_requested() {}
    let ended = world.record.state.clone();
    assert_eq!(world.say("eve", rollback()), Answered::Done, "it is rolled back already");
    assert_eq!(world.say("eve", promote()), Answered::Refused("it has ended".into()));
    world.see(Subject::Gone);
    assert_eq!(world.record.state, ended);
    assert!(matches!(ended, State::Ended(e) if matches!(e.outcome, Outcome::RolledBack(_))));
}
