//! The subject is deleted or edited while its rollout is under way.

use hotswap_rollout::Exposure;

use crate::harness::{Home, Place, canary, counts, create, ctx};

/// Has what was changed looked at, as the domain does that changed it.
async fn touched(home: &Home) {
    let mut tx = home.db.write("table").await.expect("a transaction");
    home.rollouts.touched(&mut tx, "tables/t").await.expect("told");
    tx.commit().await.expect("commits");
}

#[tokio::test]
async fn one_whose_subject_is_deleted_is_taken_back_whatever_its_counts_say() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    home.settle().await;
    home.measure(counts(5_000, 50), 3).await;
    home.table.delete("tables/t").await;
    touched(&home).await;
    home.settle().await;
    assert_eq!((home.word(&view).await, home.out().await), ("rolled_back", Exposure::None));
    let tale = home.tale(&view).await;
    assert!(tale.last().is_some_and(|end| end.contains("deleted")), "{tale:?}");
}

#[tokio::test]
async fn what_is_edited_behind_its_approval_is_taken_back_while_it_runs() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    home.settle().await;
    home.table.write("tables/t", 2, "h2-edited").await;
    touched(&home).await;
    home.settle().await;
    assert_eq!((home.word(&view).await, home.out().await), ("rolled_back", Exposure::None));
    assert_eq!(home.table.standing("tables/t").await.0, 1, "what nobody approved is not live");
}
