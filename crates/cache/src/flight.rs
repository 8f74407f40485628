//! One load for all who ask for the same at once.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::Cached;
use crate::memory::{Key, KeyRef};

/// What a load came to. The error is of the loader's type, which those who wait for it share.
pub(crate) type Landed = Result<Cached, Arc<dyn Any + Send + Sync>>;

type Running = HashMap<Key, watch::Receiver<Option<Landed>>>;

/// The loads under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    running: Mutex<Running>,
}

/// What a look-up has to do.
pub(crate) enum Turn<'a> {
    /// Load, for all.
    Lead(Lead<'a>),
    /// Wait for another's load.
    Wait(watch::Receiver<Option<Landed>>),
}

/// The duty to load. Dropped without [`Lead::land`], it passes to one of those who wait.
pub(crate) struct Lead<'a> {
    flights: &'a Flights,
    key: Key,
    told: watch::Sender<Option<Landed>>,
}

impl Flights {
    pub(crate) fn join(&self, key: KeyRef<'_>) -> Turn<'_> {
        let key = key.to_owned();
        let mut running = self.lock();
        if let Some(told) = running.get(&key) {
            return Turn::Wait(told.clone());
        }
        let (told, waits) = watch::channel(None);
        running.insert(key.clone(), waits);
        Turn::Lead(Lead { flights: self, key, told })
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead<'_> {
    /// Tells those who wait.
    pub(crate) fn land(self, landed: Landed) {
        let told = self.told.clone();
        // Who comes now starts anew, or finds it in memory.
        drop(self);
        told.send_replace(Some(landed));
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}
