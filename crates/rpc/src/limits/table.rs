//! The buckets of a process, by their names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::Bucket;
use super::{Rate, SharedBuckets};

/// Most buckets that are kept. Past it those that are full are forgotten, which loses nothing, and all where none is.
const KEPT: usize = 50_000;

/// A bucket, and who fetches its next portion.
#[derive(Debug)]
struct Slot {
    bucket: Mutex<Bucket>,
    /// One at a time: those behind find what it brought.
    fetching: tokio::sync::Mutex<()>,
}

/// All of them.
pub(super) struct Table {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    shared: Option<Arc<dyn SharedBuckets>>,
}

/// A call that was taken out of a bucket, to be put back or not.
pub(super) struct Taken {
    slot: Arc<Slot>,
    rate: Rate,
    shared: bool,
}

impl Table {
    pub(super) fn new(shared: Option<Arc<dyn SharedBuckets>>) -> Self {
        Self { slots: Mutex::default(), shared }
    }

    /// Takes one call out of a bucket.
    ///
    /// # Errors
    /// After how long there is one.
    pub(super) async fn take(&self, name: &str, rate: Rate) -> Result<Taken, Duration> {
        let slot = self.slot(name);
        slot.lock().take(rate, Instant::now())?;
        let shared = match &self.shared {
            None => Ok(false),
            Some(shared) => slot.take_shared(name, rate, shared.as_ref()).await,
        };
        match shared {
            Ok(shared) => Ok(Taken { slot, rate, shared }),
            Err(wait) => {
                slot.lock().put_back(rate, false);
                Err(wait)
            }
        }
    }

    fn slot(&self, name: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(name) {
            return Arc::clone(slot);
        }
        let now = Instant::now();
        if slots.len() >= KEPT {
            slots.retain(|_, slot| !slot.lock().is_full(now));
            if slots.len() >= KEPT {
                slots.clear();
            }
        }
        let slot = Slot { bucket: Mutex::new(Bucket::full(now)), fetching: tokio::sync::Mutex::default() };
        let slot = Arc::new(slot);
        slots.insert(name.to_owned(), Arc::clone(&slot));
        slot
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one call out of what the processes share. `false`: that is away, and this process's own bucket decides.
    async fn take_shared(
        &self,
        name: &str,
        rate: Rate,
        shared: &dyn SharedBuckets,
    ) -> Result<bool, Duration> {
        if self.take_of_portion()? {
            return Ok(true);
        }
        let _one = self.fetching.lock().await;
        if self.take_of_portion()? {
            return Ok(true);
        }
        match shared.take(name, rate, rate.portion()).await {
            None => Ok(false),
            Some(grant) => self.lock().fetched(grant, Instant::now()).map(|()| true),
        }
    }

    fn take_of_portion(&self) -> Result<bool, Duration> {
        self.lock().take_of_portion(Instant::now()).map(|taken| taken.is_some())
    }
}

impl Taken {
    /// Puts it back.
    pub(super) fn put_back(self) {
        self.slot.lock().put_back(self.rate, self.shared);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::{Grant, Granting};
    use super::*;

    /// A shared bucket of so many calls that never fills.
    struct Fixed {
        left: AtomicU32,
        asked: AtomicU32,
        away: bool,
    }

    impl Fixed {
        fn of(calls: u32) -> Self {
            Self { left: AtomicU32::new(calls), asked: AtomicU32::new(0), away: false }
        }
    }

    impl SharedBuckets for Fixed {
        fn take<'a>(&'a self, _name: &'a str, _rate: Rate, want: u32) -> Granting<'a> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let left = self.left.load(Ordering::SeqCst);
            let taken = want.min(left);
            self.left.store(left - taken, Ordering::SeqCst);
            let grant = if taken == 0 { Grant::Empty(Duration::from_secs(1)) } else { Grant::Taken(taken) };
            let answer = (!self.away).then_some(grant);
            Box::pin(async move {
                // Others come meanwhile.
                tokio::task::yield_now().await;
                answer
            })
        }
    }

    async fn taken(table: &Table, calls: usize, rate: Rate) -> usize {
        let all = (0..calls).map(|_| table.take("b", rate));
        futures_util::future::join_all(all).await.iter().filter(|taken| taken.is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn processes_together_take_no_more_than_the_shared_bucket_has_and_ask_it_seldom() {
        let shared = Arc::new(Fixed::of(1_000));
        let rate = Rate::per_second(10_000);
        let tables = [0, 1].map(|_| Table::new(Some(Arc::clone(&shared) as _)));
        let (a, b) = (taken(&tables[0], 700, rate).await, taken(&tables[1], 700, rate).await);
        assert_eq!((a, b), (700, 0), "the rest lies in a portion");
        assert_eq!(taken(&tables[0], 700, rate).await, 300);
        assert!(shared.asked.load(Ordering::SeqCst) <= 5, "{}", shared.asked.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_shared_bucket_a_process_has_its_own() {
        let rate = Rate::per_second(100);
        let away = Table::new(Some(Arc::new(Fixed { away: true, ..Fixed::of(1_000) })));
        assert_eq!(taken(&away, 150, rate).await, 100);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(taken(&away, 150, rate).await, 50);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_the_shared_bucket_takes_nothing_of_ones_own_and_is_remembered() {
        let shared = Arc::new(Fixed::of(1));
        let table = Table::new(Some(Arc::clone(&shared) as _));
        let rate: Rate = "2/h".parse().expect("a rate");
        assert!(table.take("b", rate).await.is_ok());
        for _ in 0..10 {
            assert_eq!(table.take("b", rate).await.err(), Some(Duration::from_secs(1)));
        }
        assert_eq!(shared.asked.load(Ordering::SeqCst), 2);
        shared.left.store(1, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(table.take("b", rate).await.is_ok(), "the process's own bucket still has one");
    }

    #[tokio::test(start_paused = true)]
    async fn buckets_do_not_pile_up() {
        let table = Table::new(None);
        let rate = Rate::per_second(10);
        for n in 0..KEPT {
            table.take(&n.to_string(), rate).await.map(drop).expect("full");
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        table.take("another", rate).await.map(drop).expect("full");
        assert_eq!(table.slots.lock().expect("sound").len(), 1);
    }
}
