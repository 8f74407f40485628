//! Lists: pages and filters.

use hotswap_audit::{AuditError, AuditLog, Chain, ListQuery};

use crate::support::{BEGINNING, PLATFORM, entry, on_both};

fn query(filter: &str, page_size: i32) -> ListQuery {
    ListQuery { chain: PLATFORM, page_size, page_token: String::new(), filter: filter.to_owned() }
}

/// Every page of a list, as the events' places.
async fn all(log: &AuditLog, query: ListQuery) -> Vec<i64> {
    let (mut found, mut query) = (Vec::new(), query);
    loop {
        let (page, next) = log.list(&query).await.expect("a page");
        assert!(page.len() <= usize::try_from(query.page_size).expect("positive"));
        found.extend(page.iter().map(|sealed| sealed.event.sequence));
        if next.is_empty() {
            return found;
        }
        query.page_token = next;
    }
}

on_both! {
    async fn pages_give_every_event_once_newest_first(place) {
        let (_db, log) = place.log().await;
        crate::support::write(&log, 10).await;
        for size in [1, 3, 5, 10, 11] {
            assert_eq!(all(&log, query("", size)).await, (1..=10).rev().collect::<Vec<_>>(), "{size}");
        }
        let tenant = ListQuery { chain: Chain::Tenant("acme".into()), ..query("", 5) };
        assert_eq!(all(&log, tenant).await, Vec::<i64>::new());
    }

    async fn filters_keep_what_they_say(place) {
        let (_db, log) = place.log().await;
        for i in 0..10 {
            log.record_alone(&PLATFORM, entry(&log, i)).await.expect("recorded");
            place.clock.advance_micros(1_000_000);
        }
        let at = |i: i64| {
            let seconds = BEGINNING / 1_000_000 + i - 1_800_000_000;
            format!("2027-01-15T08:00:{seconds:02}Z")
        };
        for (filter, wanted) in [
            ("actor = user-1", vec![8, 5, 2]),
            ("resource = routes/r4", vec![10, 5]),
            ("resource = routes/r4 AND actor = user-1", vec![5]),
            ("resource : \"r4\"", vec![10, 5]),
            ("role = operator AND revision = 3", vec![4]),
            ("role = admin", vec![]),
            ("outcome != done", vec![]),
            ("method : UpdateRoute AND source = 192.0.2.7 AND revision = 0", vec![1]),
            (&format!("time >= {} AND time < {}", at(3), at(5)), vec![5, 4]),
            (&format!("time > {}", at(8)), vec![10]),
            (&format!("actor = user-0 AND time <= {}", at(3)), vec![4, 1]),
        ] {
            for size in [1, 2, 50] {
                assert_eq!(all(&log, query(filter, size)).await, wanted, "{filter} {size}");
            }
        }
    }

    async fn faults_of_a_list_are_named_at_once(place) {
        let (_db, log) = place.log().await;
        let bad = ListQuery { page_token: "!".into(), ..query("colour = red", -1) };
        let Err(AuditError::Invalid(faults)) = log.list(&bad).await else { panic!("it is not valid") };
        let fields: Vec<_> = faults.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["page_size", "filter", "page_token"]);
    }
}
