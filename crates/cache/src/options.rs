//! How a cache is to be.

use std::time::Duration;

use redis::{Client, IntoConnectionInfo as _, ProtocolVersion};

/// Options of both kinds.
#[derive(Clone, Debug)]
pub struct CacheOptions {
    /// How long a value may be served after it was loaded. Default: 5 min.
    pub ttl: Duration,
    /// How much memory keys and values may take, in bytes. Default: 64 MiB.
    pub capacity: u64,
    /// How often the change source is asked for what messages did not tell. Default: 3 s.
    pub interval: Duration,
}

impl Default for CacheOptions {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self { ttl: minutes(5), capacity: 64 << 20, interval: Duration::from_secs(3) }
    }
}

/// Options of the kind with Redis.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// How long a look-up waits for Redis before it goes on without. Default: 50 ms.
    pub timeout: Duration,
}

/// A URL that Redis is not to be reached by.
#[derive(Debug, thiserror::Error)]
#[error("not the URL of a Redis (redis://host:port, rediss://host:port, redis+unix:///path): {0}")]
pub struct InvalidRedisUrl(String);

impl RedisOptions {
    /// Redis 6 or later at `url`: `redis://`, `rediss://` (TLS) or `redis+unix://`.
    ///
    /// Everything is kept under `namespace`. It names the store and its life, as a `StoreId` does: after a restored
    /// backup the same revision means something else, and nothing from before may be found.
    ///
    /// # Errors
    /// Where the URL is none. Whether anybody is there shows later, in the metrics.
    pub fn new(url: &str, namespace: impl Into<String>) -> Result<Self, InvalidRedisUrl> {
        let invalid = |e: redis::RedisError| InvalidRedisUrl(e.to_string());
        let address = url.into_connection_info().map_err(invalid)?;
        // With version 3 messages come on the connection of the commands: when one fails, so does the other.
        let settings = address.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(address.set_redis_settings(settings)).map_err(invalid)?;
        Ok(Self { client, namespace: namespace.into(), timeout: Duration::from_millis(50) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_something_else_is_refused_with_what_would_be_right() {
        let error = RedisOptions::new("http://localhost", "x").expect_err("no Redis").to_string();
        assert!(error.contains("redis://host:port"), "{error}");
        for url in ["redis://localhost", "rediss://:secret@db:6380/1", "redis+unix:///run/redis.sock"] {
            RedisOptions::new(url, "x").expect(url);
        }
    }
}
