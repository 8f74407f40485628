//! Between the control thread, which must not wait for a disk, and the thread that writes.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use hotswap_runtime::CancellationToken;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::image::Change;
use super::keeper::Keeper;

/// The control thread's end; cheap to clone. The writer ends, after what is waiting, when it is closed or the
/// last clone is gone.
#[derive(Clone, Debug)]
pub struct StateHandle {
    end: Arc<End>,
    ended: CancellationToken,
    /// There is one [`Turn`].
    turns: Arc<Semaphore>,
}

/// Leave to put a change in force: nobody else does as long as this is there, nor is what is in force handed over.
pub type Turn = OwnedSemaphorePermit;

#[derive(Debug)]
struct End(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Changes that wait for the disk, as one: a disk that hangs costs no more memory than the table has.
    change: Option<Change>,
    /// The key sets as they are now.
    key_sets: Option<Vec<u8>>,
    /// Wants to know when nothing is written any more, and the revision that is safe then; `None`: not all is.
    asks: Option<oneshot::Sender<Option<i64>>>,
    /// Nothing is written.
    held: bool,
    closed: bool,
}

/// What the writer is to do.
#[derive(Debug)]
enum Work {
    Keep(Change),
    KeepKeySets(Vec<u8>),
    /// Nothing, until it is let go on.
    Hold(oneshot::Sender<Option<i64>>),
}

/// Nothing is written and no change is put in force as long as this is there.
#[derive(Debug)]
pub struct Hold {
    queue: Arc<Queue>,
    /// `None`: it is for good.
    turn: Option<Turn>,
    revision: i64,
}

impl StateHandle {
    /// `held`: it writes nothing until [`Self::go_on`].
    pub(super) fn start(mut keeper: Keeper, held: bool) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        queue.lock().held = held;
        let ended = CancellationToken::new();
        let (theirs, at_end) = (Arc::clone(&queue), ended.clone().drop_guard());
        let write = move || {
            // Dropped, and so told, however the thread ends.
            let _at_end = at_end;
            while let Some(work) = theirs.next() {
                match work {
                    Work::Keep(change) => keeper.keep(change),
                    Work::KeepKeySets(sets) => keeper.keep_key_sets(&sets),
                    Work::Hold(asks) => {
                        if asks.send(keeper.safe_revision()).is_err() {
                            theirs.go_on();
                        }
                    }
                }
            }
        };
        std::thread::Builder::new().name("gateway-state".to_owned()).spawn(write)?;
        Ok(Self { end: Arc::new(End(queue)), ended, turns: Arc::new(Semaphore::new(1)) })
    }

    /// Waits for the turn to put a change in force; for ever where this gateway was handed over.
    pub async fn turn(&self) -> Option<Turn> {
        // Nobody closes it.
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// Keeps a change, as soon as the disk can take it. It does not wait.
    pub fn keep(&self, change: Change) {
        self.end.0.add(change);
    }

    /// Keeps these key sets in place of those of before, as soon as the disk can take them. It does not wait.
    pub fn keep_key_sets(&self, sets: Vec<u8>) {
        self.end.0.lock().key_sets = Some(sets);
        self.end.0.wake.notify_one();
    }

    /// Writes what is waiting, and then nothing as long as what comes back is there, while what is in force stays as it is:
    /// another process may take over both. `None`: it can't be written.
    pub async fn hold(&self) -> Option<Hold> {
        let turn = self.turn().await;
        let (asks, told) = oneshot::channel();
        // Made before it holds: a wait that is called off holds nothing.
        let mut hold = Hold { queue: Arc::clone(&self.end.0), turn, revision: 0 };
        hold.queue.lock().asks = Some(asks);
        hold.queue.wake.notify_one();
        hold.revision = told.await.ok()??;
        Some(hold)
    }

    /// Lets a writer go on that began held.
    pub fn go_on(&self) {
        self.end.0.go_on();
    }

    /// Lets the writer end once it has written what is waiting.
    pub fn close(&self) {
        self.end.0.close();
    }

    /// Waits for the writer's end.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Hold {
    /// The revision on disk; 0: none.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Nothing is written or put in force any more: the folder is another process's. The writer ends and lets go of the
    /// folder's lock, so that a third process may have it as soon as the second ends, however long this one still drains.
    pub fn for_good(mut self) {
        if let Some(turn) = self.turn.take() {
            turn.forget();
        }
        self.queue.close();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.turn.is_some() {
            self.queue.go_on();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Queue {
    fn add(&self, change: Change) {
        let mut waiting = self.lock();
        match &mut waiting.change {
            Some(earlier) => earlier.then(change),
            None => waiting.change = Some(change),
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Waits for what is to be done; `None`: no more comes.
    fn next(&self) -> Option<Work> {
        let mut waiting = self.lock();
        loop {
            if !waiting.held {
                if let Some(change) = waiting.change.take() {
                    return Some(Work::Keep(change));
                }
                if let Some(sets) = waiting.key_sets.take() {
                    return Some(Work::KeepKeySets(sets));
                }
                if let Some(asks) = waiting.asks.take() {
                    waiting.held = true;
                    return Some(Work::Hold(asks));
                }
            }
            if waiting.closed {
                return None;
            }
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn go_on(&self) {
        self.lock().held = false;
        self.wake.notify_one();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hotswap_api::gateway::v1::ResumeToken;

    use super::*;

    fn to(revision: i64) -> Change {
        Change::to(ResumeToken { store_id: "s".into(), revision })
    }

    #[test]
    fn what_waits_is_taken_as_one_and_before_the_end() {
        let queue = Queue::default();
        queue.add(to(1));
        queue.add(to(2));
        queue.close();
        assert!(matches!(queue.next(), Some(Work::Keep(change)) if change == to(2)));
        assert!(queue.next().is_none());
    }

    #[test]
    fn what_waits_is_written_before_a_hold_and_what_comes_then_after_it() {
        let queue = Arc::new(Queue::default());
        let (asks, _told) = oneshot::channel();
        queue.lock().asks = Some(asks);
        queue.add(to(1));
        queue.lock().key_sets = Some(vec![0]);
        assert!(matches!(queue.next(), Some(Work::Keep(change)) if change == to(1)));
        assert!(matches!(queue.next(), Some(Work::KeepKeySets(sets)) if sets == [0]));
        assert!(matches!(queue.next(), Some(Work::Hold(_))));
        let turns = Arc::new(Semaphore::new(1));
        let hold = || {
            let turn = Arc::clone(&turns).try_acquire_owned().ok();
            assert!(turn.is_some(), "it was given back");
            Hold { queue: Arc::clone(&queue), turn, revision: 1 }
        };
        let first = hold();
        queue.add(to(2));
        drop(first);
        assert!(matches!(queue.next(), Some(Work::Keep(change)) if change == to(2)));
        queue.lock().held = true;
        hold().for_good();
        queue.add(to(3));
        queue.lock().key_sets = Some(vec![1]);
        assert!(queue.next().is_none(), "another process has written since");
        assert_eq!(turns.available_permits(), 0, "and nothing is put in force any more");
    }
}
