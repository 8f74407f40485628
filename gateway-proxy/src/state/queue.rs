//! Between the control thread, which must not wait for a disk, and the thread that writes.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use hotswap_runtime::CancellationToken;
use tokio::sync::oneshot;

use super::image::Change;
use super::keeper::Keeper;

/// The control thread's end; cheap to clone. The writer ends, after what is waiting, when it is closed or the
/// last clone is gone.
#[derive(Clone, Debug)]
pub struct StateHandle {
    end: Arc<End>,
    ended: CancellationToken,
}

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
    /// Wants to know when nothing is written any more, and whether all is safe.
    asks: Option<oneshot::Sender<bool>>,
    /// Nothing is written.
    held: bool,
    closed: bool,
}

/// What the writer is to do.
#[derive(Debug)]
enum Work {
    Keep(Change),
    /// Nothing, until it is let go on.
    Hold(oneshot::Sender<bool>),
}

/// Nothing is written as long as this is there.
#[derive(Debug)]
pub struct Hold {
    queue: Arc<Queue>,
    for_good: bool,
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
                    Work::Hold(asks) => {
                        if asks.send(keeper.is_safe()).is_err() {
                            theirs.go_on();
                        }
                    }
                }
            }
        };
        std::thread::Builder::new().name("gateway-state".to_owned()).spawn(write)?;
        Ok(Self { end: Arc::new(End(queue)), ended })
    }

    /// Keeps a change, as soon as the disk can take it. It does not wait.
    pub fn keep(&self, change: Change) {
        self.end.0.add(change);
    }

    /// Writes what is waiting, and then nothing as long as what comes back is there: another process may write. `None`:
    /// it can't be written.
    pub async fn hold(&self) -> Option<Hold> {
        let (asks, told) = oneshot::channel();
        // Made before it holds: a wait that is called off holds nothing.
        let hold = Hold { queue: Arc::clone(&self.end.0), for_good: false };
        hold.queue.lock().asks = Some(asks);
        hold.queue.wake.notify_one();
        told.await.ok()?.then_some(hold)
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
    /// Nothing is written any more: the folder is another process's. The writer ends and lets go of the folder's lock,
    /// so that a third process may have it as soon as the second ends, however long this one still drains.
    pub fn for_good(mut self) {
        self.for_good = true;
        self.queue.close();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.for_good {
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
        assert!(matches!(queue.next(), Some(Work::Keep(change)) if change == to(1)));
        assert!(matches!(queue.next(), Some(Work::Hold(_))));
        let hold = Hold { queue: Arc::clone(&queue), for_good: false };
        queue.add(to(2));
        drop(hold);
        assert!(matches!(queue.next(), Some(Work::Keep(change)) if change == to(2)));
        queue.lock().held = true;
        Hold { queue: Arc::clone(&queue), for_good: true }.for_good();
        queue.add(to(3));
        assert!(queue.next().is_none(), "another process has written since");
    }
}
