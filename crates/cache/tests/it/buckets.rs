//! Buckets that processes share.

use std::time::Duration;

use hotswap_cache::{Buckets, RedisOptions, Taken};
use hotswap_runtime::{Supervisor, TaskKind};
use hotswap_testkit::{Redis, Target, Wire, required};
use prometheus::Registry;

use crate::support::until;

const HOUR: Duration = Duration::from_secs(3_600);

/// A process with buckets, behind a wire of its own.
struct Process {
    buckets: Buckets,
    wire: Wire,
    registry: Registry,
    _supervisor: Supervisor,
}

impl Process {
    async fn start(redis: &Redis) -> Self {
        let wire = Wire::to(Target::Unix(redis.socket()));
        let mut options = RedisOptions::new(&format!("redis://{}", wire.address()), "test").expect("a URL");
        options.timeout = Duration::from_secs(5);
        let registry = Registry::new();
        let (buckets, link) = Buckets::new(options, &registry).expect("registers");
        let supervisor = Supervisor::new();
        let stop = supervisor.shutdown();
        supervisor.spawn("limits", TaskKind::Background, async move {
            link.run(stop.cancelled_owned()).await;
        });
        let this = Self { buckets, wire, registry, _supervisor: supervisor };
        until(async || this.is_connected()).await;
        this
    }

    fn is_connected(&self) -> bool {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).expect("encodes");
        text.contains("limits_redis_connected 1\n")
    }

    /// Out of a bucket that holds so many and fills in days.
    async fn take(&self, name: &str, holds: u32, want: u32) -> Option<Taken> {
        self.buckets.take(name, HOUR, holds, want).await
    }
}

#[tokio::test]
async fn processes_together_take_what_a_bucket_holds_and_no_more() {
    let Some(redis) = required(Redis::start()) else { return };
    let (a, b) = (Process::start(&redis).await, Process::start(&redis).await);
    assert_eq!(a.take("x", 10, 4).await, Some(Taken::Some(4)));
    assert_eq!(b.take("x", 10, 4).await, Some(Taken::Some(4)));
    assert_eq!(a.take("x", 10, 4).await, Some(Taken::Some(2)));
    let Some(Taken::Nothing(wait)) = b.take("x", 10, 1).await else { panic!("it is empty") };
    assert!(wait <= HOUR && wait > HOUR - Duration::from_secs(60), "{wait:?}");
    assert_eq!(b.take("y", 10, 1).await, Some(Taken::Some(1)), "another bucket");
}

#[tokio::test]
async fn at_once_from_many_sides_nothing_is_given_twice() {
    let Some(redis) = required(Redis::start()) else { return };
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(Process::start(&redis).await);
    }
    let mut calls = Vec::new();
    for process in &processes {
        calls.extend((0..50).map(|_| process.take("x", 100, 1)));
    }
    let taken = futures_util::future::join_all(calls).await;
    assert_eq!(taken.iter().filter(|t| **t == Some(Taken::Some(1))).count(), 100);
    assert_eq!(taken.iter().filter(|t| matches!(t, Some(Taken::Nothing(_)))).count(), 50);
}

#[tokio::test]
async fn a_bucket_fills_by_one_an_interval_and_is_gone_when_it_is_full() {
    let Some(redis) = required(Redis::start()) else { return };
    let process = Process::start(&redis).await;
    let interval = Duration::from_millis(20);
    let take = async || process.buckets.take("x", interval, 2, 9).await;
    assert_eq!(take().await, Some(Taken::Some(2)));
    // Whoever waits as long as it was told finds one: redis's clock tells, so that a slow machine changes nothing.
    until(async || take().await == Some(Taken::Some(1))).await;
    until(async || redis.command(&["KEYS", "*"]).expect("answers").is_empty()).await;
    assert_eq!(take().await, Some(Taken::Some(2)));
}

#[tokio::test]
async fn a_moment_that_can_not_be_counts_as_an_empty_bucket() {
    let Some(redis) = required(Redis::start()) else { return };
    let process = Process::start(&redis).await;
    redis.command(&["SET", "test:limit:x", "9e18"]).expect("set");
    let Some(Taken::Nothing(wait)) = process.take("x", 10, 1).await else { panic!("it is empty") };
    assert!(wait <= HOUR, "{wait:?}");
}

#[tokio::test]
async fn while_redis_is_away_nobody_waits_and_afterwards_it_counts_again() {
    let Some(mut redis) = required(Redis::start()) else { return };
    let process = Process::start(&redis).await;
    assert_eq!(process.take("x", 10, 1).await, Some(Taken::Some(1)));
    redis.kill().expect("killed");
    until(async || process.take("x", 10, 1).await.is_none()).await;
    until(async || !process.is_connected()).await;
    redis.start_again().expect("starts");
    until(async || process.take("x", 10, 1).await.is_some()).await;
    process.wire.cut();
    assert_eq!(process.take("x", 10, 1).await, None);
}
