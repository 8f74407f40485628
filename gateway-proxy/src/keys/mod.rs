//! Key sets that routes take from a server or a file: fetched on a thread of their own, looked at by every core.
//!
//! ```text
//!   Catalog ── a route's KeySource ──► KeyRing ──► Remote ◄── fetcher (each N seconds, or early)
//!                                                   ▲  │ keys, by a pointer that is swapped
//!   request with a token ── RouteTraffic ───────────┘  └─► verify; an unknown key asks for an early fetch
//! ```
//!
//! A key set is one for all routes that name the same source. What was fetched stays, however old, until something newer
//! comes: a key server that is away stops nobody who has a token. So it lies on disk, too ([`crate::state`]), and a process
//! that starts, or takes over, begins with it and asks at once. Where nothing was ever fetched, tokens can't be verified, and
//! requests with one get KEYS_UNAVAILABLE; so a start waits a while for the first answer of such a source.

mod fetch;
mod kept;
mod run;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hotswap_matcher::{KeyPlace, KeySet, KeySource};
use tokio::sync::Notify;

pub(crate) use fetch::Fetcher;
pub use fetch::KeyOptions;
pub(crate) use kept::{Keeping, Kept};
pub(crate) use run::run;

/// A key that is not known makes a set be fetched before its time, but not again within so many ms.
const EARLY_MS: u64 = 10_000;
/// The pause after a fetch that failed, in ms: at first, and at most (or as the source is fetched anyway).
const AGAIN_MS: (u64, u64) = (1_000, 60_000);
/// How long a start waits for the first answers of sources that it has nothing of.
const FIRST_ANSWERS: Duration = Duration::from_secs(5);

/// The key sets that the routes of a catalog name; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct KeyRing(Arc<Ring>);

#[derive(Debug, Default)]
struct Ring {
    sources: Mutex<HashMap<KeySource, Weak<Remote>>>,
    /// What was on disk; a source begins with it.
    kept: Mutex<HashMap<KeyPlace, Kept>>,
    /// There is another source, or one is to be fetched early.
    changed: Arc<Notify>,
    /// A fetch has ended.
    answered: Arc<Notify>,
}

/// A key set that comes from elsewhere.
#[derive(Debug)]
pub struct Remote {
    source: KeySource,
    found: ArcSwapOption<Found>,
    /// A token named a key that is not known.
    is_wanted: AtomicBool,
    times: Mutex<Times>,
    changed: Arc<Notify>,
    answered: Arc<Notify>,
}

/// What was fetched last.
#[derive(Debug)]
pub struct Found {
    /// The keys.
    pub keys: KeySet,
    /// Another number for other keys.
    pub number: u64,
    text: String,
}

/// When it was and is to be fetched, in ms.
#[derive(Debug, Default)]
struct Times {
    is_under_way: bool,
    /// Before 0: by a process of before.
    fetched: Option<i64>,
    next: u64,
    early: Option<u64>,
    failures: u32,
    trouble: String,
}

/// How it stands with a key set.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KeysStanding {
    /// Where it comes from.
    pub source: String,
    /// The age of what is in force, in ms; `None`: nothing is.
    pub age_ms: Option<u64>,
    /// Why the last fetch failed; empty: it did not.
    pub trouble: String,
}

impl KeyRing {
    /// The key set of a source, the same one for all routes that name it.
    pub fn of(&self, source: &KeySource) -> Arc<Remote> {
        let mut sources = self.lock();
        if let Some(known) = sources.get(source).and_then(Weak::upgrade) {
            return known;
        }
        let kept = self.kept().get(&source.place).cloned();
        let times = Times { fetched: kept.as_ref().map(|kept| kept.fetched), ..Times::default() };
        let remote = Arc::new(Remote {
            source: source.clone(),
            found: ArcSwapOption::new(kept.map(|kept| kept.found)),
            is_wanted: AtomicBool::new(false),
            times: Mutex::new(times),
            changed: Arc::clone(&self.0.changed),
            answered: Arc::clone(&self.0.answered),
        });
        sources.insert(source.clone(), Arc::downgrade(&remote));
        self.0.changed.notify_one();
        remote
    }

    /// How all of them stand, at `now` in ms.
    pub fn standing(&self, now: u64) -> Vec<KeysStanding> {
        let mut all: Vec<_> = self.live().iter().map(|remote| remote.standing(now)).collect();
        all.sort_by(|a, b| a.source.cmp(&b.source));
        all
    }

    /// Whether it is the same ring.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Sources that routes will name begin with what was on disk.
    pub(crate) fn begin_with(&self, kept: HashMap<KeyPlace, Kept>) {
        *self.kept() = kept;
    }

    /// Whether there are keys of each source, or it has been asked for them in vain.
    pub(crate) fn are_tried(&self) -> bool {
        self.live().iter().all(|remote| remote.found().is_some() || remote.times().failures > 0)
    }

    /// Waits until that is so, but no longer than [`FIRST_ANSWERS`].
    pub(crate) async fn first_answers(&self) {
        let tried = async {
            loop {
                let mut answered = pin!(self.0.answered.notified());
                // From here on: one that comes between the look and the wait counts.
                answered.as_mut().enable();
                if self.are_tried() {
                    return;
                }
                answered.await;
            }
        };
        if tokio::time::timeout(FIRST_ANSWERS, tried).await.is_err() {
            tracing::warn!(
                "there are no keys yet for some of the routes with tokens; not waiting any longer"
            );
        }
    }

