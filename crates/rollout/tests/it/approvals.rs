use hotswap_rollout::{
    Answered, Approvers, ContentHash, Event, Facts, Level, Millis, Order, PlanDraft, Subject,
};

use crate::world::{World, content, draft, promote, share};

fn approve(hash: &str) -> Order {
    Order::Approve { content: ContentHash(hash.into()) }
}

fn waiting() -> World {
    let approvals = vec![
        Level { approvers: Approvers::Role("operator".into()), quorum: 1 },
        Level { approvers: Approvers::Role("operator".into()), quorum: 2 },
    ];
    let mut world = World::new(&PlanDraft { approvals, ..draft() });
    world.settle();
    assert_eq!(world.word(), "waiting_for_approval");
    world
}

#[test]
fn after_the_last_approval_it_starts_by_itself() {
    let mut world = waiting();
    for name in ["bob", "eve", "dan"] {
        assert_eq!(world.word(), "waiting_for_approval");
        assert_eq!(world.say(name, approve("h1")), Answered::Done);
    }
    while world.do_requested() {}
    assert_eq!(world.out, share(1_000));
}

#[test]
fn the_author_and_strangers_are_refused_with_the_reason() {
    let mut world = waiting();
    let own = world.say("ann", approve("h1"));
    assert!(matches!(own, Answered::Refused(why) if why.contains("nobody approves their own change")));
    let command = world.command_of("zoe", &["viewer"], approve("h1"));
    world.turn(Facts { commands: vec![command], ..Facts::default() });
    let stranger = &world.last.answers[0].result;
    assert!(matches!(stranger, Answered::Refused(why) if why.contains("role operator may")), "{stranger:?}");
    assert!(matches!(world.say("bob", promote()), Answered::Refused(_)));
}

#[test]
fn an_edit_voids_what_was_approved() {
    let mut world = waiting();
    world.say("bob", approve("h1"));
    world.see(Subject::Present(content("h2")));
    assert!(world.log.contains(&Event::ApprovalsVoided));
    assert!(matches!(world.say("eve", approve("h1")), Answered::Refused(_)));
    for name in ["bob", "eve", "dan"] {
        assert_eq!(world.word(), "waiting_for_approval");
        assert_eq!(world.say(name, approve("h2")), Answered::Done);
    }
    assert_eq!(world.word(), "running");
}

#[test]
fn an_edit_that_comes_with_the_last_approval_voids_it_too() {
    let mut world = waiting();
    world.say("bob", approve("h1"));
    world.say("eve", approve("h1"));
    let command = world.command_of("dan", &["operator"], approve("h1"));
    let subject = Some(Subject::Present(content("h2")));
    world.turn(Facts { commands: vec![command], subject, ..Facts::default() });
    assert_eq!(world.word(), "waiting_for_approval");
    assert!(world.acts.is_empty());
}

#[test]
fn it_reminds_once_and_ends_after_72_hours() {
    let mut world = waiting();
    world.now = world.last.wake_at.expect("a time to wake");
    world.settle();
    world.settle();
    assert_eq!(world.log.iter().filter(|e| **e == Event::ApprovalReminded).count(), 1);
    world.pass(Millis::hours(24));
    world.settle();
    assert_eq!(world.tale(), "not started: it was not approved within 72 h");
}

#[test]
fn a_rejection_ends_it() {
    let mut world = waiting();
    assert_eq!(world.say("bob", Order::Reject { why: "no".into() }), Answered::Done);
    assert_eq!(world.tale(), "not started: bob rejected it: no");
}

#[test]
fn what_is_deleted_while_it_waits_is_not_started() {
    let mut world = waiting();
    world.see(Subject::Gone);
    assert_eq!(world.word(), "not_started");
}
