//! What the watchers have seen. Losses and repetitions are computed from revisions, not assumed away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::{Notify, watch};

/// The board that all watchers of one server write to.
pub(crate) struct Board {
    inner: Mutex<Inner>,
    changed: Notify,
    /// The newest revision that every watcher is known to have.
    done: watch::Sender<i64>,
}

struct Inner {
    watchers: Vec<Seen>,
    /// How many watchers have begun.
    begun: usize,
    /// By the revision that a message led to: how many got it, and when the last one did.
    waves: BTreeMap<i64, (usize, Instant)>,
    failure: Option<String>,
}

#[derive(Clone, Default)]
struct Seen {
    begun: bool,
    /// The revision that it has.
    place: i64,
    /// The revision of each event since the last tally, in the order in which they came.
    events: Vec<i64>,
}

/// Events that did not arrive exactly once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Pairs of a watcher and a write that it never saw.
    pub(crate) lost: u64,
    /// Times that a watcher saw a write once more.
    pub(crate) duplicate: u64,
    /// Events of no write of ours.
    pub(crate) foreign: u64,
}

impl Board {
    pub(crate) fn new(watchers: usize) -> Self {
        let inner = Inner {
            watchers: vec![Seen::default(); watchers],
            begun: 0,
            waves: BTreeMap::new(),
            failure: None,
        };
        Self { inner: Mutex::new(inner), changed: Notify::new(), done: watch::Sender::new(i64::MIN) }
    }

    /// A watcher stands at this place and waits.
    pub(crate) fn begun(&self, watcher: usize, place: i64) {
        let mut inner = self.lock();
        let Some(seen) = inner.watchers.get_mut(watcher) else { return };
        seen.place = place;
        if !std::mem::replace(&mut seen.begun, true) {
            inner.begun += 1;
            self.changed.notify_waiters();
        }
    }

    /// A watcher has decoded a message that leads to `to` and carries the events of these revisions.
    pub(crate) fn saw(&self, watcher: usize, to: i64, events: impl IntoIterator<Item = i64>) {
        let now = Instant::now();
        let mut inner = self.lock();
        let all = inner.watchers.len();
        let Some(seen) = inner.watchers.get_mut(watcher) else { return };
        seen.place = to;
        seen.events.extend(events);
        let wave = inner.waves.entry(to).or_insert((0, now));
        *wave = (wave.0 + 1, now);
        if wave.0 >= all {
            self.changed.notify_waiters();
        }
    }

    /// Ends the run: a watcher can't go on.
    pub(crate) fn fail(&self, watcher: usize, why: &str) {
        self.lock().failure.get_or_insert_with(|| format!("watcher {watcher}: {why}"));
        self.changed.notify_waiters();
    }

