//! Two people want different things at the same moment, each at another replica.

use std::time::Duration;

use hotswap_rollout::{CanaryStepDraft, Exposure, Millis, Order, PlanDraft, StrategyDraft};
use hotswap_rollout_host::{Error, Page, View};
use hotswap_runtime::Supervisor;

use crate::harness::{Extras, Home, Place, command, create, ctx, rollout_of};

/// 10 %, until a person says more.
fn gated() -> PlanDraft {
    let step = CanaryStepDraft { share_bp: 1_000, bake_ms: Millis(0), gate: true };
    PlanDraft { judge: None, ..PlanDraft::new(StrategyDraft::Canary { steps: vec![step] }) }
}

fn promote() -> Order {
    Order::Promote { step: None, full: true }
}

fn rollback() -> Order {
    Order::Rollback { why: "no".into(), instant: true }
}

/// Another process on the same store; SQLite has but one, with a driver and callers of its own.
async fn replica(place: &Place, other: &Home) -> Home {
    let db = if other.db.is_shared() { place.open().await } else { other.db.clone() };
    let gauge = Some(other.gauge.clone());
    Home::with(place.path(), db, Extras { gauge, ..Extras::default() }).await
}

/// Waits until a rollout is in this state, or has ended.
async fn until(home: &Home, view: &View, word: &str) -> View {
    let mut watching = home.rollouts.watch(&ctx("eve"), &view.name()).await.expect("watched");
    let mut last = view.clone();
    while let Some(seen) = watching.next().await.expect("a state") {
        last = seen.view;
        if last.record.state.word() == word {
            break;
        }
    }
    last
}

/// Commands that were not answered.
async fn unanswered(home: &Home) -> i64 {
    let sql = "SELECT COUNT(*) AS n FROM rollout_commands WHERE answered_at IS NULL";
    let mut tx = home.db.read().await.expect("a transaction");
    tx.fetch_opt(sql, &[]).await.expect("a row").expect("a row").int("n").expect("a number")
}

/// What came of it fits what both were told.
async fn fits(home: &Home, view: &View, up: Result<View, Error>, down: Result<View, Error>) {
    let end = until(home, view, "ended").await;
    let subject = &view.rollout.subject;
    let refused = |said: Result<View, Error>| match said {
        Ok(_) => false,
        Err(Error::Refused { .. }) => true,
        Err(other) => panic!("{subject}: {other}"),
    };
    let (up, down) = (refused(up), refused(down));
    let (word, live, out) = match down {
        // Who rolls back is refused only where it was over before.
        true => ("promoted", 2, Exposure::Full),
        false => ("rolled_back", 1, Exposure::None),
    };
    assert!(!(up && down), "{subject}: somebody got what they wanted");
    assert_eq!(
        (end.record.state.word(), home.table.standing(subject).await),
        (word, (live, out)),
        "{subject}"
    );
    let page = Page { page_size: 1_000, ..Page::default() };
    let (events, _) = home.rollouts.events(&ctx("eve"), &view.name(), &page).await.expect("events");
    assert_eq!(events.iter().filter(|e| e.kind == "ended").count(), 1, "{subject}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_promotes_and_who_rolls_back_at_two_replicas_are_both_told_what_came_of_it() {
    let place = Place::new();
    let one = Home::open(&place).await;
    let two = replica(&place, &one).await;
    let supervisor = Supervisor::new();
    one.driver.start(&supervisor);
    two.driver.start(&supervisor);
    for home in [&one, &two] {
        let db = home.db.clone();
        tokio::spawn(async move { db.exchange_hints().await });
    }
    let mut views = Vec::new();
    for i in 0..12 {
        let name = format!("tables/t{i}");
        one.table.add(&name).await;
        views.push(one.rollouts.create(&ctx("carl"), rollout_of(&name, gated())).await.expect("created"));
    }
    for (i, view) in views.iter().enumerate() {
        until(&one, view, "waiting_for_promotion").await;
        let (here, there) = if i % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let (ann, bob) = (ctx("ann"), ctx("bob"));
        let up = here.rollouts.send(&ann, command(view, promote()));
        let down = async {
            // From at once to when it may be over.
            tokio::time::sleep(Duration::from_millis(3 * (i as u64 / 2))).await;
            there.rollouts.send(&bob, command(view, rollback())).await
        };
        let (up, down) = tokio::join!(up, down);
        fits(there, view, up, down).await;
    }
    assert_eq!((unanswered(&one).await, one.table.overlaps(), two.table.overlaps()), (0, 0, 0));
    supervisor.drain(Duration::from_secs(10)).await;
    let reports = one.audit.verify(None).await.expect("verified");
    assert!(reports.iter().all(hotswap_audit::ChainReport::is_intact), "{reports:?}");
}

#[tokio::test]
async fn of_both_before_the_next_decision_the_rollback_wins_in_either_order() {
    for first_up in [true, false] {
        let place = Place::new();
        let home = Home::with_table(&place).await;
        let two = replica(&place, &home).await;
        let view = home.rollouts.create(&ctx("carl"), create(gated())).await.expect("created");
        home.settle().await;
        let send = |home: &Home, who: &'static str, order: Order| {
            let (rollouts, input) = (home.rollouts.clone(), command(&view, order));
            tokio::spawn(async move { rollouts.send(&ctx(who), input).await })
        };
        let mut sent = Vec::new();
        for (n, up) in [first_up, !first_up].into_iter().enumerate() {
            let (replica, order) = if up { (&home, promote()) } else { (&two, rollback()) };
            sent.push((up, send(replica, if up { "ann" } else { "bob" }, order)));
            // Nobody drives: it stands there, and the next one comes behind it.
            while unanswered(&home).await <= i64::try_from(n).expect("small") {
                tokio::task::yield_now().await;
            }
        }
        home.settle().await;
        for (up, said) in sent {
            let said = said.await.expect("no panic");
            match said {
                Ok(_) => assert!(!up || first_up, "who promotes behind a rollback is refused"),
                Err(Error::Refused { why, .. }) => assert!(up && !first_up, "{why}"),
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(home.word(&view).await, "rolled_back", "{first_up}");
        assert_eq!(home.table.standing("tables/t").await, (1, Exposure::None));
        let acts = home.table.acts("tables/t").await;
        assert!(acts.iter().all(|(_, act)| !act.contains("everybody")), "{acts:?}");
    }
}
