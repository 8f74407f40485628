//! The cores, to be asked what they would choose. Each keeps turns of its own, which nobody else can see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::balance::Wish;
use crate::config::PoolEntry;

/// Questions that may wait for a core.
const WAITING: usize = 16;
/// How long all cores together have to answer.
const WITHIN: Duration = Duration::from_secs(1);

/// The cores that run; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Cores(Arc<Mutex<BTreeMap<usize, mpsc::Sender<Question>>>>);

/// Which backend of a pool a request would get.
#[derive(Debug)]
pub struct Question {
    slot: usize,
    pool: Arc<PoolEntry>,
    wish: Wish,
    to: oneshot::Sender<Option<usize>>,
}

impl Question {
    /// Answers it by what the core would choose, of a pool's slot and content.
    pub fn answer(self, choose: impl FnOnce(usize, &Arc<PoolEntry>, &Wish) -> Option<usize>) {
        // Who asked may have given up.
        let _ = self.to.send(choose(self.slot, &self.pool, &self.wish));
    }
}

impl Cores {
    /// A core runs from now on; what it is asked comes from the receiver.
    pub fn join(&self, index: usize) -> mpsc::Receiver<Question> {
        let (questions, receiver) = mpsc::channel(WAITING);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(index, questions);
        receiver
    }

    /// The places of the backends that the cores would choose, one for each core that answers; `None`: it would find
    /// none.
    pub(super) async fn ask(&self, slot: usize, pool: &Arc<PoolEntry>, wish: Wish) -> Vec<Option<usize>> {
        let cores: Vec<_> = self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let mut coming = Vec::with_capacity(cores.len());
        for core in cores {
            let (to, answer) = oneshot::channel();
            // One that has ended, or is too busy, is left out.
            if core.try_send(Question { slot, pool: Arc::clone(pool), wish, to }).is_ok() {
                coming.push(answer);
            }
        }
        let mut told = Vec::with_capacity(coming.len());
        let all = async {
            for answer in coming {
                told.extend(answer.await);
            }
        };
        let _ = tokio::time::timeout(WITHIN, all).await;
        told
    }
}
