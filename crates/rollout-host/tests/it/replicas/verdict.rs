//! What must hold at the end.

use std::collections::BTreeSet;

use hotswap_rollout::{Exposure, Record};
use hotswap_rollout_host::{Page, View};

use crate::harness::{Home, ctx};

/// How many rollouts have not ended.
pub(crate) async fn active(home: &Home) -> i64 {
    number(home, "SELECT COUNT(*) AS n FROM rollouts WHERE ended_at IS NULL").await
}

/// How many acts were done, of all of them.
pub(crate) async fn acts(home: &Home) -> i64 {
    number(home, "SELECT COUNT(*) AS n FROM table_acts").await
}

/// How many are on their way back.
pub(crate) async fn going_back(home: &Home) -> i64 {
    number(home, "SELECT COUNT(*) AS n FROM rollouts WHERE state = 'rolling_back'").await
}

/// Those that have not ended, with their states.
pub(crate) async fn left(home: &Home) -> Vec<String> {
    let sql = "SELECT subject, state FROM rollouts WHERE ended_at IS NULL ORDER BY subject";
    let mut tx = home.db.read().await.expect("a transaction");
    let rows = tx.fetch_all(sql, &[]).await.expect("rows");
    let told = |r: &hotswap_store::Row| {
        format!("{}: {}", r.text("subject").expect("text"), r.text("state").expect("text"))
    };
    rows.iter().map(told).collect()
}

async fn number(home: &Home, sql: &'static str) -> i64 {
    let mut tx = home.db.read().await.expect("a transaction");
    let row = tx.fetch_opt(sql, &[]).await.expect("a row").expect("a row");
    row.int("n").expect("a number")
}

/// Checks each rollout, the commands and the audit log; gives the figures.
pub(crate) async fn check(home: &Home, views: &[View]) -> String {
    let (mut acts, mut repeated, mut events) = (0, 0, 0);
    for view in views {
        let (done, again) = check_one(home, view).await;
        acts += done;
        repeated += again;
        events += home.get(view).await.last_event;
    }
    let waiting = number(home, "SELECT COUNT(*) AS n FROM rollout_commands WHERE answered_at IS NULL").await;
    assert_eq!(waiting, 0, "every command is answered");
    let reports = home.audit.verify(None).await.expect("verified");
    assert!(reports.iter().all(hotswap_audit::ChainReport::is_intact), "{reports:?}");
    let audited: u64 = reports.iter().map(|report| report.events).sum();
    format!(
        "{acts} acts, {repeated} of them again after a kill, each under a higher fence; {events} events; audit log of \
         {audited} events whole"
    )
}

async fn check_one(home: &Home, view: &View) -> (usize, usize) {
    let now = home.get(view).await;
    let subject = &view.rollout.subject;
    let good = subject.contains("direct") || subject.contains("good");
    let Record { state, .. } = &now.record;
    let (want, live, out) =
        if good { ("promoted", 2, Exposure::Full) } else { ("rolled_back", 1, Exposure::None) };
    assert_eq!((state.word(), home.table.standing(subject).await), (want, (live, out)), "{subject}");
    let page = Page { page_size: 1_000, ..Page::default() };
    let (events, _) = home.rollouts.events(&ctx("eve"), &view.name(), &page).await.expect("events");
    let places: Vec<_> = events.iter().map(|e| e.seq).collect();
    assert_eq!(places, (1..=now.last_event).collect::<Vec<_>>(), "{subject}: no event is lost");
    assert_eq!(events.iter().any(|e| e.kind == "rollback_began"), !good, "{subject}: it had a way back");
    for kind in ["started", "ended"] {
        assert_eq!(events.iter().filter(|e| e.kind == kind).count(), 1, "{subject}: {kind} once");
    }
    let acts = home.table.acts(subject).await;
    assert!(acts.is_sorted_by_key(|(fence, _)| *fence), "{subject}: {acts:?}");
    // The same act twice under one fence would be one driver too many.
    let unique: BTreeSet<_> = acts.iter().collect();
    assert_eq!(unique.len(), acts.len(), "{subject}: {acts:?}");
    let again = acts.windows(2).filter(|pair| pair[0].1 == pair[1].1).count();
    (acts.len(), again)
}