    /// How many watchers there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().watchers.len()
    }

    /// Waits until so many watchers have begun.
    pub(crate) async fn begun_at_least(&self, watchers: usize, limit: Duration) -> Result<()> {
        let late = |inner: &Inner| format!("{} of {} watchers have begun", inner.begun, inner.watchers.len());
        self.until(limit, late, |inner| (inner.begun >= watchers).then_some(())).await
    }

    /// Waits until every watcher has `revision`; returns when the last one got it.
    pub(crate) async fn complete(&self, revision: i64, limit: Duration) -> Result<Instant> {
        let late = |inner: &Inner| inner.late(revision);
        let last = self.until(limit, late, |inner| inner.complete(revision)).await?;
        self.lock().waves.clear();
        self.done.send_replace(revision);
        Ok(last)
    }

    /// Waits until it is known that every watcher has `revision`.
    pub(crate) async fn done(&self, revision: i64) {
        // The sender lives as long as this.
        let _ = self.done.subscribe().wait_for(|done| *done >= revision).await;
    }

    async fn until<T>(
        &self,
        limit: Duration,
        late: impl Fn(&Inner) -> String,
        mut done: impl FnMut(&Inner) -> Option<T>,
    ) -> Result<T> {
        let end = tokio::time::Instant::now() + limit;
        loop {
            let changed = self.changed.notified();
            {
                let inner = self.lock();
                if let Some(failure) = &inner.failure {
                    bail!("{failure}");
                }
                if let Some(done) = done(&inner) {
                    return Ok(done);
                }
            }
            if tokio::time::timeout_at(end, changed).await.is_err() {
                bail!("{} after {} s", late(&self.lock()), limit.as_secs_f64());
            }
        }
    }

    /// Compares what came with what was written, and begins anew.
    pub(crate) fn tally(&self, written: &BTreeSet<i64>) -> Tally {
        let mut tally = Tally::default();
        for seen in &mut self.lock().watchers {
            let mut times: BTreeMap<i64, u64> = BTreeMap::new();
            for event in seen.events.drain(..) {
                *times.entry(event).or_default() += 1;
            }
            tally.duplicate += times.values().map(|n| n - 1).sum::<u64>();
            tally.foreign += times.keys().filter(|r| !written.contains(r)).count() as u64;
            tally.lost += written.iter().filter(|r| !times.contains_key(r)).count() as u64;
        }
        tally
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn complete(&self, revision: i64) -> Option<Instant> {
        let waves = self.waves.range(revision..);
        let arrived: usize = waves.clone().map(|(_, (count, _))| count).sum();
        // A count alone could hide one that got it twice behind one that did not.
        let all = arrived >= self.watchers.len() && self.watchers.iter().all(|w| w.place >= revision);
        all.then(|| waves.map(|(_, (_, last))| *last).max()).flatten()
    }

    fn late(&self, revision: i64) -> String {
        let behind: Vec<_> = self.watchers.iter().enumerate().filter(|(_, w)| w.place < revision).collect();
        let first = behind.first().map_or(String::new(), |(at, w)| {
            format!(", the first of them watcher {at} at revision {}", w.place)
        });
        format!(
            "{} of {} watchers have not seen revision {revision}{first}",
            behind.len(),
            self.watchers.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn a_write_is_complete_when_the_last_watcher_has_it() {
        let board = Board::new(2);
        board.saw(0, 5, [5]);
        assert!(board.complete(5, SOON).await.is_err());
        board.saw(1, 5, [5]);
        board.complete(5, SOON).await.expect("complete");
        assert_eq!(board.tally(&BTreeSet::from([5])), Tally::default());
    }

    #[tokio::test]
    async fn a_watcher_that_stops_reading_is_named() {
        let board = Board::new(3);
        for watcher in 0..3 {
            board.begun(watcher, 4);
        }
        board.begun_at_least(3, SOON).await.expect("begun");
        board.saw(0, 5, [5]);
        board.saw(2, 5, [5]);
        let error = board.complete(5, SOON).await.expect_err("late").to_string();
        assert!(error.contains("1 of 3 watchers have not seen revision 5"), "{error}");
        assert!(error.contains("watcher 1 at revision 4"), "{error}");
    }

    #[tokio::test]
    async fn one_that_gets_it_twice_does_not_stand_in_for_one_that_does_not() {
        let board = Board::new(2);
        board.saw(0, 5, [5]);
        board.saw(0, 5, [5]);
        assert!(board.complete(5, SOON).await.is_err());
    }

    #[tokio::test]
    async fn a_watcher_that_fails_ends_the_wait() {
        let board = Board::new(1);
        board.fail(0, "the server ended the stream");
        let error = board.complete(1, Duration::from_secs(3600)).await.expect_err("failed").to_string();
        assert_eq!(error, "watcher 0: the server ended the stream");
    }

    #[test]
    fn losses_and_repetitions_are_counted_for_each_watcher() {
        let board = Board::new(2);
        board.saw(0, 5, [5]);
        board.saw(0, 6, [6, 6]);
        board.saw(1, 9, [9]);
        let tally = board.tally(&BTreeSet::from([5, 6, 7]));
        assert_eq!(tally, Tally { lost: 4, duplicate: 1, foreign: 1 });
        assert_eq!(board.tally(&BTreeSet::new()), Tally::default());
    }
}
