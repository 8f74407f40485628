//! Buckets of calls in Redis, which replicas share: for limits of how often something may be done.
//!
//! A bucket holds up to `burst` and fills by one an interval. It is kept as the moment at which it will be full (the
//! generic cell rate algorithm), on the clock of Redis, and is gone when it is full: a bucket that nobody knows is full.
//! Where Redis is away nobody waits for it; its owner is to have a limit of its own for then.

mod link;
mod script;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hotswap_core::MetricDef;
use prometheus::{IntCounter, IntGauge, Registry};
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;

pub use link::BucketsLink;

use crate::RedisOptions;

/// What a bucket gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So much, at least one.
    Some(u32),
    /// It is empty; the next will be there after this time.
    Nothing(Duration),
}

/// Buckets in a Redis; cheap to clone.
#[derive(Clone, Debug)]
pub struct Buckets {
    state: Arc<State>,
}

pub(crate) const CONNECTED: MetricDef = MetricDef::gauge(
    "limits_redis_connected",
    "0 or 1",
    "Whether the limits have their connection to Redis.",
);
pub(crate) const ERRORS: MetricDef = MetricDef::counter(
    "limits_redis_errors_total",
    "calls",
    "Calls of Redis for limits that failed, attempts to connect among them.",
);

#[derive(Debug)]
struct State {
    redis: RedisOptions,
    connected: IntGauge,
    errors: IntCounter,
    /// `None`: it is away, and nobody waits for it.
    connection: ArcSwapOption<MultiplexedConnection>,
    lost: Notify,
}

impl Buckets {
    /// Buckets under the namespace of `redis`, and what keeps the connection, to be run as a task.
    ///
    /// # Errors
    /// Where the metrics are declared already.
    pub fn new(redis: RedisOptions, registry: &Registry) -> Result<(Self, BucketsLink), prometheus::Error> {
        let connected = IntGauge::new(CONNECTED.name, CONNECTED.meaning)?;
        let errors = IntCounter::new(ERRORS.name, ERRORS.meaning)?;
        registry.register(Box::new(connected.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        let (connection, lost) = (ArcSwapOption::empty(), Notify::new());
        let state = Arc::new(State { redis, connected, errors, connection, lost });
        Ok((Self { state: Arc::clone(&state) }, BucketsLink { state }))
    }

    /// Takes up to `want` out of the bucket `name`, in one step for everybody. `None`: Redis is away, or too slow.
    pub async fn take(&self, name: &str, interval: Duration, burst: u32, want: u32) -> Option<Taken> {
        let (taken, wait) = self.ask(name, interval, burst, want).await?;
        Some(if taken == 0 { Taken::Nothing(wait) } else { Taken::Some(taken) })
    }

    /// Takes one. Whether there was one, and the time until the bucket is full again, or, where there was none, until
    /// there is one. `None`: Redis is away, or too slow.
    pub async fn take_one(&self, name: &str, interval: Duration, burst: u32) -> Option<(bool, Duration)> {
        let (taken, wait) = self.ask(name, interval, burst, 1).await?;
        Some((taken > 0, wait))
    }

    async fn ask(&self, name: &str, interval: Duration, burst: u32, want: u32) -> Option<(u32, Duration)> {
        let state = &*self.state;
        let connection = state.connection.load_full()?;
        let mut own = MultiplexedConnection::clone(&connection);
        let mut call = script::TAKE.key(format!("{}:limit:{name}", state.redis.namespace));
        call.arg(micros(interval)).arg(burst).arg(want.max(1));
        let asked = call.invoke_async::<(u32, u64)>(&mut own);
        let dead = match tokio::time::timeout(state.redis.timeout, asked).await {
            Ok(Ok((taken, wait))) => return Some((taken, Duration::from_micros(wait))),
            Ok(Err(error)) => {
                tracing::debug!(%error, "redis");
                error.is_io_error() || error.is_unrecoverable_error() || error.is_connection_dropped()
            }
            // An answer that comes too late comes in vain; only a new connection is worth another try.
            Err(_) => true,
        };
        state.errors.inc();
        if dead {
            // Unless another has done it, and there is a new one.
            let before = state.connection.compare_and_swap(&connection, None);
            if before.as_ref().is_some_and(|b| Arc::ptr_eq(b, &connection)) {
                state.lost.notify_one();
            }
        }
        None
    }
}

fn micros(time: Duration) -> String {
    // With fractions: a bucket of a million a second has an interval of one.
    format!("{:.3}", time.as_secs_f64() * 1e6)
}
