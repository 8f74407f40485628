//! Rate limits: a bucket for each key of a route, shared by all cores.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash as _, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hotswap_matcher::{RateKey, RateLimit, RequestHead};
use http::{HeaderName, HeaderValue};

use super::admitted::Admitted;
use super::gcra::{Found, Pace};
use super::state::TrafficState;
use crate::backend_state::clock;
use crate::decide::Caller;
use crate::reason::Reason;

/// What the limit is (draft-ietf-httpapi-ratelimit-headers).
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it.
const LEFT: HeaderName = HeaderName::from_static("ratelimit");
const SECOND: u64 = 1_000_000_000;

const SHARDS: usize = 64;
/// Keys of a shard, at most.
const KEYS: usize = 1_024;

/// When the bucket of each key is full, by the hash of the key.
type Keys = HashMap<u64, u64, BuildHasherDefault<AsItIs>>;

/// The buckets of a route.
#[derive(Debug)]
pub(super) struct Buckets {
    /// The one for all.
    one: AtomicU64,
    /// Those of keys; memory comes with the first key.
    keys: [Mutex<Keys>; SHARDS],
    seed: RandomState,
}

/// Keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = self.0.rotate_left(8) ^ u64::from(*b));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

/// The error: it is one too many.
pub(super) fn pass(
    limit: &RateLimit,
    state: &TrafficState,
    head: &impl RequestHead,
    caller: &Caller<'_>,
    admitted: &mut Admitted,
) -> Result<(), Option<Reason>> {
    let key = state.buckets.key(limit, head, Some(&*admitted), || caller.sender.client(head));
    let found = state.buckets.take(key, Pace::of(limit), clock::now_ns());
    if !limit.quiet {
        tell(limit, &found, admitted);
    }
    if !found.passes {
        admitted.tell_retry_after(found.wait.div_ceil(SECOND));
        return Err(Some(Reason::RateLimited));
    }
    Ok(())
}

fn tell(limit: &RateLimit, found: &Found, admitted: &mut Admitted) {
    let (quota, seconds) = (limit.requests, limit.period.as_secs_f64());
    let window = if seconds < 1.0 { 1.0 } else { seconds.ceil() };
    let policy = format!("\"route\";q={quota};w={window:.0}");
    let left = format!("\"route\";r={};t={}", found.left, found.wait.div_ceil(SECOND));
    for (name, text) in [(POLICY, policy), (LEFT, left)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            admitted.tell(name, value);
        }
    }
}

impl Default for Buckets {
    fn default() -> Self {
        let keys = std::array::from_fn(|_| Mutex::default());
        Self { one: AtomicU64::default(), keys, seed: RandomState::new() }
    }
}

impl Buckets {
    /// Whose bucket a request takes from; `None`: the one for all.
    pub(super) fn key(
        &self,
        limit: &RateLimit,
        head: &impl RequestHead,
        admitted: Option<&Admitted>,
        client: impl FnOnce() -> IpAddr,
    ) -> Option<u64> {
        let mut hasher = self.seed.build_hasher();
        match &limit.key {
            RateKey::Route => return None,
            RateKey::ClientAddress => match client().to_canonical() {
                IpAddr::V4(v4) => v4.octets().hash(&mut hasher),
                // A client has a /64 to itself, and may take any address of it.
                IpAddr::V6(v6) => (v6.to_bits() >> 64).hash(&mut hasher),
            },
            RateKey::Header(name) => {
                name.hash(&mut hasher);
                match admitted.and_then(|admitted| admitted.sends(name)) {
                    // What a token says counts, and not what the client says beside it.
                    Some(said) => said.iter().for_each(|value| value.as_bytes().hash(&mut hasher)),
                    None => head.header(name, &mut |value| value.hash(&mut hasher)),
                }
            }
        }
        Some(hasher.finish())
    }

    /// Takes one request's worth at `now`, in ns.
    pub(super) fn take(&self, key: Option<u64>, pace: Pace, now: u64) -> Found {
        let Some(key) = key else {
            let mut found = pace.take(self.one.load(Ordering::Relaxed), now);
            let _ = self.one.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                found = pace.take(full_at, now);
                Some(found.full_at).filter(|next| found.passes || *next < full_at)
            });
            return found;
        };
        let mut keys = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        let known = keys.get(&key).copied();
        let found = pace.take(known.unwrap_or_default(), now);
        if found.passes && known.is_none() && keys.len() >= KEYS {
            make_room(&mut keys, now);
        }
        keys.insert(key, found.full_at);
        found
    }

    /// What a request would find, without taking anything.
    pub(super) fn look(&self, key: Option<u64>, pace: Pace, now: u64) -> Found {
        let full_at = match key {
            None => self.one.load(Ordering::Relaxed),
            Some(key) => {
                let keys = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
                keys.get(&key).copied().unwrap_or_default()
            }
        };
        pace.take(full_at, now)
    }

    fn shard(&self, key: u64) -> &Mutex<Keys> {
        // The low bits choose the place within a shard.
        let [first, ..] = &self.keys;
        self.keys.get((key >> 58) as usize).unwrap_or(first)
    }

    /// Keys that are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.keys.iter().map(|keys| keys.lock().map_or(0, |keys| keys.len())).sum()
    }
}

/// Forgets buckets that are full, which is no loss; and where that does not help, a quarter: those that lack the least.
fn make_room(keys: &mut Keys, now: u64) {
    keys.retain(|_, full_at| *full_at > now);
    if keys.len() >= KEYS {
        let mut all: Vec<u64> = keys.values().copied().collect();
        let (_, quarter, _) = all.select_nth_unstable(KEYS / 4);
        let quarter = *quarter;
        keys.retain(|_, full_at| *full_at > quarter);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn limit(requests: u32, burst: u32) -> RateLimit {
        RateLimit {
            requests,
            period: Duration::from_secs(3_600),
            burst,
            key: RateKey::ClientAddress,
            quiet: false,
        }
    }

    #[test]
    fn cores_together_take_no_more_than_one_would() {
        for key in [None, Some(7)] {
            let buckets = Arc::new(Buckets::default());
            let pace = Pace::of(&limit(100, 100));
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    let buckets = Arc::clone(&buckets);
                    std::thread::spawn(move || {
                        (0..100).filter(|_| buckets.take(key, pace, 1_000).passes).count()
                    })
                })
                .collect();
            let passed: usize = takers.into_iter().map(|t| t.join().expect("ends")).sum();
            assert_eq!(passed, 100);
        }
    }

    #[test]
    fn keys_do_not_share_and_are_bounded_and_who_used_most_stays() {
        let buckets = Buckets::default();
        let pace = Pace::of(&limit(10, 10));
        let heavy = 3_u64;
        for _ in 0..10 {
            assert!(buckets.take(Some(heavy), pace, 1).passes);
        }
        assert!(!buckets.take(Some(heavy), pace, 1).passes);
        for n in 0..200_000_u64 {
            let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 8;
            assert!(buckets.take(Some(key), pace, 1).passes, "each has its own");
        }
        assert!(buckets.kept() <= SHARDS * KEYS, "{}", buckets.kept());
        assert!(!buckets.take(Some(heavy), pace, 1).passes, "it is remembered");
    }

    #[test]
    fn looking_takes_nothing() {
        let buckets = Buckets::default();
        let pace = Pace::of(&limit(1, 1));
        for key in [None, Some(9)] {
            assert!(buckets.look(key, pace, 1).passes);
            assert!(buckets.take(key, pace, 1).passes);
            assert!(!buckets.look(key, pace, 1).passes);
        }
    }
}
