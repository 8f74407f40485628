//! Counts that clients report, and verdicts that can be made again.

use hotswap_rollout::judge::{Arm, Evidence, Reading, Tally, Verdict};
use hotswap_rollout::{Approvers, CountSource, Exposure, Level, Millis, PlanDraft};
use hotswap_rollout_host::{Create, Error, Page, Report};

use crate::harness::{Home, Place, canary, counts, create, ctx};

fn arm(requests: u64, errors: u64) -> Arm {
    Arm { all: Tally { requests, errors, slow: 0 }, buckets: vec![] }
}

fn report(name: &str, reporter: &str, step: u32, errors: u64) -> Report {
    Report {
        name: name.into(),
        reporter: reporter.into(),
        step,
        baseline: arm(4_500, 45),
        candidate: arm(500, errors),
        baseline_p95_us: Some(20_000),
        slow_over_us: None,
    }
}

fn reported() -> Create {
    Create { source: CountSource::Reported, ..create(canary()) }
}

#[tokio::test]
async fn a_rollout_is_judged_by_what_clients_report() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), reported()).await.expect("created");
    home.settle().await;
    let send = |r: Report| {
        let rollouts = home.rollouts.clone();
        async move { rollouts.report_counts(&ctx("app"), &r).await.expect("taken") }
    };
    let counting = send(report(&view.name(), "a", 9, 400)).await;
    assert_eq!((counting.step, counting.counting), (1, true), "the exposure is the second step");
    home.pass(Millis(1_000));
    home.settle().await;
    let newest = |home: &Home| {
        let (rollouts, name) = (home.rollouts.clone(), view.name());
        async move { rollouts.measurements(&ctx("eve"), &name, &Page::default()).await.expect("some").0.remove(0) }
    };
    assert_eq!(newest(&home).await.measurement.reading, Reading::NoData, "of another step");
    send(report(&view.name(), "a", 1, 5)).await;
    send(report(&view.name(), "b", 1, 5)).await;
    send(report(&view.name(), "b", 1, 5)).await;
    home.pass(Millis(1_000));
    home.settle().await;
    let Reading::Counts(sum) = newest(&home).await.measurement.reading else { panic!("no counts") };
    assert_eq!((sum.candidate.all.requests, sum.baseline.all.errors), (1_000, 90), "b counts once");
    let counting = send(report(&view.name(), "b", 1, 5)).await;
    assert_eq!(counting.slow_over_us, Some(40_000));
    send(report(&view.name(), "b", 1, 400)).await;
    home.pass(Millis(1_000));
    home.settle().await;
    assert_eq!((home.word(&view).await, home.out().await), ("rolled_back", Exposure::None));
}

#[tokio::test]
async fn what_was_counted_before_slow_was_known_says_nothing_of_slow_requests() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), reported()).await.expect("created");
    home.settle().await;
    let send = |r: Report| {
        let rollouts = home.rollouts.clone();
        async move { rollouts.report_counts(&ctx("app"), &r).await.expect("taken") }
    };
    let timed = || async {
        home.pass(Millis(1_000));
        home.settle().await;
        let (page, ctx) = (Page::default(), ctx("eve"));
        let newest = home.rollouts.measurements(&ctx, &view.name(), &page).await.expect("some").0.remove(0);
        let Reading::Counts(counts) = newest.measurement.reading else { panic!("no counts") };
        counts.timed
    };
    send(report(&view.name(), "a", 1, 5)).await;
    assert!(!timed().await);
    let counting = send(report(&view.name(), "a", 1, 5)).await;
    assert_eq!(counting.slow_over_us, Some(40_000));
    assert!(!timed().await, "the same report, and what is slow is known by now");
    let known = |reporter| Report { slow_over_us: Some(40_000), ..report(&view.name(), reporter, 1, 5) };
    // It counts anew from when it knew, so it has less.
    send(Report { candidate: arm(400, 4), baseline: arm(4_000, 40), ..known("a") }).await;
    assert!(timed().await);
    send(report(&view.name(), "b", 1, 5)).await;
    assert!(!timed().await, "one of two does not know it");
    send(known("b")).await;
    assert!(timed().await);
}

