//! All pools and their backends, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hotswap_matcher::{Address, Backends};

use super::BackendState;

/// The states of every pool; cheap to clone. The configuration points into it and does not own it.
#[derive(Clone, Debug, Default)]
pub struct States(Arc<Mutex<HashMap<String, Arc<PoolStates>>>>);

/// The states of one pool's backends, in the order of its backends.
#[derive(Debug)]
pub struct PoolStates {
    members: Vec<Arc<BackendState>>,
}

impl States {
    /// A pool has this content now. An address that it had before keeps its state.
    pub fn put(&self, name: &str, backends: &Backends) -> Arc<PoolStates> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old: HashMap<&Address, &Arc<BackendState>> =
            pools.get(name).map(|p| p.members.iter().map(|m| (m.address(), m)).collect()).unwrap_or_default();
        let state = |address: &Address| {
            old.get(address).map_or_else(|| Arc::new(BackendState::new(address)), |s| Arc::clone(s))
        };
        let members = backends.backends.iter().map(|b| state(&b.address)).collect();
        let pool = Arc::new(PoolStates { members });
        pools.insert(name.to_owned(), Arc::clone(&pool));
        pool
    }

    /// A pool is gone, and what was known of it.
    pub fn remove(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl PoolStates {
    /// Its backends, each at its place.
    pub fn members(&self) -> &[Arc<BackendState>] {
        &self.members
    }
}
