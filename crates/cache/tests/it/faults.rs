//! Messages lost, Redis gone, frozen, set back.

use std::time::Duration;

use hotswap_testkit::{Redis, required};

use crate::support::{Database, NEVER, Node, PATIENT, Plan, SCOPE, kept, text, until};

/// Rounds all the time.
const EAGER: Plan = Plan { interval: Duration::from_millis(5), ..PATIENT };
/// A Redis that must answer at once.
const HASTY: Plan = Plan { interval: NEVER, timeout: Duration::from_millis(20) };

#[tokio::test]
async fn messages_lost_on_the_way_are_made_up_for_when_the_connection_is_back() {
    let Some(redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x"], "1");
    let (a, b) =
        (Node::start(&redis, &database, PATIENT).await, Node::start(&redis, &database, PATIENT).await);
    b.get("x").await;
    until(async || kept(&redis, "x") == Some('v')).await;
    // The message is on its way to b when the wire is cut.
    b.wire.freeze();
    a.cache.invalidate(database.write(&["x"], "2"));
    // The mark is set and the message sent in one step.
    until(async || kept(&redis, "x") == Some('t')).await;
    assert_eq!(b.get("x").await.value, text("1"), "b can't know");
    b.wire.cut();
    b.wire.restore();
    until(async || b.cache.peek(SCOPE, "x").is_none()).await;
    assert_eq!(b.get("x").await.value, text("2"));
    assert_eq!(b.count("cache_invalidations_total", "hint"), 0);
    assert_eq!(b.count("cache_invalidations_total", "source"), 1);
}

#[tokio::test]
async fn a_node_cut_off_from_redis_hears_of_changes_by_its_rounds() {
    let Some(redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x"], "1");
    let (a, b) = (Node::start(&redis, &database, PATIENT).await, Node::start(&redis, &database, EAGER).await);
    b.get("x").await;
    b.wire.cut();
    a.cache.invalidate(database.write(&["x"], "2"));
    until(async || b.cache.peek(SCOPE, "x").is_none()).await;
    assert_eq!(b.get("x").await.value, text("2"));
}

#[tokio::test]
async fn a_change_that_its_writer_did_not_live_to_tell_is_found_in_memory_and_in_redis() {
    let Some(redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x", "y"], "1");
    let a = Node::start(&redis, &database, EAGER).await;
    a.get("x").await;
    until(async || kept(&redis, "x") == Some('v')).await;
    database.write(&["x"], "2");
    until(async || kept(&redis, "x") == Some('t')).await;
    assert_eq!(a.get("x").await.value, text("2"));
    let b = Node::start(&redis, &database, PATIENT).await;
    b.get("y").await;
    assert_eq!(b.get("x").await.value, text("2"));
}

#[tokio::test]
async fn connections_that_are_killed_come_back_and_hear_again() {
    let Some(redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x"], "1");
    let (a, b) =
        (Node::start(&redis, &database, PATIENT).await, Node::start(&redis, &database, PATIENT).await);
    b.get("x").await;
    let made = a.wire.connections_made() + b.wire.connections_made();
    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).expect("kills");
    until(async || a.wire.connections_made() + b.wire.connections_made() == made + 2).await;
    a.connected().await;
    b.connected().await;
    a.cache.invalidate(database.write(&["x"], "2"));
    until(async || b.cache.peek(SCOPE, "x").is_none()).await;
    assert_eq!(b.get("x").await.value, text("2"));
}

#[tokio::test]
async fn a_redis_that_is_killed_is_done_without_and_used_again_when_it_is_back() {
    let Some(mut redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x", "y", "z"], "1");
    let (a, b) =
        (Node::start(&redis, &database, PATIENT).await, Node::start(&redis, &database, PATIENT).await);
    a.get("x").await;
    redis.kill().expect("kills");
    assert_eq!(a.get("x").await.value, text("1"), "memory has it");
    assert_eq!(a.get("y").await.value, text("1"), "the database has it");
    a.cache.invalidate(database.write(&["x"], "2"));
    assert_eq!(a.get("x").await.value, text("2"));
    // Both have noticed.
    until(async || a.count("cache_redis_errors_total", "") > 0).await;
    until(async || b.count("cache_redis_errors_total", "") > 0).await;
    redis.start_again().expect("starts");
    a.connected().await;
    b.connected().await;
    // It takes values again, and gives them to others.
    a.get("z").await;
    until(async || kept(&redis, "z") == Some('v')).await;
    b.get("y").await;
    b.get("z").await;
    assert_eq!(b.count("cache_hits_total", "redis"), 1);
    assert_eq!(b.get("x").await.value, text("2"));
}

#[tokio::test]
async fn a_frozen_redis_costs_one_time_out_and_comes_back_by_itself() {
    let Some(redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x"], "1");
    let node = Node::start(&redis, &database, HASTY).await;
    node.get("x").await;
    until(async || kept(&redis, "x") == Some('v')).await;
    let frozen = redis.freeze().expect("freezes");
    let before = node.count("cache_redis_errors_total", "");
    // One who asks finds it dead; the others do not ask.
    for n in 0..1_000 {
        node.get(&format!("absent-{n}")).await;
    }
    let errors = node.count("cache_redis_errors_total", "") - before;
    assert!((1..20).contains(&errors), "{errors} of 1,000 waited");
    node.cache.invalidate(database.write(&["x"], "2"));
    assert_eq!(node.get("x").await.value, text("2"));
    frozen.thaw();
    // Its round brings Redis up to date.
    until(async || kept(&redis, "x") == Some('t')).await;
    until(async || {
        node.cache.forget(SCOPE);
        node.get("x").await;
        kept(&redis, "x") == Some('v')
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn a_redis_that_falls_back_to_an_old_snapshot_gives_nothing_that_is_out_of_date() {
    let Some(mut redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x", "y"], "1");
    let a = Node::start(&redis, &database, PATIENT).await;
    a.get("x").await;
    until(async || kept(&redis, "x") == Some('v')).await;
    redis.command(&["SAVE"]).expect("saves");
    a.cache.invalidate(database.write(&["x"], "2"));
    until(async || kept(&redis, "x") == Some('t')).await;
    redis.kill().expect("kills");
    redis.start_again().expect("starts");
    assert_eq!(kept(&redis, "x"), Some('v'), "the old value is back");
    let b = Node::start(&redis, &database, PATIENT).await;
    b.get("y").await;
    assert_eq!(b.get("x").await.value, text("2"));
    until(async || kept(&redis, "x") != Some('v') || redis_has_new(&redis)).await;
    assert_eq!(a.get("x").await.value, text("2"));
}

/// Whether the value of `x` in Redis is the second.
fn redis_has_new(redis: &Redis) -> bool {
    redis.command(&["GET", "test:1:{s}:x"]).expect("answers").ends_with('2')
}

#[tokio::test]
async fn a_redis_that_is_not_there_at_the_start_is_found_when_it_comes() {
    let Some(mut redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x"], "1");
    let node = Node::start(&redis, &database, PATIENT).await;
    node.wire.cut();
    redis.stop().expect("stops");
    until(async || node.count("cache_redis_connected", "") == 0).await;
    assert_eq!(node.get("x").await.value, text("1"));
    redis.start_again().expect("starts");
    node.wire.restore();
    node.connected().await;
}
