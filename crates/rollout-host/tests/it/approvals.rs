//! Approvals: who is asked, what they are asked about, and how long.

use hotswap_rollout::{Approvers, ContentHash, Level, Millis, Order, PlanDraft, Principal};
use hotswap_rollout_host::{Error, Pending, View};

use crate::harness::{Home, Place, create, ctx, direct};

fn asked() -> PlanDraft {
    let approvers = Approvers::Principals(vec![Principal("bob".into()), Principal("ann".into())]);
    let first = Level { approvers, quorum: 1 };
    let second = Level { approvers: Approvers::Role("operator".into()), quorum: 1 };
    PlanDraft { approvals: vec![first, second], ..direct() }
}

fn approve(hash: &str) -> Order {
    Order::Approve { content: ContentHash(hash.into()) }
}

async fn waiting(home: &Home) -> View {
    let view = home.rollouts.create(&ctx("carl"), create(asked())).await.expect("created");
    home.settle().await;
    assert_eq!(home.word(&view).await, "waiting_for_approval");
    view
}

async fn mine(home: &Home, who: &str) -> usize {
    let input = Pending { mine: true, ..Pending::default() };
    home.rollouts.pending(&ctx(who), &input).await.expect("a list").0.len()
}

#[tokio::test]
async fn it_starts_by_itself_after_the_last_level() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = waiting(&home).await;
    assert_eq!((mine(&home, "bob").await, mine(&home, "eve").await), (1, 0));
    let (all, _) = home.rollouts.pending(&ctx("eve"), &Pending::default()).await.expect("a list");
    assert_eq!((all.len(), all[0].level, all[0].quorum, all[0].content_hash.as_str()), (1, 0, 1, "h2"));
    home.say("bob", &view, approve("h2")).await.expect("counts");
    assert_eq!((mine(&home, "bob").await, mine(&home, "eve").await), (0, 1));
    home.say("eve", &view, approve("h2")).await.expect("counts");
    home.settle().await;
    assert_eq!(home.word(&view).await, "promoted");
}

#[tokio::test]
async fn neither_the_writer_nor_the_one_who_asked_approves() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = waiting(&home).await;
    // "ann" wrote the revision and is named at the first level; "carl" asked for the rollout.
    let refused = home.say("ann", &view, approve("h2")).await.expect_err("her own change");
    assert!(refused.to_string().contains("nobody approves their own change"), "{refused}");
    home.say("bob", &view, approve("h2")).await.expect("counts");
    let refused = home.say("carl", &view, approve("h2")).await.expect_err("his own rollout");
    assert!(refused.to_string().contains("nobody approves their own change"), "{refused}");
    assert_eq!(home.word(&view).await, "waiting_for_approval");
}

#[tokio::test]
async fn an_edit_voids_what_was_approved() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = waiting(&home).await;
    home.say("bob", &view, approve("h2")).await.expect("counts");
    home.table.write("tables/t", 2, "h2-edited").await;
    let mut tx = home.db.write("table").await.expect("a transaction");
    home.rollouts.touched(&mut tx, "tables/t").await.expect("told");
    tx.commit().await.expect("commits");
    home.settle().await;
    let tale = home.tale(&view).await;
    assert!(tale.iter().any(|t| t.contains("what was approved is void")), "{tale:?}");
    let changed = home.say("eve", &view, approve("h2")).await.expect_err("she saw something else");
    let Error::ContentChanged { current, .. } = changed else { panic!("{changed}") };
    assert_eq!(current, "h2-edited");
    home.say("bob", &view, approve("h2-edited")).await.expect("counts anew");
    assert_eq!(home.word(&view).await, "waiting_for_approval");
}

#[tokio::test]
async fn it_expires_by_the_clock_of_the_database() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = waiting(&home).await;
    home.pass(Millis::hours(49));
    home.settle().await;
    assert!(home.tale(&view).await.iter().any(|t| t.contains("still asked for")), "reminded");
    home.pass(Millis::hours(24));
    home.settle().await;
    assert_eq!(home.word(&view).await, "not_started");
    assert!(home.tale(&view).await.last().expect("an end").contains("not approved within 72 h"));
    assert!(home.table.acts("tables/t").await.is_empty());
}

#[tokio::test]
async fn a_rejection_ends_it() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = waiting(&home).await;
    home.say("bob", &view, Order::Reject { why: "no".into() }).await.expect("rejected");
    assert_eq!(home.word(&view).await, "not_started");
    assert_eq!(home.tale(&view).await.last().map(String::as_str), Some("not started: bob rejected it: no"));
}

#[tokio::test]
async fn a_subject_that_is_gone_ends_it() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = waiting(&home).await;
    home.table.delete("tables/t").await;
    // Nobody told: it is found within a minute.
    home.pass(Millis::minutes(1));
    home.settle().await;
    assert_eq!(home.word(&view).await, "not_started");
}
