//! Requests that meet a candidate whatever their share says: those by which the gateway tests one through its own
//! sockets. Such a request is known by the socket that it comes from, which no other process can have at the same
//! time; nothing in the request says so, and so nobody can say it who should not.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The sockets that tests come from; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ForcedPeers(Arc<Peers>);

#[derive(Debug, Default)]
struct Peers {
    /// How many there are, so that an ordinary connection takes no lock.
    count: AtomicUsize,
    by_address: Mutex<HashMap<SocketAddr, Arc<Forced>>>,
}

/// A test of one candidate.
#[derive(Debug)]
pub struct Forced {
    rollout: String,
    met: AtomicBool,
}

/// Keeps an address registered while it lives.
#[derive(Debug)]
pub struct Registered {
    peers: ForcedPeers,
    address: SocketAddr,
}

impl ForcedPeers {
    /// What connects from `address` meets the candidate, until the guard goes. It must not have connected yet.
    pub fn register(&self, address: SocketAddr, forced: &Arc<Forced>) -> Registered {
        let address = canonical(address);
        let mut peers = self.0.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        peers.insert(address, Arc::clone(forced));
        self.0.count.store(peers.len(), Ordering::Release);
        drop(peers);
        Registered { peers: self.clone(), address }
    }

    /// The test that comes from `address`; `None`, as for all but tests: it is an ordinary client.
    pub fn of(&self, address: SocketAddr) -> Option<Arc<Forced>> {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let peers = self.0.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        peers.get(&canonical(address)).cloned()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut peers = self.peers.0.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        peers.remove(&self.address);
        self.peers.0.count.store(peers.len(), Ordering::Release);
    }
}

impl Forced {
    /// A test of the candidate of this rollout.
    pub fn of(rollout: &str) -> Self {
        Self { rollout: rollout.to_owned(), met: AtomicBool::new(false) }
    }

    /// Whether it is about this rollout.
    pub fn is_of(&self, rollout: &str) -> bool {
        self.rollout == rollout
    }

    /// A request of it was given to the candidate.
    pub fn meets(&self) {
        self.met.store(true, Ordering::Release);
    }

    /// Whether a request of it was given to the candidate.
    pub fn has_met(&self) -> bool {
        self.met.load(Ordering::Acquire)
    }
}

/// An IPv4 address as it stands in IPv6 is the same.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_forced_only_while_it_is_registered() {
        let (peers, forced) = (ForcedPeers::default(), Arc::new(Forced::of("rollouts/a")));
        let at = |text: &str| text.parse().expect("an address");
        assert!(peers.of(at("127.0.0.1:80")).is_none());
        let registered = peers.register(at("127.0.0.1:80"), &forced);
        assert!(peers.of(at("127.0.0.1:80")).is_some_and(|f| f.is_of("rollouts/a")));
        assert!(
            peers.of(at("[::ffff:127.0.0.1]:80")).is_some(),
            "the same, as a socket for both versions has it"
        );
        assert!(peers.of(at("127.0.0.1:81")).is_none() && peers.of(at("127.0.0.2:80")).is_none());
        drop(registered);
        assert!(peers.of(at("127.0.0.1:80")).is_none());
    }
}
