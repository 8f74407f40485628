//! The one connection to Redis: made, listened on, and made again.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue as _, PushInfo, PushKind, RedisError};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::Cache;
use crate::metrics::LearnedBy;
use crate::shared::{Job, State};
use crate::wire::Hint;
use hotswap_core::Revision;

/// An attempt to connect may take so long; nobody waits for it.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two attempts: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// The connection's owner. Commands and messages share it, so whoever finds it dead finds that no messages come
/// either.
#[derive(Debug)]
pub(crate) struct Link {
    state: Arc<State>,
    jobs: mpsc::Receiver<Job>,
}

impl Link {
    pub(crate) fn new(state: Arc<State>, jobs: mpsc::Receiver<Job>) -> Self {
        Self { state, jobs }
    }

    /// Keeps the connection up; it does not end.
    pub(crate) async fn run(&mut self, cache: &Cache) {
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            match self.connect().await {
                Ok((connection, messages)) => {
                    (pause, told) = (FIRST_PAUSE, false);
                    tracing::info!("the cache has its redis");
                    self.serve(cache, connection, messages).await;
                    self.state.connection.store(None);
                    self.state.metrics.redis_connected.set(0);
                    tracing::warn!("the cache lost its redis");
                }
                Err(why) => {
                    self.state.metrics.redis_errors.inc();
                    if !std::mem::replace(&mut told, true) {
                        is_away(&why);
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Connects and listens for messages.
    pub(crate) async fn connect(
        &self,
    ) -> Result<(MultiplexedConnection, UnboundedReceiver<PushInfo>), String> {
        let (sender, messages) = mpsc::unbounded_channel();
        // Each call has its own limit.
        let config = AsyncConnectionConfig::new().set_push_sender(sender).set_response_timeout(None);
        let config = config.set_connection_timeout(None).set_pipeline_buffer_size(1_024);
        let connected = async {
            let client = &self.state.redis.client;
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            connection.subscribe(self.state.naming.channel()).await?;
            Ok((connection, messages))
        };
        match tokio::time::timeout(CONNECT, connected).await {
            Ok(connected) => connected.map_err(|e: RedisError| e.to_string()),
            Err(_) => Err(format!("no answer in {} s", CONNECT.as_secs())),
        }
    }

    /// Works until the connection is lost.
    async fn serve(
        &mut self,
        cache: &Cache,
        connection: MultiplexedConnection,
        mut messages: UnboundedReceiver<PushInfo>,
    ) {
        // What was queued before is old, and the round finds it.
        while self.jobs.try_recv().is_ok() {}
        let state = Arc::clone(&self.state);
        state.connection.store(Some(Arc::new(connection)));
        state.metrics.redis_connected.set(1);
        state.forget_all().await;
        // Messages were missed, and Redis may have missed changes.
        state.round.notify_one();
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    // Nobody holds it any more: whoever found it dead has taken it away.
                    None => return,
                    Some(PushInfo { kind: PushKind::Disconnection, .. }) => return,
                    Some(message) => hear(cache, message),
                },
                Some(job) = self.jobs.recv() => drop(state.work(job).await),
                () = state.to_forget.notified() => drop(state.forget_all().await),
            }
        }
    }
}

fn is_away(why: &str) {
    tracing::warn!(%why, "the cache is without its redis");
}

/// Acts on a message of another node, or of this one.
fn hear(cache: &Cache, message: PushInfo) {
    if message.kind != PushKind::Message {
        return;
    }
    let Ok((_channel, text)) = <(String, Vec<u8>)>::from_redis_value(redis::Value::Array(message.data))
    else {
        return;
    };
    match Hint::read(&text) {
        None => tracing::debug!("a message that is not understood"),
        Some(Hint::Changed(change)) => {
            cache.learn(&change, Revision(change.revision.0 - 1), LearnedBy::Hint);
        }
        Some(Hint::Forget(scope)) => cache.inner.memory.forget(&scope),
    }
}
