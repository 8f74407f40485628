//! What was measured is dropped a while after the end; what happened stays.

use std::time::Duration;

use hotswap_rollout::judge::Verdict;
use hotswap_rollout::{CountSource, Millis};
use hotswap_rollout_host::{Create, Error, Page, View};

use crate::harness::{Home, Place, canary, counts, create, ctx, rollout_of};

const DAY: Duration = Duration::from_secs(86_400);

async fn measured(home: &Home, view: &View) -> usize {
    let page = Page { page_size: 1_000, ..Page::default() };
    home.rollouts.measurements(&ctx("eve"), &view.name(), &page).await.expect("a page").0.len()
}

async fn rows(home: &Home, sql: &'static str) -> i64 {
    let mut tx = home.db.read().await.expect("a transaction");
    tx.fetch_opt(sql, &[]).await.expect("a row").expect("a row").int("n").expect("a number")
}

/// A canary that was taken back after so many seconds of measurements.
async fn taken_back(home: &Home, subject: &str, seconds: u64) -> View {
    home.table.add(subject).await;
    let input = rollout_of(subject, canary());
    let view = home.rollouts.create(&ctx("ann"), input).await.expect("created");
    home.settle().await;
    home.measure(counts(100, 1), seconds).await;
    home.measure(counts(1_000, 300), 2).await;
    assert_eq!(home.word(&view).await, "rolled_back");
    view
}

#[tokio::test]
async fn measurements_go_a_while_after_the_end_and_what_happened_stays() {
    let place = Place::new();
    let home = Home::open(&place).await;
    let old = taken_back(&home, "tables/old", 20).await;
    home.pass(Millis::hours(24));
    let young = taken_back(&home, "tables/young", 5).await;
    home.table.add("tables/t").await;
    let running = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    home.settle().await;
    home.measure(counts(100, 1), 5).await;
    let before = (measured(&home, &young).await, measured(&home, &running).await);
    let (was, tale) = (home.get(&old).await, home.tale(&old).await);
    assert!(measured(&home, &old).await > 20);

    assert_eq!(home.rollouts.drop_measurements(DAY * 2).await.expect("looked"), 0);
    assert_eq!(home.rollouts.measurements_dropped(&ctx("eve"), &old.name()).await.expect("read"), None);
    let from = home.now().await;
    assert_eq!(home.rollouts.drop_measurements(DAY).await.expect("dropped"), 1);
    assert_eq!(measured(&home, &old).await, 0);
    let dropped = home.rollouts.measurements_dropped(&ctx("eve"), &old.name()).await.expect("read");
    let by = home.now().await;
    assert!(dropped.is_some_and(|at| (from..=by).contains(&at)), "{dropped:?}");
    // All else of it is as it was.
    assert_eq!((home.get(&old).await, home.tale(&old).await), (was, tale));
    assert_eq!(home.get(&old).await.verdict.map(|(verdict, _)| verdict), Some(Verdict::Fail));
    assert!(!home.audited(&old).await.is_empty());
    // The others keep theirs, however long ago the one under way began.
    assert_eq!((measured(&home, &young).await, measured(&home, &running).await), before);
    assert_eq!(home.rollouts.drop_measurements(DAY).await.expect("looked"), 0, "once");
    assert_eq!(home.rollouts.drop_measurements(Duration::ZERO).await.expect("dropped"), 1, "not what runs");
    assert_eq!(measured(&home, &running).await, before.1);
    let nobody = home.rollouts.measurements_dropped(&ctx("eve"), &uuid::Uuid::nil().to_string()).await;
    assert!(matches!(nobody, Err(Error::NotFound { .. })), "{nobody:?}");
}

#[tokio::test]
async fn what_is_too_much_for_one_transaction_and_what_clients_reported_goes_too() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let input = Create { source: CountSource::Reported, ..create(canary()) };
    let view = home.rollouts.create(&ctx("ann"), input).await.expect("created");
    home.settle().await;
    home.measure(counts(1, 0), 2).await;
    let mut tx = home.db.write_unscoped().await.expect("a transaction");
    let many = "INSERT INTO rollout_measurements (rollout_id, at, since, epoch, slow_over_us, measurement, finding) \
                SELECT rollout_id, at + n, since, epoch, slow_over_us, measurement, finding \
                FROM (SELECT * FROM rollout_measurements ORDER BY at LIMIT 1) AS one, \
                (WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2500) \
                SELECT n FROM numbers) AS numbers";
    assert_eq!(tx.execute(many, &[]).await.expect("written"), 2_500);
    let one = "INSERT INTO rollout_counts (rollout_id, reporter, epoch, baseline, candidate, reported_at) \
               SELECT id, 'a', 1, '{}', '{}', 0 FROM rollouts";
    tx.execute(one, &[]).await.expect("written");
    tx.commit().await.expect("commits");
    let back = hotswap_rollout::Order::Rollback { why: String::new(), instant: true };
    home.say("bob", &view, back).await.expect("taken");
    home.settle().await;
    home.pass(Millis(1));
    assert_eq!(home.rollouts.drop_measurements(Duration::ZERO).await.expect("dropped"), 1);
    assert_eq!(rows(&home, "SELECT COUNT(*) AS n FROM rollout_measurements").await, 0);
    assert_eq!(rows(&home, "SELECT COUNT(*) AS n FROM rollout_counts").await, 0);
}

