//! The connection of the buckets: made, and made again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

use super::State;

/// An attempt to connect may take so long; nobody waits for it.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two attempts: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Keeps the connection of [`Buckets`](super::Buckets) up. Without it they are away.
#[derive(Debug)]
pub struct BucketsLink {
    pub(super) state: Arc<State>,
}

impl BucketsLink {
    /// Works until `stop` is ready.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.keep() => {}
        }
        self.state.connection.store(None);
        self.state.connected.set(0);
    }

    async fn keep(&self) {
        let (mut pause, mut told) = (FIRST_PAUSE, false);
        loop {
            match self.connect().await {
                Ok(connection) => {
                    (pause, told) = (FIRST_PAUSE, false);
                    self.serve(connection).await;
                }
                Err(why) => {
                    self.state.errors.inc();
                    if !std::mem::replace(&mut told, true) {
                        is_away(&why);
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Gives it to whoever takes, until one of them finds it dead.
    async fn serve(&self, connection: MultiplexedConnection) {
        tracing::info!("the limits have their redis");
        self.state.connection.store(Some(Arc::new(connection)));
        self.state.connected.set(1);
        self.state.lost.notified().await;
        self.state.connected.set(0);
        tracing::warn!("the limits lost their redis: each process has its own until it is back");
    }

    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        // Each call has its own limit.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let connected = self.state.redis.client.get_multiplexed_async_connection_with_config(&config);
        match tokio::time::timeout(CONNECT, connected).await {
            Ok(connected) => connected.map_err(|e| e.to_string()),
            Err(_) => Err(format!("no answer in {} s", CONNECT.as_secs())),
        }
    }
}

fn is_away(why: &str) {
    tracing::warn!(%why, "the limits are without their redis: each process has its own");
}
