//! How many connections of clients may be open at once. All cores share it: who comes beyond waits in the kernel's queue
//! until one of those who are there goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::metrics::ControlMetrics;

/// Files that are no client's and no backend's: listeners, logs, the disk, the watch, the admin page, checks.
const OWN_FILES: u64 = 64;
/// More of them for each core.
const FILES_OF_CORE: u64 = 8;
/// So many clients are let in wherever few files may be open.
const LEAST: u64 = 8;

/// Places for connections of clients.
#[derive(Debug)]
pub(crate) struct Room {
    /// `None`: there is no limit.
    most: Option<u64>,
    open: AtomicU64,
    /// The limit was reached, and is still near.
    is_full: AtomicBool,
    metrics: Arc<ControlMetrics>,
    /// Told when somebody goes who has kept others out.
    freed: Notify,
}

/// The place of one connection. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct Place(Arc<Room>);

/// How many clients a process lets in that may open so many files: each takes one, and one more to a backend while a
/// request is under way. `None`: as many as come.
pub(crate) fn by_files(open_files: Option<u64>, cores: usize) -> Option<u64> {
    let own = OWN_FILES + FILES_OF_CORE * u64::try_from(cores).unwrap_or(u64::MAX / FILES_OF_CORE / 2);
    open_files.map(|files| (files.saturating_sub(own) / 2).max(LEAST))
}

impl Room {
    /// For so many connections; `None`: for as many as come.
    pub(crate) fn new(most: Option<u64>, metrics: Arc<ControlMetrics>) -> Arc<Self> {
        metrics.max_connections.store(most.unwrap_or(0), Ordering::Relaxed);
        let (open, is_full) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { most, open, is_full, metrics, freed: Notify::new() })
    }

    /// Whether one more may come.
    pub(super) fn has_place(&self) -> bool {
        self.most.is_none_or(|most| self.open.load(Ordering::Acquire) < most)
    }

    /// Waits until one more may come. Whoever waits at another listener may be faster, and each of them lets one in: there
    /// may be as many too many as there are other listeners.
    pub(super) async fn place(&self) {
        loop {
            // Before the look: who goes between the two is heard of.
            let freed = self.freed.notified();
            if self.has_place() {
                return;
            }
            freed.await;
        }
    }

    /// Takes a place, whether or not there is one.
    pub(super) fn take(self: &Arc<Self>) -> Place {
        let open = self.open.fetch_add(1, Ordering::AcqRel) + 1;
        if let Some(most) = self.most.filter(|most| open >= *most)
            && !self.is_full.swap(true, Ordering::Relaxed)
        {
            self.metrics.connection_limits.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                max_connections = most,
                "as many clients are connected as may be, and more wait to be accepted (--gateway-max-connections, \
                 ulimit -n)"
            );
        }
        Place(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let room = &*self.0;
        let before = room.open.fetch_sub(1, Ordering::AcqRel);
        let Some(most) = room.most else { return };
        if before == most {
            room.freed.notify_waiters();
        }
        // Told of once, however often one goes and another comes.
        let is_far = (before - 1).saturating_mul(8) <= most.saturating_mul(7);
        if is_far && room.is_full.load(Ordering::Relaxed) {
            room.is_full.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_files_are_for_clients_and_a_few_are_in_any_case() {
        assert_eq!(by_files(Some(1_024), 4), Some(464));
        assert_eq!(by_files(Some(1_048_576), 4), Some(524_240));
        assert_eq!(by_files(Some(64), 4), Some(8));
        assert_eq!(by_files(None, 4), None);
    }

    #[test]
    fn a_limit_is_told_of_once_until_an_eighth_of_the_places_is_free() {
        let metrics = Arc::new(ControlMetrics::default());
        let room = Room::new(Some(16), Arc::clone(&metrics));
        let told = || metrics.connection_limits.load(Ordering::Relaxed);
        let mut places: Vec<_> = (0..15).map(|_| room.take()).collect();
        assert!(room.has_place() && told() == 0);
        places.push(room.take());
        assert!(!room.has_place() && told() == 1);
        for _ in 0..100 {
            places.pop();
            places.push(room.take());
        }
        assert_eq!(told(), 1);
        places.truncate(14);
        places.extend([room.take(), room.take()]);
        assert_eq!(told(), 2);
        assert_eq!(metrics.max_connections.load(Ordering::Relaxed), 16);
    }
}
