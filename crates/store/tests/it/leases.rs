//! Leases on both databases.

use std::time::Duration;

use hotswap_store::StoreError;

use crate::support::on_both;

const TTL: Duration = Duration::from_secs(10);
const LATER: i64 = 11_000_000;

on_both! {
    async fn a_lease_has_one_holder_until_its_time_is_up(stores) {
        let db = stores.db().await;
        let first = db.acquire_lease("l", "a", TTL).await.expect("asked").expect("free");
        assert_eq!(db.acquire_lease("l", "b", TTL).await.expect("asked"), None);
        assert_eq!(db.acquire_lease("l", "a", TTL).await.expect("asked"), Some(first.clone()));
        assert!(db.acquire_lease("other", "b", TTL).await.expect("asked").is_some());
        db.set_clock_offset_micros(LATER);
        let second = db.acquire_lease("l", "b", TTL).await.expect("asked").expect("its time was up");
        assert_eq!((second.holder.as_str(), second.fence), ("b", first.fence + 1));
    }

    async fn who_lost_a_lease_can_not_write_under_it_and_who_holds_it_can(stores) {
        let db = stores.db().await;
        let first = db.acquire_lease("l", "a", TTL).await.expect("asked").expect("free");
        db.set_clock_offset_micros(LATER);
        let mut tx = db.write("gateway").await.expect("tx");
        tx.check_fence(&first).await.expect("late, but nobody else has it");
        drop(tx);
        let second = db.acquire_lease("l", "b", TTL).await.expect("asked").expect("free");
        let mut tx = db.write("gateway").await.expect("tx");
        let fenced = tx.check_fence(&first).await.expect_err("it passed on");
        assert!(matches!(&fenced, StoreError::Fenced { lease } if lease == "l"), "{fenced:?}");
        tx.check_fence(&second).await.expect("it holds");
    }

    async fn a_holder_that_comes_back_too_late_gets_another_fence(stores) {
        let db = stores.db().await;
        let first = db.acquire_lease("l", "a", TTL).await.expect("asked").expect("free");
        db.set_clock_offset_micros(LATER);
        let again = db.acquire_lease("l", "a", TTL).await.expect("asked").expect("free");
        assert_eq!(again.fence, first.fence + 1);
    }

    async fn a_lease_given_back_is_free_and_a_lost_one_stays_with_its_new_holder(stores) {
        let db = stores.db().await;
        let first = db.acquire_lease("l", "a", TTL).await.expect("asked").expect("free");
        db.release_lease(&first).await.expect("released");
        let second = db.acquire_lease("l", "b", TTL).await.expect("asked").expect("free");
        db.release_lease(&first).await.expect("too late, and no matter");
        assert_eq!(db.acquire_lease("l", "a", TTL).await.expect("asked"), None);
        assert!(second.fence > first.fence);
    }

    async fn a_lease_is_no_news_to_those_who_watch_commits_and_a_revision_is(stores) {
        let db = stores.db().await;
        let mut commits = db.watch_commits();
        commits.mark_unchanged();
        let lease = db.acquire_lease("l", "a", TTL).await.expect("asked").expect("free");
        db.release_lease(&lease).await.expect("released");
        assert!(!commits.has_changed().expect("open"));
        let mut tx = db.write("gateway").await.expect("tx");
        tx.next_revision("gateway").await.expect("next");
        tx.commit().await.expect("commit");
        assert!(commits.has_changed().expect("open"));
    }

    async fn of_many_that_ask_at_once_one_gets_it(stores) {
        let db = stores.db().await;
        let names: Vec<String> = (0..8).map(|i| i.to_string()).collect();
        let asked = names.iter().map(|name| db.acquire_lease("l", name, TTL));
        let got = futures_util::future::join_all(asked).await;
        assert_eq!(got.into_iter().filter(|l| l.as_ref().expect("asked").is_some()).count(), 1);
    }
}