#[tokio::test]
async fn reports_for_what_has_ended_leave_nothing() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    // It waits for approval, so it is never measured.
    let level = Level { approvers: Approvers::Role("admin".into()), quorum: 1 };
    let plan = PlanDraft { approvals: vec![level], ..canary() };
    let input = Create { plan, ..reported() };
    let view = home.rollouts.create(&ctx("ann"), input).await.expect("created");
    let back = hotswap_rollout::Order::Rollback { why: String::new(), instant: true };
    let send = async |reporter| {
        let report = report(&view.name(), reporter, 1, 5);
        home.rollouts.report_counts(&ctx("app"), &report).await.expect("answered")
    };
    send("early").await;
    home.say("bob", &view, back).await.expect("taken");
    home.settle().await;
    assert_eq!(home.word(&view).await, "not_started");
    assert!(!send("late").await.counting);
    let reporters = async || {
        let mut tx = home.db.read().await.expect("a transaction");
        let rows = tx.fetch_all("SELECT reporter FROM rollout_counts", &[]).await.expect("rows");
        rows.iter().map(|row| row.text("reporter").expect("text")).collect::<Vec<_>>()
    };
    assert_eq!(reporters().await, ["early"]);
    // What was reported for it goes all the same.
    home.pass(Millis(1));
    assert_eq!(home.rollouts.drop_measurements(std::time::Duration::ZERO).await.expect("looked"), 0);
    assert!(reporters().await.is_empty());
}

#[tokio::test]
async fn counts_that_nobody_asks_for_are_refused() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    let refused = home.rollouts.report_counts(&ctx("app"), &report(&view.name(), "a", 1, 5)).await;
    assert!(matches!(refused, Err(Error::NothingCounted { .. })));
    let mut bad = report(&view.name(), "", 1, 900);
    bad.baseline.buckets = vec![Tally::default(); 65];
    let Err(Error::Invalid(faults)) = home.rollouts.report_counts(&ctx("app"), &bad).await else {
        panic!("faults")
    };
    let fields: Vec<_> = faults.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["reporter", "baseline.buckets", "candidate"]);
}

#[tokio::test]
async fn a_stored_rollout_judged_again_gives_the_same_verdicts() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    home.settle().await;
    home.measure(Reading::NoData, 1).await;
    home.measure(Reading::Broken("away".into()), 1).await;
    for n in 1..20 {
        home.measure(counts(n * 50, n * 50 / 100), 1).await;
    }
    home.measure(counts(1_200, 130), 1).await;
    home.measure(counts(2_000, 400), 1).await;
    assert_eq!(home.word(&view).await, "rolled_back");
    home.db.close().await;
    // From another handle: nothing of it is in memory.
    let other = Home::open(&place).await;
    let page = Page { page_size: 1_000, ..Page::default() };
    let (stored, _) = other.rollouts.measurements(&ctx("eve"), &view.name(), &page).await.expect("some");
    assert!(stored.len() > 20);
    let view = other.get(&view).await;
    let judge = view.rollout.plan.judge().expect("a judge");
    let mut evidence: Option<Evidence> = None;
    for m in stored.iter().rev() {
        if evidence.as_ref().is_none_or(|e| e.epoch() != m.measurement.epoch) {
            evidence = view.rollout.plan.begin_evidence(m.measurement.epoch, m.since);
        }
        let found = evidence.as_mut().expect("begun").take(judge, &m.measurement).expect("newer");
        assert_eq!((found.verdict, &found.words), (m.finding.verdict, &m.finding.words));
        assert_eq!(found.figures.len(), m.finding.figures.len());
    }
    assert_eq!(view.verdict.map(|(v, _)| v), Some(Verdict::Fail));
    let reports = other.audit.verify(None).await.expect("verified");
    assert!(reports.iter().all(hotswap_audit::ChainReport::is_intact), "{reports:?}");
}
