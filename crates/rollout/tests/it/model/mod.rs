//! `decide` under leases with fences, in every order of things: two or three workers that crash, are frozen and come
//! back too late, acts that fail, commands that come twice, time that passes.
//!
//! A worker claims the rollout (the fence rises), reads it, decides, stores the decision where fence and generation are
//! still those that it read, does what is requested, and decides again with the outcome. It may stop between any two of
//! these, for good (a crash) or for so long that another one takes the lease (a zombie). The target refuses acts under
//! a lower fence than it has seen.

mod workers;

use hotswap_rollout::judge::JudgeDraft;
use hotswap_rollout::{
    CanaryStepDraft, Millis, Order, Plan, PlanDraft, Powers, RollbackDraft, StrategyDraft,
};
use stateright::{Checker, Model};

use workers::{BAKE, Faults, Setup};

fn plan(judge: Option<JudgeDraft>, rollback: RollbackDraft, powers: Powers) -> Plan {
    let steps = vec![CanaryStepDraft { share_bp: 1_000, bake_ms: BAKE, gate: false }];
    let draft = PlanDraft { judge, rollback, ..PlanDraft::new(StrategyDraft::Canary { steps }) };
    Plan::parse(&draft, powers).expect("a plan")
}

fn undo() -> Order {
    Order::Rollback { why: String::new(), instant: false }
}

fn onward() -> Order {
    Order::Promote { step: None, full: false }
}

const NO_FAULTS: Faults = Faults { crashes: 0, zombies: 0, retries: 0, refusals: 0, slow: 0, bad: 0 };

fn check(setup: Setup, never: &[&str]) {
    let checker = setup.checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    for (name, path) in checker.discoveries() {
        let is_wanted = checker.model().property(name).expectation == stateright::Expectation::Sometimes;
        assert!(is_wanted, "broken: {name}, among {states} states:\n{path}");
    }
    for property in checker.model().properties() {
        let wanted =
            property.expectation == stateright::Expectation::Sometimes && !never.contains(&property.name);
        assert!(!wanted || checker.discovery(property.name).is_some(), "never seen: {}", property.name);
    }
    assert!(checker.is_done() && states > 1_000, "{states} states");
}

#[test]
fn two_workers_with_crashes_zombies_and_commands() {
    let faults = Faults { crashes: 1, zombies: 1, ..NO_FAULTS };
    let orders = vec![undo(), onward()];
    let plan = plan(None, RollbackDraft::Instant, Powers::ALL);
    check(Setup { plan, workers: 2, faults, orders }, &[]);
}

#[test]
fn commands_that_come_twice_and_acts_that_are_tried_again() {
    let faults = Faults { crashes: 1, retries: 1, ..NO_FAULTS };
    let orders = vec![undo(), onward(), undo()];
    let plan = plan(None, RollbackDraft::Instant, Powers::ALL);
    check(Setup { plan, workers: 2, faults, orders }, &["a zombie is refused"]);
}

#[test]
fn three_workers_two_of_them_zombies() {
    let faults = Faults { zombies: 2, ..NO_FAULTS };
    let plan = plan(None, RollbackDraft::Instant, Powers::ALL);
    check(Setup { plan, workers: 3, faults, orders: vec![undo()] }, &[]);
}

#[test]
fn a_gradual_way_back_with_refusals_and_acts_that_last_too_long() {
    let faults = Faults { zombies: 1, refusals: 1, slow: 1, ..NO_FAULTS };
    let gradual = RollbackDraft::Gradual { steps: 2, every_ms: Millis(1) };
    let plan = plan(None, gradual, Powers::ALL);
    check(Setup { plan, workers: 2, faults, orders: vec![undo()] }, &[]);
}

#[test]
fn a_gradual_way_back_from_what_was_intended_and_not_done() {
    let faults = Faults { crashes: 1, zombies: 1, bad: 1, ..NO_FAULTS };
    let gradual = RollbackDraft::Gradual { steps: 3, every_ms: Millis(1) };
    let judge = JudgeDraft { slow: None, ..JudgeDraft::default() };
    let plan = plan(Some(judge), gradual, Powers::ALL);
    check(Setup { plan, workers: 2, faults, orders: vec![undo()] }, &[]);
}

#[test]
fn a_pause_at_any_time_and_no_more_is_out_before_it_ends() {
    let faults = Faults { crashes: 1, zombies: 1, ..NO_FAULTS };
    let orders = vec![Order::Pause { why: String::new() }, Order::Resume, undo()];
    let plan = plan(None, RollbackDraft::Instant, Powers::ALL);
    check(Setup { plan, workers: 2, faults, orders }, &[]);
}

#[test]
fn judged_by_measurements_that_come_at_any_time() {
    let faults = Faults { zombies: 1, bad: 1, ..NO_FAULTS };
    let judge = JudgeDraft { slow: None, ..JudgeDraft::default() };
    let plan = plan(Some(judge), RollbackDraft::Instant, Powers::ALL);
    check(Setup { plan, workers: 2, faults, orders: vec![onward()] }, &[]);
}

#[test]
fn without_a_way_back_it_freezes() {
    let faults = Faults { crashes: 1, zombies: 1, ..NO_FAULTS };
    let powers = Powers { reversible: false, ..Powers::ALL };
    let plan = plan(None, RollbackDraft::Instant, powers);
    check(Setup { plan, workers: 2, faults, orders: vec![undo(), onward()] }, &[]);
}
