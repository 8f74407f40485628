//! What is put, and what is made of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use hotswap_core::Timestamp;
use hotswap_notify::{DeliveryState, METRICS, Message, NotifyError, keep_outbox};
use hotswap_store::Db;
use serde_json::json;

use crate::receiver::Receiver;
use crate::support::{message, on_both};

on_both! {
    async fn a_message_is_there_with_its_transaction_or_not_at_all(place) {
        let (db, receiver) = (place.db().await, Receiver::start([]).await);
        let mut tx = db.write_unscoped().await.expect("tx");
        place.outbox().put(&mut tx, &message("rollouts/1/1", "rollout.started")).await.expect("put");
        drop(tx);
        place.put(&db, &message("rollouts/1/2", "rollout.promoted")).await;
        let sender = place.sender(&db, &place.webhook("hook", &receiver.url("/"), ""));
        place.until(&db, "rollouts/1/2", DeliveryState::Sent).await;
        sender.stop().await;
        let told: Vec<_> = receiver.calls().iter().map(|c| c.body.contains("rollout.promoted")).collect();
        assert_eq!(told, [true], "what was rolled back was told nobody");
    }

    async fn a_key_is_told_once_however_often_it_is_put(place) {
        let (db, receiver) = (place.db().await, Receiver::start([]).await);
        assert!(place.put(&db, &message("rollouts/1/1", "rollout.started")).await);
        assert!(!place.put(&db, &message("rollouts/1/1", "rollout.started")).await);
        let sender = place.sender(&db, &place.webhook("hook", &receiver.url("/"), ""));
        place.until(&db, "rollouts/1/1", DeliveryState::Sent).await;
        assert!(!place.put(&db, &message("rollouts/1/1", "rollout.started")).await);
        place.put(&db, &message("rollouts/1/2", "rollout.started")).await;
        place.until(&db, "rollouts/1/2", DeliveryState::Sent).await;
        sender.stop().await;
        assert_eq!(receiver.calls().len(), 2);
    }

    async fn a_message_that_is_known_leaves_the_transaction_good(place) {
        let db = place.db().await;
        place.put(&db, &message("rollouts/1/1", "rollout.started")).await;
        let mut tx = db.write_unscoped().await.expect("tx");
        let outbox = place.outbox();
        assert!(!outbox.put(&mut tx, &message("rollouts/1/1", "rollout.started")).await.expect("known"));
        assert!(outbox.put(&mut tx, &message("rollouts/1/2", "rollout.started")).await.expect("new"));
        tx.commit().await.expect("commits");
    }

    async fn each_channel_gets_what_it_wants_and_nothing_else(place) {
        let (db, receiver) = (place.db().await, Receiver::start([]).await);
        let config = [
            place.webhook("all", &receiver.url("/all"), ""),
            place.webhook("some", &receiver.url("/some"), "wants = [\"rollout.*\"]"),
            place.webhook("one", &receiver.url("/one"), "wants = [\"rollout.frozen\"]"),
        ]
        .concat();
        for (key, kind) in [("a", "rollout.frozen"), ("b", "rollout.started"), ("c", "config.changed")] {
            place.put(&db, &message(key, kind)).await;
        }
        let sender = place.sender(&db, &config);
        for key in ["a", "b", "c"] {
            place.until(&db, key, DeliveryState::Sent).await;
        }
        sender.stop().await;
        let mut paths: Vec<_> = receiver.calls().into_iter().map(|call| call.path).collect();
        paths.sort();
        assert_eq!(paths, ["/all", "/all", "/all", "/one", "/some", "/some"]);
        let calls = receiver.calls();
        let of = |kind: &str| -> BTreeSet<String> {
            let of_kind = calls.iter().filter(|c| c.body.contains(kind));
            of_kind.map(|c| c.header("webhook-id").to_owned()).collect()
        };
        assert_eq!(of("rollout.frozen").len(), 1, "one identity on all channels");
    }

    async fn a_message_that_nobody_wants_is_done(place) {
        let (db, receiver) = (place.db().await, Receiver::start([]).await);
        let config = place.webhook("hook", &receiver.url("/"), "wants = [\"rollout.frozen\"]");
        place.put(&db, &message("a", "rollout.started")).await;
        place.put(&db, &message("b", "rollout.frozen")).await;
        let sender = place.sender(&db, &config);
        place.until(&db, "b", DeliveryState::Sent).await;
        assert!(place.deliveries(&db, "a").await.is_empty());
        assert!(sender.metrics().contains("hotswap_notify_messages_total 2"), "{}", sender.metrics());
        sender.stop().await;
    }

    async fn a_slow_channel_holds_up_no_other(place) {
        let (db, slow, quick) = (place.db().await, Receiver::silent([]).await, Receiver::start([]).await);
        let config = [
            place.webhook("slow", &slow.url("/"), ""),
            place.webhook("quick", &quick.url("/"), ""),
        ]
        .concat();
        for i in 0..20 {
            place.put(&db, &message(&format!("k{i}"), "rollout.started")).await;
        }
        let sender = place.sender(&db, &config);
        assert_eq!(quick.called(20).await.len(), 20);
        assert_eq!(slow.called(4).await.len(), 4, "four at a time, and none of them is answered");
        slow.answer(100);
        slow.called(20).await;
        sender.stop().await;
    }

    async fn two_senders_share_the_work_and_never_send_the_same_at_once(place) {
        let (db, receiver) = (place.db().await, Receiver::start([]).await);
        for i in 0..100 {
            place.put(&db, &message(&format!("k{i}"), "rollout.started")).await;
        }
        let config = place.webhook("hook", &receiver.url("/"), "");
        let senders = [place.sender(&db, &config), place.sender(&db, &config)];
        for i in 0..100 {
            place.until(&db, &format!("k{i}"), DeliveryState::Sent).await;
        }
        for sender in senders {
            sender.stop().await;
        }
        let ids: BTreeSet<_> =
            receiver.calls().iter().map(|call| call.header("webhook-id").to_owned()).collect();
        assert_eq!((ids.len(), receiver.calls().len()), (100, 100), "each once");
        assert_eq!(receiver.overlaps(), Vec::<String>::new());
    }

    async fn what_is_old_is_dropped_and_what_waits_for_nobody_given_up(place) {
        const DAY: i64 = 86_400_000_000;
        let (db, receiver) = (place.db().await, Receiver::start([]).await);
        place.put(&db, &message("sent", "rollout.started")).await;
        let wants = "wants = [\"rollout.started\"]";
        let config = format!("keep_days = 2\n{}", place.webhook("hook", &receiver.url("/"), wants));
        let sender = place.sender(&db, &config);
        place.until(&db, "sent", DeliveryState::Sent).await;
        sender.stop().await;
        let silent = Receiver::silent([]).await;
        place.put(&db, &message("waits", "rollout.frozen")).await;
        let gone = format!("keep_days = 2\n{}", place.webhook("gone", &silent.url("/"), ""));
        let sender = place.sender(&db, &gone);
        silent.called(1).await;
        sender.kill().await;
        // Both clocks: messages have the time of those who put them.
        db.set_clock_offset_micros(3 * DAY);
        place.clock.advance_micros(3 * DAY);
        let sender = place.sender(&db, &config);
        let given_up = place.until(&db, "waits", DeliveryState::Dead).await;
        assert!(given_up[0].last_error.contains("not configured"), "{given_up:?}");
        sender.stop().await;
        assert!(place.put(&db, &message("sent", "rollout.started")).await, "it was dropped, with its key");
    }

    async fn whoever_finds_a_message_has_it_told_on_the_channels_of_all(place) {
        let (db, receiver) = (place.db().await, Receiver::start([]).await);
        let of = |id: &str| place.webhook(id, &receiver.url(&format!("/{id}")), "");
        let senders = [place.sender(&db, &of("one")), place.sender(&db, &of("two"))];
        while known(&db).await < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        for i in 0..30 {
            place.put(&db, &message(&format!("k{i}"), "rollout.started")).await;
        }
        for i in 0..30 {
            let told = place.until(&db, &format!("k{i}"), DeliveryState::Sent).await;
            assert_eq!(told.iter().map(|d| d.channel.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        }
        for sender in senders {
            sender.stop().await;
        }
        assert_eq!(receiver.calls().len(), 60, "each once");
    }

    async fn what_is_put_while_a_channel_is_away_is_told_there_and_what_was_before_it_was_not(place) {
        const HOUR: i64 = 3_600_000_000;
        let (db, receiver) = (place.db().await, Receiver::start([]).await);
        place.put(&db, &message("old", "rollout.started")).await;
        place.clock.advance_micros(HOUR);
        place.put(&db, &message("a", "rollout.started")).await;
        let config = place.webhook("hook", &receiver.url("/"), "");
        let sender = place.sender(&db, &config);
        place.until(&db, "a", DeliveryState::Sent).await;
        assert!(place.deliveries(&db, "old").await.is_empty(), "nobody was there for it");
        sender.stop().await;
        place.clock.advance_micros(HOUR);
        place.put(&db, &message("b", "rollout.started")).await;
        place.clock.advance_micros(HOUR);
        let sender = place.sender(&db, &config);
        place.until(&db, "b", DeliveryState::Sent).await;
        sender.stop().await;
    }

    async fn where_nobody_has_a_channel_messages_go_after_a_month(place) {
        const DAY: i64 = 86_400_000_000;
        let (db, receiver) = (place.db().await, Receiver::start([]).await);
        let keep_once = || keep_outbox(db.clone(), Arc::clone(&place.clock) as _, std::future::ready(()));
        place.put(&db, &message("a", "rollout.started")).await;
        place.clock.advance_micros(29 * DAY);
        keep_once().await;
        assert!(!place.put(&db, &message("a", "rollout.started")).await, "it may be told yet");
        place.clock.advance_micros(2 * DAY);
        keep_once().await;
        assert!(place.put(&db, &message("a", "rollout.started")).await, "it was dropped");
        // Somebody is only away: it waits.
        place.sender(&db, &place.webhook("hook", &receiver.url("/"), "")).stop().await;
        place.put(&db, &message("b", "rollout.started")).await;
        place.clock.advance_micros(31 * DAY);
        keep_once().await;
        assert!(!place.put(&db, &message("b", "rollout.started")).await, "it waits for its channel");
        db.set_clock_offset_micros(31 * DAY);
        keep_once().await;
        assert_eq!(known(&db).await, 0, "it is away for too long");
        assert!(place.put(&db, &message("b", "rollout.started")).await, "it was dropped, too");
    }
}

/// How many channels are known to be anywhere.
async fn known(db: &Db) -> i64 {
    let mut tx = db.read().await.expect("tx");
    let row = tx.fetch_opt("SELECT COUNT(*) AS n FROM outbox_channels", &[]).await.expect("reads");
    row.expect("a row").int("n").expect("a number")
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_all_reasons() {
    let faults = Message::new("", "No Kind", "s", Timestamp(0), json!(1)).expect_err("no message");
    assert_eq!(faults.iter().count(), 3);
    let error = NotifyError::from(faults).to_string();
    assert!(error.contains("dedupe_key") && error.contains("kind") && error.contains("data"), "{error}");
}

#[test]
fn every_metric_is_declared_by_the_rules() {
    let faults: Vec<_> = METRICS.iter().filter_map(hotswap_core::MetricDef::fault).collect();
    assert_eq!(faults, Vec::<String>::new());
}