/// What is left in each table of rollouts.
async fn left(home: &Home) -> [i64; 5] {
    const OF: [&str; 5] = [
        "SELECT COUNT(*) AS n FROM rollouts",
        "SELECT COUNT(*) AS n FROM rollout_events",
        "SELECT COUNT(*) AS n FROM rollout_commands",
        "SELECT COUNT(*) AS n FROM rollout_measurements",
        "SELECT COUNT(*) AS n FROM rollout_counts",
    ];
    let mut counts = [0; 5];
    for (count, sql) in counts.iter_mut().zip(OF) {
        *count = rows(home, sql).await;
    }
    counts
}

/// A canary of a table that is there, taken back by a person at once.
async fn taken_back_by_hand(home: &Home, subject: &str) -> View {
    let view = home.rollouts.create(&ctx("ann"), rollout_of(subject, canary())).await.expect("created");
    home.settle().await;
    let back = hotswap_rollout::Order::Rollback { why: String::new(), instant: true };
    home.say("bob", &view, back).await.expect("taken");
    home.settle().await;
    assert_eq!(home.word(&view).await, "rolled_back");
    view
}

#[tokio::test]
async fn a_rollout_goes_a_while_after_its_end_unless_it_is_the_last_one_of_its_subject() {
    let place = Place::new();
    let home = Home::open(&place).await;
    let first = taken_back(&home, "tables/a", 5).await;
    let alone = taken_back(&home, "tables/b", 5).await;
    let second = taken_back_by_hand(&home, "tables/a").await;
    home.pass(Millis::hours(24));
    let third = taken_back_by_hand(&home, "tables/a").await;
    let running = home.rollouts.create(&ctx("ann"), rollout_of("tables/b", canary())).await.expect("created");
    home.settle().await;
    let before = left(&home).await;
    assert_eq!(home.rollouts.drop_ended(DAY * 2, "x").await.expect("looked"), 0);
    assert_eq!(left(&home).await, before, "too young");

    let kept = [&alone, &third, &running];
    let mut tales = Vec::new();
    for view in kept {
        tales.push((home.get(view).await, home.tale(view).await));
    }
    assert_eq!(home.rollouts.drop_ended(DAY, "x").await.expect("dropped"), 2, "the last one of b stays");
    for view in [&first, &second] {
        let gone = home.rollouts.get(&ctx("eve"), &view.name()).await;
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
        let gone = home.rollouts.events(&ctx("eve"), &view.name(), &Page::default()).await;
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
        assert!(!home.audited(view).await.is_empty(), "the audit log has it still");
    }
    for (view, tale) in kept.into_iter().zip(tales) {
        assert_eq!((home.get(view).await, home.tale(view).await), tale);
    }
    assert_eq!(
        home.rollouts.drop_ended(Duration::ZERO, "x").await.expect("looked"),
        0,
        "once, and not the last"
    );
    // Nothing is left of those that are gone.
    let strangers = "SELECT COUNT(*) AS n FROM (SELECT rollout_id FROM rollout_events UNION ALL \
                     SELECT rollout_id FROM rollout_commands UNION ALL SELECT rollout_id FROM rollout_measurements) \
                     AS rest WHERE rollout_id NOT IN (SELECT id FROM rollouts)";
    assert_eq!(rows(&home, strangers).await, 0);
}

#[tokio::test]
async fn one_process_drops_rollouts_and_many_rows_take_several_transactions() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(taken_back_by_hand(&home, "tables/t").await);
    }
    home.pass(Millis(1));
    let mut tx = home.db.write_unscoped().await.expect("a transaction");
    let many = "INSERT INTO rollout_events (rollout_id, seq, at, kind, event) \
                SELECT rollout_id, seq + n, at, kind, event \
                FROM (SELECT * FROM rollout_events WHERE rollout_id = $1 ORDER BY seq DESC LIMIT 1) AS one, \
                (WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2500) \
                SELECT n FROM numbers) AS numbers";
    let id = all[0].rollout.id.0.to_string();
    assert_eq!(tx.execute(many, &[id.as_str().into()]).await.expect("written"), 2_500);
    tx.commit().await.expect("commits");

    let other = home.db.acquire_lease("retention/rollouts", "other", Duration::from_secs(60)).await;
    let other = other.expect("the store answers").expect("nobody has it");
    assert_eq!(
        home.rollouts.drop_ended(Duration::ZERO, "x").await.expect("looked"),
        0,
        "another one does it"
    );
    home.db.release_lease(&other).await.expect("given back");
    assert_eq!(home.rollouts.drop_ended(Duration::ZERO, "x").await.expect("dropped"), 2);
    assert_eq!(rows(&home, "SELECT COUNT(*) AS n FROM rollouts").await, 1);
    let tale = home.tale(&all[2]).await.len();
    assert_eq!(
        rows(&home, "SELECT COUNT(*) AS n FROM rollout_events").await,
        i64::try_from(tale).expect("small")
    );
}
