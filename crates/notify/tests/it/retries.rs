//! What fails is tried again, or given up.

use std::time::Duration;

use hotswap_notify::DeliveryState;

use crate::receiver::{Answer, Receiver};
use crate::support::{message, on_both};

fn status(code: u16) -> Answer {
    (code, &[], "because".to_owned())
}

on_both! {
    async fn a_500_and_then_a_200_is_sent_under_one_identity(place) {
        let (db, receiver) = (place.db().await, Receiver::start([status(500), status(503)]).await);
        place.put(&db, &message("k", "rollout.started")).await;
        let sender = place.sender(&db, &place.webhook("hook", &receiver.url("/"), ""));
        let sent = place.until(&db, "k", DeliveryState::Sent).await;
        assert_eq!((sent[0].attempts, sent[0].last_error.as_str()), (3, ""));
        let calls = receiver.calls();
        let ids: Vec<_> = calls.iter().map(|call| call.header("webhook-id")).collect();
        assert!(ids.iter().all(|id| *id == ids[0]) && ids.len() == 3, "{ids:?}");
        let metrics = sender.metrics();
        assert!(metrics.contains(r#"deliveries_total{channel="hook",outcome="again"} 2"#), "{metrics}");
        assert!(metrics.contains(r#"deliveries_total{channel="hook",outcome="sent"} 1"#), "{metrics}");
        sender.stop().await;
    }

    async fn a_404_is_given_up_at_once_kept_and_counted_and_can_be_revived(place) {
        let (db, receiver) = (place.db().await, Receiver::start([status(404)]).await);
        place.put(&db, &message("k", "rollout.started")).await;
        let sender = place.sender(&db, &place.webhook("hook", &receiver.url("/"), ""));
        let dead = place.until(&db, "k", DeliveryState::Dead).await;
        assert_eq!((dead[0].attempts, dead[0].last_error.as_str()), (1, "404 Not Found: because"));
        assert!(dead[0].ended_at.is_some());
        assert!(sender.metrics().contains(r#"deliveries_total{channel="hook",outcome="dead"} 1"#));
        let mut tx = db.write_unscoped().await.expect("tx");
        place.outbox().revive(&mut tx, "k", "hook").await.expect("revived");
        let not = place.outbox().revive(&mut tx, "k", "hook").await.expect_err("it waits").to_string();
        assert_eq!(not, "no delivery of k to hook was given up");
        tx.commit().await.expect("commits");
        let sent = place.until(&db, "k", DeliveryState::Sent).await;
        assert_eq!(sent[0].attempts, 1, "its attempts are counted anew");
        sender.stop().await;
        assert_eq!(receiver.calls().len(), 2);
    }

    async fn a_redirect_is_not_followed(place) {
        let elsewhere = Receiver::start([]).await;
        let to: &'static str = Box::leak(elsewhere.url("/stolen").into_boxed_str());
        let headers: &'static [_] = Box::leak(Box::new([("location", to)]));
        let (db, receiver) = (place.db().await, Receiver::start([(307, headers, String::new())]).await);
        place.put(&db, &message("k", "rollout.started")).await;
        let sender = place.sender(&db, &place.webhook("hook", &receiver.url("/"), ""));
        place.until(&db, "k", DeliveryState::Dead).await;
        sender.stop().await;
        assert!(elsewhere.calls().is_empty());
    }

    async fn it_ends_after_the_attempts_that_are_configured(place) {
        let (db, receiver) = (place.db().await, Receiver::start((0..9).map(|_| status(500))).await);
        place.put(&db, &message("k", "rollout.started")).await;
        let config = format!("attempts = 3\n{}", place.webhook("hook", &receiver.url("/"), ""));
        let sender = place.sender(&db, &config);
        let dead = place.until(&db, "k", DeliveryState::Dead).await;
        sender.stop().await;
        assert_eq!((dead[0].attempts, receiver.calls().len()), (3, 3));
    }

    async fn a_receiver_that_says_when_is_not_called_before(place) {
        const LATER: (u16, &[(&str, &str)], &str) = (429, &[("retry-after", "120")], "");
        let answers = [(LATER.0, LATER.1, LATER.2.to_owned())];
        let (db, receiver) = (place.db().await, Receiver::start(answers).await);
        let mut tx = db.read().await.expect("tx");
        let before = tx.now().await.expect("time");
        drop(tx);
        place.put(&db, &message("k", "rollout.started")).await;
        let sender = place.sender(&db, &place.webhook("hook", &receiver.url("/"), ""));
        let waiting = loop {
            let found = place.deliveries(&db, "k").await;
            match found.first() {
                Some(d) if !d.last_error.is_empty() => break d.clone(),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert!(waiting.due_at.0 - before.0 >= 120_000_000, "{waiting:?}");
        // Another message goes through meanwhile, and this one does not.
        place.put(&db, &message("other", "rollout.started")).await;
        place.until(&db, "other", DeliveryState::Sent).await;
        assert_eq!(place.deliveries(&db, "k").await, [waiting]);
        db.set_clock_offset_micros(121_000_000);
        place.until(&db, "k", DeliveryState::Sent).await;
        sender.stop().await;
    }

    async fn a_receiver_that_does_not_answer_is_given_its_time_and_no_more(place) {
        let (db, receiver) = (place.db().await, Receiver::silent([]).await);
        place.put(&db, &message("k", "rollout.started")).await;
        let config = place.webhook("hook", &receiver.url("/"), "timeout_ms = 50");
        let sender = place.sender(&db, &format!("attempts = 2\n{config}"));
        let dead = place.until(&db, "k", DeliveryState::Dead).await;
        sender.stop().await;
        assert_eq!(dead[0].last_error, "no answer within 50 ms");
    }

    async fn a_receiver_that_is_not_there_is_tried_again(place) {
        let db = place.db().await;
        let gone = Receiver::start([]).await.url("/");
        place.put(&db, &message("k", "rollout.started")).await;
        let sender = place.sender(&db, &format!("attempts = 2\n{}", place.webhook("hook", &gone, "")));
        let dead = place.until(&db, "k", DeliveryState::Dead).await;
        sender.stop().await;
        assert_eq!(dead[0].attempts, 2);
        assert!(dead[0].last_error.starts_with("can't connect: "), "{dead:?}");
    }
}