    /// What there is of each source.
    fn found(&self) -> HashMap<KeyPlace, Kept> {
        let mut all: HashMap<KeyPlace, Kept> = HashMap::new();
        for remote in self.live() {
            let (found, fetched) = (remote.found(), remote.times().fetched);
            let Some((found, fetched)) = found.zip(fetched) else { continue };
            let known = all.get(&remote.source.place).map(|known| known.fetched);
            // Two sources at one place differ in how often it is asked.
            if known.is_none_or(|known| known < fetched) {
                all.insert(remote.source.place.clone(), Kept { found, fetched });
            }
        }
        all
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<KeyPlace, Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that a route names.
    fn live(&self) -> Vec<Arc<Remote>> {
        let mut sources = self.lock();
        sources.retain(|_, remote| remote.strong_count() > 0);
        sources.values().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<KeySource, Weak<Remote>>> {
        self.0.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remote {
    /// What was fetched last; `None`: nothing yet.
    pub fn found(&self) -> Option<Arc<Found>> {
        self.found.load_full()
    }

    /// A token named a key that is not known: it may be new.
    pub fn want(&self) {
        if !self.is_wanted.swap(true, Ordering::Relaxed) {
            self.changed.notify_one();
        }
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it is to be fetched, in ms; `None`: it is being fetched.
    fn due(&self) -> Option<u64> {
        let times = self.times();
        let early = times.early.map_or(0, |early| early + EARLY_MS);
        let due = if self.is_wanted.load(Ordering::Relaxed) { times.next.min(early) } else { times.next };
        (!times.is_under_way).then_some(due)
    }

    /// A fetch begins.
    fn begins(&self, now: u64) {
        let mut times = self.times();
        times.is_under_way = true;
        if self.is_wanted.swap(false, Ordering::Relaxed) {
            times.early = Some(now);
        }
    }

    /// What a fetch came to.
    fn ended(&self, came: Result<String, String>, now: u64) {
        let every = u64::try_from(self.source.refresh.as_millis()).unwrap_or(u64::MAX);
        let came = came.and_then(|text| {
            let known = self.found().filter(|found| found.text == text);
            if known.is_none() {
                let number = self.found().map_or(1, |found| found.number + 1);
                let found = Found::parse(text, number).map_err(|why| format!("the key set {why}"))?;
                self.found.store(Some(Arc::new(found)));
            }
            Ok(())
        });
        let mut times = self.times();
        times.is_under_way = false;
        match came {
            Ok(()) => {
                let at = i64::try_from(now).unwrap_or(i64::MAX);
                (times.fetched, times.next, times.failures) = (Some(at), now.saturating_add(every), 0);
                times.trouble.clear();
            }
            Err(why) => {
                let (first, most) = AGAIN_MS;
                let pause = (first << times.failures.min(10)).min(most).min(every);
                times.failures = times.failures.saturating_add(1);
                times.next = now.saturating_add(pause);
                if times.trouble != why {
                    tracing::warn!(source = %self.source, why, "no new keys");
                    times.trouble = why;
                }
            }
        }
        drop(times);
        self.changed.notify_one();
        self.answered.notify_waiters();
    }

    fn standing(&self, now: u64) -> KeysStanding {
        let times = self.times();
        KeysStanding {
            source: self.source.to_string(),
            age_ms: times.fetched.map(|at| now.saturating_add_signed(at.saturating_neg())),
            trouble: times.trouble.clone(),
        }
    }
}

impl Found {
    fn parse(text: String, number: u64) -> Result<Self, String> {
        Ok(Self { keys: KeySet::parse(&text)?, number, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn remote(ring: &KeyRing) -> Arc<Remote> {
        let place = KeyPlace::Url("https://id.example/keys".into());
        ring.of(&KeySource { place, refresh: Duration::from_secs(300) })
    }

    #[test]
    fn what_was_fetched_stays_whatever_comes_then_and_the_pauses_grow() {
        let ring = KeyRing::default();
        let remote = remote(&ring);
        assert_eq!((remote.due(), remote.found().is_none()), (Some(0), true));
        remote.begins(5);
        assert_eq!(remote.due(), None);
        remote.ended(Ok(SET.into()), 10);
        assert_eq!((remote.due(), remote.found().map(|f| f.number)), (Some(300_010), Some(1)));
        for (at, bad, next) in [(400_000, "[]", 401_000), (401_000, "{\"keys\":[]}", 403_000)] {
            remote.begins(at);
            remote.ended(Ok(bad.into()), at);
            assert_eq!((remote.due(), remote.found().map(|f| f.number)), (Some(next), Some(1)));
        }
        let [standing] = &ring.standing(403_010)[..] else { panic!("one") };
        assert_eq!(standing.age_ms, Some(403_000));
        assert!(standing.trouble.contains("key"), "{standing:?}");
        remote.begins(403_000);
        remote.ended(Ok(SET.into()), 403_000);
        assert_eq!(ring.standing(403_000)[0].trouble, "");
        assert_eq!(remote.found().map(|f| f.number), Some(1), "the same keys are the same");
    }

    #[test]
    fn an_unknown_key_brings_one_early_fetch_a_while() {
        let ring = KeyRing::default();
        let remote = remote(&ring);
        remote.begins(0);
        remote.ended(Ok(SET.into()), 0);
        remote.want();
        assert_eq!(remote.due(), Some(0), "at once");
        remote.begins(50);
        remote.ended(Ok(SET.into()), 60);
        remote.want();
        remote.want();
        assert_eq!(remote.due(), Some(50 + EARLY_MS));
    }

    #[test]
    fn a_source_that_no_route_names_is_forgotten() {
        let ring = KeyRing::default();
        let first = remote(&ring);
        assert!(Arc::ptr_eq(&first, &remote(&ring)), "one for all routes");
        assert_eq!(ring.standing(0).len(), 1);
        drop(first);
        assert_eq!(ring.standing(0).len(), 0);
    }
}
