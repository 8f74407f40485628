//! Several nodes on one Redis, in good order.

use std::time::Duration;

use hotswap_testkit::{Redis, required};

use crate::support::{Database, Node, PATIENT, SCOPE, kept, listeners, text, until};

#[tokio::test]
async fn a_warm_look_up_does_no_io() {
    let Some(redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x"], "1");
    // A look-up that asked Redis would hang: the wire is frozen, and there is no time-out.
    let plan = crate::support::Plan { timeout: crate::support::NEVER, ..PATIENT };
    let node = Node::start(&redis, &database, plan).await;
    node.get("x").await;
    until(async || kept(&redis, "x") == Some('v')).await;
    node.wire.freeze();
    let sent = node.wire.bytes();
    for _ in 0..10_000 {
        assert_eq!(node.get("x").await.value, text("1"));
    }
    assert_eq!((database.loads(), node.wire.bytes()), (1, sent));
    assert_eq!(node.count("cache_hits_total", "memory"), 10_000);
    assert_eq!(node.count("cache_misses_total", ""), 1);
    node.wire.restore();
    node.stop().await;
}

#[tokio::test]
async fn what_one_node_loaded_another_finds_in_redis() {
    let Some(redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x", "y"], "1");
    let (a, b) =
        (Node::start(&redis, &database, PATIENT).await, Node::start(&redis, &database, PATIENT).await);
    a.get("x").await;
    until(async || kept(&redis, "x").is_some()).await;
    b.get("y").await;
    assert_eq!(database.loads(), 2, "the first look-up of a node tells it where the scope stands");
    assert_eq!(b.get("x").await, database.at("x", 1));
    assert_eq!((database.loads(), b.count("cache_hits_total", "redis")), (2, 1));
}

#[tokio::test]
async fn a_write_on_one_node_is_told_to_the_other() {
    let Some(redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x"], "1");
    let (a, b) =
        (Node::start(&redis, &database, PATIENT).await, Node::start(&redis, &database, PATIENT).await);
    a.get("x").await;
    b.get("x").await;
    a.cache.invalidate(database.write(&["x"], "2"));
    assert_eq!(a.get("x").await.value, text("2"), "its own writes it sees at once");
    until(async || b.count("cache_invalidations_total", "hint") == 1).await;
    assert_eq!(b.get("x").await.value, text("2"));
    assert_eq!(b.count("cache_invalidations_total", "source"), 0);
}

#[tokio::test]
async fn a_value_that_was_put_is_found_by_all() {
    let Some(redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x", "y"], "1");
    let (a, b) =
        (Node::start(&redis, &database, PATIENT).await, Node::start(&redis, &database, PATIENT).await);
    a.cache.put(SCOPE, "x", &database.at("x", 1));
    assert_eq!(a.cache.peek(SCOPE, "x"), Some(database.at("x", 1)));
    until(async || kept(&redis, "x").is_some()).await;
    b.get("y").await;
    b.get("x").await;
    assert_eq!(database.loads(), 1);
}

#[tokio::test]
async fn a_scope_that_one_node_forgets_is_forgotten_by_all() {
    let Some(redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x"], "1");
    let (a, b) =
        (Node::start(&redis, &database, PATIENT).await, Node::start(&redis, &database, PATIENT).await);
    b.get("x").await;
    until(async || kept(&redis, "x").is_some()).await;
    a.cache.forget(SCOPE);
    until(async || b.cache.peek(SCOPE, "x").is_none()).await;
    b.get("x").await;
    assert_eq!(database.loads(), 2);
}

#[tokio::test]
async fn a_node_that_stops_leaves_redis_and_goes_on_in_memory() {
    let Some(redis) = required(Redis::start()) else { return };
    let database = Database::default();
    database.write(&["x"], "1");
    let node = Node::start(&redis, &database, PATIENT).await;
    let cache = node.cache.clone();
    node.get("x").await;
    node.stop().await;
    until(async || listeners(&redis) == 0).await;
    assert_eq!(cache.peek(SCOPE, "x").expect("is there").value, text("1"));
    let load = async || Ok::<_, ()>(database.load("y"));
    tokio::time::timeout(Duration::from_secs(60), cache.get(SCOPE, "y", load))
        .await
        .expect("ends")
        .expect("loads");
}
