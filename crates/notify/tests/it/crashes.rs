//! A sender that ends between sending and marking.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hotswap_core::SystemClock;
use hotswap_notify::DeliveryState;
use hotswap_store::Database;
use hotswap_testkit::{Postgres, PostgresOptions, required};

use crate::receiver::Receiver;
use crate::support::{Place, Running, message, on_both, open};

/// Longer than a claim lasts.
const LATER: i64 = 60_000_000;

on_both! {
    async fn what_was_sent_and_not_marked_is_sent_again_with_the_same_identity(place) {
        let (db, receiver) = (place.db().await, Receiver::silent([]).await);
        place.put(&db, &message("k", "rollout.started")).await;
        let config = place.webhook("hook", &receiver.url("/"), "");
        let first = place.sender(&db, &config);
        receiver.called(1).await;
        first.kill().await;
        receiver.answer(100);

        // As long as the claim lasts nobody else takes it.
        let second = place.sender(&db, &config);
        place.put(&db, &message("other", "rollout.started")).await;
        place.until(&db, "other", DeliveryState::Sent).await;
        assert_eq!(place.deliveries(&db, "k").await[0].state, DeliveryState::Waiting);
        db.set_clock_offset_micros(LATER);
        let sent = place.until(&db, "k", DeliveryState::Sent).await;
        second.stop().await;
        assert_eq!(sent[0].attempts, 2);
        let calls = receiver.calls();
        let of_k: Vec<_> = calls.iter().filter(|call| call.body.contains("\"key\":\"k\"")).collect();
        assert_eq!(of_k.len(), 2);
        for header in ["webhook-id", "idempotency-key"] {
            assert_eq!(of_k[0].header(header), of_k[1].header(header));
        }
        assert_eq!(of_k[0].body, of_k[1].body);
    }

    async fn a_sender_that_is_stopped_ends_what_is_under_way_first(place) {
        let (db, receiver) = (place.db().await, Receiver::silent([]).await);
        place.put(&db, &message("k", "rollout.started")).await;
        let sender = place.sender(&db, &place.webhook("hook", &receiver.url("/"), ""));
        receiver.called(1).await;
        let stopping = crate::support::spawn(sender.stop());
        receiver.answer(1);
        stopping.await.expect("stops");
        assert_eq!(place.deliveries(&db, "k").await[0].state, DeliveryState::Sent);
    }

    async fn whatever_is_killed_and_whatever_fails_each_message_arrives(place) {
        const MESSAGES: usize = 40;
        // Every third call fails in one way or another.
        let answers = (0..200).map(|i| match i % 9 {
            2 => (500, &[][..], String::new()),
            5 => (429, &[][..], String::new()),
            8 => (408, &[][..], String::new()),
            _ => (200, &[][..], String::new()),
        });
        let (db, receiver) = (place.db().await, Receiver::start(answers).await);
        let config = format!("attempts = 1000\n{}", place.webhook("hook", &receiver.url("/"), ""));
        let mut senders: Vec<_> = (0..3).map(|_| place.sender(&db, &config)).collect();
        for i in 0..MESSAGES {
            place.put(&db, &message(&format!("k{i}"), "rollout.started")).await;
            if i % 4 == 0 {
                senders.remove(i % 3).kill().await;
                senders.push(place.sender(&db, &config));
                // Past the claims of the one that was killed.
                db.set_clock_offset_micros(LATER * i64::try_from(i + 1).expect("few"));
            }
        }
        for i in 0..MESSAGES {
            place.until(&db, &format!("k{i}"), DeliveryState::Sent).await;
        }
        for sender in senders {
            sender.stop().await;
        }
        let ids: BTreeSet<_> =
            receiver.calls().iter().map(|call| call.header("webhook-id").to_owned()).collect();
        assert_eq!(ids.len(), MESSAGES, "each arrived, under one identity");
    }

    async fn a_message_that_kills_each_sender_is_given_up_in_the_end(place) {
        let (db, receiver) = (place.db().await, Receiver::silent([]).await);
        place.put(&db, &message("k", "rollout.started")).await;
        let config = format!("attempts = 2\n{}", place.webhook("hook", &receiver.url("/"), ""));
        for round in 1..=2 {
            let sender = place.sender(&db, &config);
            receiver.called(round).await;
            sender.kill().await;
            db.set_clock_offset_micros(LATER * i64::try_from(round).expect("few"));
        }
        let sender = place.sender(&db, &config);
        let dead = place.until(&db, "k", DeliveryState::Dead).await;
        sender.stop().await;
        assert_eq!(dead[0].last_error, "given up after 2 attempts; the last did not end");
        assert_eq!(receiver.calls().len(), 2);
    }
}

#[tokio::test]
async fn a_database_that_is_away_for_a_while_costs_neither_a_message_nor_a_second_one() {
    let options = PostgresOptions { durable: true, ..PostgresOptions::default() };
    let Some(mut postgres) = required(Postgres::start(options)) else { return };
    let place = Place::sqlite();
    let options = hotswap_store::PostgresOptions::parse(&postgres.url("postgres")).expect("a URL");
    let db = open(Database::Postgres(Box::new(options))).await;
    let receiver = Receiver::silent([]).await;
    place.put(&db, &message("k", "rollout.started")).await;
    let sender = place.sender(&db, &place.webhook("hook", &receiver.url("/"), ""));
    receiver.called(1).await;
    postgres.kill().expect("killed");
    // It is with the receiver, and can't be marked now.
    receiver.answer(1);
    while !sender.metrics().contains(r#"errors_total{task="mark"} 1"#) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    postgres.start_again().expect("starts");
    let sent = place.until(&db, "k", DeliveryState::Sent).await;
    sender.stop().await;
    assert_eq!((sent[0].attempts, receiver.calls().len()), (1, 1));
}

/// Says in a process of its own what to run.
const ROLE: &str = "HOTSWAP_NOTIFY_TEST_SENDER";

/// The sender of the next test: it does nothing unless that starts it.
#[tokio::test]
async fn sender_in_a_process_of_its_own() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (database, config) = role.split_once('\n').expect("two parts");
    let db = open(Database::Sqlite(database.into())).await;
    let _running = Running::start(&db, config, Arc::new(SystemClock));
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_process_that_is_killed_between_sending_and_marking_leaves_it_to_the_next() {
    let place = Place::sqlite();
    let receiver = Receiver::silent([]).await;
    let config = place.webhook("hook", &receiver.url("/"), "");
    let db = place.db().await;
    place.put(&db, &message("k", "rollout.started")).await;
    db.close().await;
    let this = std::env::current_exe().expect("a path");
    let mut child = Command::new(this)
        .args(["--exact", "crashes::sender_in_a_process_of_its_own"])
        .env(ROLE, format!("{}\n{config}", place.database().display()))
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    receiver.called(1).await;
    // SIGKILL, while it waits for the answer.
    child.kill().expect("killed");
    child.wait().expect("gone");

    receiver.answer(100);
    let db = place.db().await;
    db.set_clock_offset_micros(LATER);
    let sender = place.sender(&db, &config);
    let sent = place.until(&db, "k", DeliveryState::Sent).await;
    sender.stop().await;
    assert_eq!(sent[0].attempts, 2);
    let calls = receiver.calls();
    assert_eq!((calls.len(), calls[0].header("webhook-id")), (2, calls[1].header("webhook-id")));
}
