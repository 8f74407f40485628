//! Rate limits: a bucket for each key of a route, shared by all cores.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hotswap_matcher::{RateKey, RateLimit, RequestHead, TrafficSpec};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::admitted::Admitted;
use super::fleet::Question;
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
    (route, spec, limit): (&str, &Arc<TrafficSpec>, &RateLimit),
    state: &Arc<TrafficState>,
    head: &impl RequestHead,
    caller: &Caller<'_>,
    admitted: &mut Admitted,
) -> Result<(), Option<Reason>> {
    let client = || caller.sender.client(head);
    let key = state.buckets.key(limit, head, Some(&*admitted), client);
    let (pace, now) = (Pace::of(limit), clock::now_ns());
    let found = if limit.is_shared {
        let known = state.buckets.look(key, pace, now);
        if known.passes {
            let name = format!("{route}:{}", shared_key(limit, head, Some(&*admitted), client));
            let (spec, state) = (Arc::clone(spec), Arc::clone(state));
            admitted.ask(Question { name, key, spec, state });
            return Ok(());
        }
        known
    } else {
        state.buckets.take(key, pace, now)
    };
    told(limit, &found).into_iter().for_each(|(name, value)| admitted.tell(name, value));
    if !found.passes {
        admitted.tell_retry_after(seconds(found.wait));
        return Err(Some(Reason::RateLimited));
    }
    Ok(())
}

/// The name of a key that all gateways have for it.
fn shared_key(
    limit: &RateLimit,
    head: &impl RequestHead,
    admitted: Option<&Admitted>,
    client: impl FnOnce() -> IpAddr,
) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    if !hash_key(limit, head, admitted, client, &mut hasher) {
        return "all".to_owned();
    }
    hasher.0.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A hash that is the same everywhere.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// Whole seconds of so many ns.
pub(super) fn seconds(ns: u64) -> u64 {
    ns.div_ceil(SECOND)
}

pub(super) fn retry_after(seconds: u64) -> (HeaderName, HeaderValue) {
    (RETRY_AFTER, HeaderValue::from(seconds))
}

/// What a client is told of a limit.
pub(super) fn told(limit: &RateLimit, found: &Found) -> Vec<(HeaderName, HeaderValue)> {
    if limit.quiet {
        return Vec::new();
    }
    let (quota, seconds) = (limit.requests, limit.period.as_secs_f64());
    let window = if seconds < 1.0 { 1.0 } else { seconds.ceil() };
    let policy = format!("\"route\";q={quota};w={window:.0}");
    let left = format!("\"route\";r={};t={}", found.left, found.wait.div_ceil(SECOND));
    let fields = [(POLICY, policy), (LEFT, left)].into_iter();
    fields.filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?))).collect()
}

/// Hashes what a key is made of; false: there is one bucket for all.
fn hash_key(
    limit: &RateLimit,
    head: &impl RequestHead,
    admitted: Option<&Admitted>,
    client: impl FnOnce() -> IpAddr,
    hasher: &mut impl Hasher,
) -> bool {
    match &limit.key {
        RateKey::Route => return false,
        RateKey::ClientAddress => match client().to_canonical() {
            IpAddr::V4(v4) => hasher.write(&v4.octets()),
            // A client has a /64 to itself, and may take any address of it.
            IpAddr::V6(v6) => hasher.write(v6.octets().get(..8).unwrap_or_default()),
        },
        RateKey::Header(name) => {
            let mut add = |value: &[u8]| {
                // Two values are not one that is as long as both.
                hasher.write(&value.len().to_le_bytes());
                hasher.write(value);
            };
            add(name.as_str().as_bytes());
            match admitted.and_then(|admitted| admitted.sends(name)) {
                // What a token says counts, and not what the client says beside it.
                Some(said) => said.iter().for_each(|value| add(value.as_bytes())),
                None => head.header(name, &mut add),
            }
        }
    }
    true
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
        hash_key(limit, head, admitted, client, &mut hasher).then(|| hasher.finish())
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

    /// Notes what others know of a bucket: it is not full before this, in ns.
    pub(super) fn note(&self, key: Option<u64>, full_at: u64) {
        let Some(key) = key else {
            self.one.fetch_max(full_at, Ordering::Relaxed);
            return;
        };
        let mut keys = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.contains_key(&key) && keys.len() >= KEYS {
            make_room(&mut keys, clock::now_ns());
        }
        let known = keys.entry(key).or_default();
        *known = full_at.max(*known);
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
            is_shared: false,
            fallback: hotswap_matcher::RateFallback::Local,
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
