//! Between the control thread, which must not wait for a disk, and the thread that writes.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use hotswap_runtime::CancellationToken;

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
    closed: bool,
}

impl StateHandle {
    pub(super) fn start(mut keeper: Keeper) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let ended = CancellationToken::new();
        let (theirs, at_end) = (Arc::clone(&queue), ended.clone().drop_guard());
        let write = move || {
            // Dropped, and so told, however the thread ends.
            let _at_end = at_end;
            while let Some(change) = theirs.next() {
                keeper.keep(change);
            }
        };
        std::thread::Builder::new().name("gateway-state".to_owned()).spawn(write)?;
        Ok(Self { end: Arc::new(End(queue)), ended })
    }

    /// Keeps a change, as soon as the disk can take it. It does not wait.
    pub fn keep(&self, change: Change) {
        self.end.0.add(change);
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

    /// Waits for what is to be written; `None`: no more comes.
    fn next(&self) -> Option<Change> {
        let mut waiting = self.lock();
        loop {
            if let Some(change) = waiting.change.take() {
                return Some(change);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
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
        assert_eq!(queue.next(), Some(to(2)));
        assert_eq!(queue.next(), None);
    }
}
