//! Rate limits that the whole fleet shares: a request asks the Redis of the gateways once, and waits for a bounded time.
//!
//! What Redis says is noted in the gateway's own bucket of the same key, which can only know of too little use. Where that
//! says that the bucket is empty, it is, and nobody is asked.

use std::sync::Arc;
use std::time::Duration;

use hotswap_cache::Buckets as Shared;
use hotswap_matcher::{RateFallback, RateLimit, TrafficSpec};
use http::{HeaderName, HeaderValue};

use super::gcra::{Found, Pace};
use super::rate;
use super::state::TrafficState;
use crate::backend_state::clock;
use crate::reason::Reason;

/// What is asked before a request goes on.
#[derive(Debug)]
pub struct Question {
    /// Of the bucket, the same at every gateway.
    pub(super) name: String,
    /// The gateway's own bucket of it.
    pub(super) key: Option<u64>,
    pub(super) spec: Arc<TrafficSpec>,
    pub(super) state: Arc<TrafficState>,
}

/// What came of it.
#[derive(Debug)]
pub struct Verdict {
    /// Why the request does not go on.
    pub refused: Option<Reason>,
    /// What its client is told.
    pub(super) told: Vec<(HeaderName, HeaderValue)>,
}

impl Question {
    /// Asks, at most as long as the fleet's Redis is waited for; `None`: there is none.
    pub async fn ask(self, shared: Option<Shared>) -> Verdict {
        let Some(limit) = self.spec.rate_limit.as_ref() else { return Verdict::passed() };
        let asked = match &shared {
            Some(shared) => shared.take_one(&self.name, interval(limit), limit.burst).await,
            None => None,
        };
        let (pace, now) = (Pace::of(limit), clock::now_ns());
        let found = match asked {
            Some((passes, wait)) => {
                let found = pace.told(passes, wait, now);
                self.state.buckets.note(self.key, found.full_at);
                found
            }
            None => match limit.fallback {
                RateFallback::Local => self.state.buckets.take(self.key, pace, now),
                RateFallback::Pass => return Verdict::passed(),
                RateFallback::Refuse => {
                    let told = vec![rate::retry_after(1)];
                    return self.refuse(Reason::LimitUnavailable, told);
                }
            },
        };
        self.judge(limit, &found)
    }

    fn judge(&self, limit: &RateLimit, found: &Found) -> Verdict {
        let mut told = rate::told(limit, found);
        if found.passes {
            return Verdict { refused: None, told };
        }
        told.push(rate::retry_after(rate::seconds(found.wait)));
        self.refuse(Reason::RateLimited, told)
    }

    fn refuse(&self, reason: Reason, told: Vec<(HeaderName, HeaderValue)>) -> Verdict {
        self.state.refused(reason);
        Verdict { refused: Some(reason), told }
    }
}

impl Verdict {
    fn passed() -> Self {
        Self { refused: None, told: Vec::new() }
    }
}

/// The time that one request's worth takes to come back.
fn interval(limit: &RateLimit) -> Duration {
    limit.period / limit.requests.max(1)
}
