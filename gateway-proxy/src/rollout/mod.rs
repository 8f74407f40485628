//! Two revisions of a route or pool at once: which of them a request meets, and what becomes of it.
//!
//! ```text
//!   Resource with a Candidate ─► Catalog: both revisions in the table, one Rollout beside them
//!                                                                        │ by slot, shared by both entries
//!   request ─► decide ─► table sees an entry of a rollout ─► Rollout::draw ─► Drawn { arm, bucket }
//!                        the route's pool has a candidate ─►      │
//!                                                                 └─► kept with the exchange; retries stay in it
//!   exchange ends ─► Tallies (a lane a core) ─► once a second: ArmReport to the control plane; /rollouts; metrics
//! ```
//!
//! A draw is a function of the rollout's name and of the request's key, or of a number that is drawn for the request:
//! asked twice it says the same, so nothing of it is kept while a route is looked for.
//!
//! # Cost
//! A request that meets no rollout pays for one look at a flag and one at its pool. One that does pays for the hash of
//! its key or one number from the core's dice, and for one or two additions at its end, in memory that no other core
//! writes.

pub(crate) mod check;
mod draw;
mod forced;
mod tally;

use std::sync::Arc;

use hotswap_matcher::{Arm, CandidateSpec, Check, Exposure, RequestKey};

pub use draw::{Arms, Drawn, Draws, Met};
pub use forced::{Forced, ForcedPeers};
pub use tally::{Tallies, Total};

use crate::balance::hash::{self, Hasher};

/// What is under a rollout, with the slot of its candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A route; the candidate's slot among the routes.
    Route(usize),
    /// A pool; the candidate's slot among the pools.
    Pool(usize),
}

/// A rollout of one resource, at one exposure.
#[derive(Debug)]
pub struct Rollout {
    slot: usize,
    /// Goes into every hash: rollouts draw independently of each other.
    seed: u64,
    /// The hash of a key begins with the name.
    named: Hasher,
    resource: String,
    subject: Subject,
    spec: CandidateSpec,
    tallies: Arc<Tallies>,
}

impl Rollout {
    /// Of a resource by this name. `former`: the same rollout as it was; its counts go on where the exposure is the
    /// same.
    pub fn new(
        slot: usize,
        resource: &str,
        subject: Subject,
        spec: CandidateSpec,
        former: Option<&Self>,
    ) -> Self {
        let sticky = spec.sticky_key.is_some();
        let tallies = match former.filter(|f| f.spec.rollout == spec.rollout) {
            Some(former) if former.spec.epoch == spec.epoch => Arc::clone(&former.tallies),
            Some(former) => Arc::new(Tallies::after(&former.tallies, sticky)),
            None => Arc::new(Tallies::new(sticky)),
        };
        let seed = hash::of(spec.rollout.as_bytes());
        let mut named = Hasher::new();
        named.add(spec.rollout.as_bytes());
        // Stands in no name, so that no two pairs of name and key are one text.
        named.add(b"\0");
        Self { slot, seed, named, resource: resource.to_owned(), subject, spec, tallies }
    }

    fn named(&self) -> Hasher {
        self.named
    }

    /// Its number in the configuration.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// "rollouts/{rollout}".
    pub fn name(&self) -> &str {
        &self.spec.rollout
    }

    /// "routes/{route}" or "pools/{pool}".
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// What is under it.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// The exposure that its counts are of.
    pub fn epoch(&self) -> i64 {
        self.spec.epoch
    }

    /// Who gets the candidate.
    pub fn exposure(&self) -> &Exposure {
        &self.spec.exposure
    }

    /// Which part of a request decides.
    pub fn sticky_key(&self) -> Option<&RequestKey> {
        self.spec.sticky_key.as_ref()
    }

    /// What is to be tested now.
    pub fn check(&self) -> Option<&Check> {
        self.spec.check.as_ref()
    }

    /// What was counted of this exposure.
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }
}

/// The place of an entry in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The rollout's slot.
    pub rollout: usize,
    /// Which revision it is.
    pub arm: Arm,
}
