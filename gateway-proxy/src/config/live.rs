//! The configuration in force.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::{ArcSwap, Cache};

use tokio::sync::watch;

use super::Compiled;
use crate::backend_state::States;
use crate::explain::Cores;
use crate::keys::KeyRing;
use crate::rollout::ForcedPeers;
use crate::tls::Served;

/// Holds the configuration in force, and swaps it; cheap to clone.
///
/// Those that were replaced are kept until no core uses them, so that a large one is taken apart here, on the
/// control thread, and not in the middle of a request.
#[derive(Clone, Debug)]
pub struct Live {
    current: Arc<ArcSwap<Compiled>>,
    retired: Arc<Mutex<Vec<Arc<Compiled>>>>,
    states: watch::Sender<States>,
    keys: watch::Sender<KeyRing>,
    certificates: Arc<ArcSwap<Served>>,
    cores: Cores,
    forced: ForcedPeers,
    listen: Arc<OnceLock<SocketAddr>>,
}

/// A core's view of it: a load and a comparison where nothing has changed.
pub type View = Cache<Arc<ArcSwap<Compiled>>, Arc<Compiled>>;

impl Live {
    /// Nothing is in force yet.
    pub fn new() -> Self {
        let first = Compiled::default();
        let (states, _) = watch::channel(first.states().clone());
        let (keys, _) = watch::channel(first.keys().clone());
        Self {
            current: Arc::new(ArcSwap::from_pointee(first)),
            retired: Arc::default(),
            states,
            keys,
            certificates: Arc::default(),
            cores: Cores::default(),
            forced: ForcedPeers::default(),
            listen: Arc::default(),
        }
    }

    /// Puts a configuration in force, for every request that begins after this.
    pub fn replace(&self, compiled: Compiled) {
        let compiled = Arc::new(compiled);
        let old = self.current.swap(Arc::clone(&compiled));
        // Whoever hears of them finds them in force.
        self.states.send_if_modified(|known| {
            let other = !known.is(compiled.states());
            if other {
                known.clone_from(compiled.states());
            }
            other
        });
        self.keys.send_if_modified(|known| {
            let other = !known.is(compiled.keys());
            if other {
                known.clone_from(compiled.keys());
            }
            other
        });
        if !Arc::ptr_eq(&self.certificates.load(), compiled.certificates()) {
            self.certificates.store(Arc::clone(compiled.certificates()));
        }
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.push(old);
        drop(retired);
        self.sweep();
    }

    /// Frees those that were replaced and that nobody uses any more.
    pub fn sweep(&self) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = retired.extract_if(.., |old| Arc::strong_count(old) == 1).collect::<Vec<_>>();
        drop(retired);
        drop(unused);
    }

    /// What is known of the backends; the receiver hears of it when another catalog takes the place of this one.
    pub fn states(&self) -> watch::Receiver<States> {
        self.states.subscribe()
    }

    /// The key sets that routes have fetched; heard of in the same way.
    pub fn keys(&self) -> watch::Receiver<KeyRing> {
        self.keys.subscribe()
    }

    /// The certificates that clients are shown: each handshake that begins takes those that are there then.
    pub fn certificates(&self) -> Arc<ArcSwap<Served>> {
        Arc::clone(&self.certificates)
    }

    /// The one in force now, for whoever is not in a hurry.
    pub fn now(&self) -> Arc<Compiled> {
        self.current.load_full()
    }

    /// The cores that serve it.
    pub fn cores(&self) -> &Cores {
        &self.cores
    }

    /// Where tests of candidates come from.
    pub fn forced(&self) -> &ForcedPeers {
        &self.forced
    }

    /// It is served at this address.
    pub fn is_served_at(&self, listen: SocketAddr) {
        // The first one stays: it is served once.
        let _ = self.listen.set(listen);
    }

    /// Where it is served; `None`: not yet.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen.get().copied()
    }

    /// A view for a core.
    pub fn view(&self) -> View {
        Cache::new(Arc::clone(&self.current))
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Catalog;

    #[test]
    fn what_a_core_still_uses_is_not_freed_and_never_by_the_core() {
        let live = Live::new();
        let mut view = live.view();
        live.replace(Catalog::default().compile(1));
        let held = Arc::clone(view.load());
        let weak = Arc::downgrade(&held);
        live.replace(Catalog::default().compile(2));
        assert_eq!(view.load().revision(), Some(2));
        drop(held);
        assert!(weak.upgrade().is_some(), "the core let go of it, but did not take it apart");
        live.sweep();
        assert!(weak.upgrade().is_none());
    }
}
