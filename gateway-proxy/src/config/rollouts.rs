//! The rollouts of a catalog: at most one a resource, each in its slot.

use std::collections::HashMap;
use std::sync::Arc;

use hotswap_matcher::CandidateSpec;

use super::catalog::Slots;
use super::shelf::Shelf;
use crate::rollout::{Rollout, Subject};

/// Rollouts by the resource that they are about.
#[derive(Debug, Default)]
pub(super) struct Rollouts {
    by_resource: HashMap<String, Arc<Rollout>>,
    by_slot: Shelf<Rollout>,
    slots: Slots,
    /// How many of them are of routes.
    routes: usize,
}

impl Rollouts {
    /// The slot that the rollout of a resource has, or will have.
    pub(super) fn slot(&mut self, resource: &str) -> usize {
        match self.by_resource.get(resource) {
            Some(rollout) => rollout.slot(),
            None => self.slots.take(),
        }
    }

    /// The resource has a candidate, in this slot.
    pub(super) fn put(&mut self, slot: usize, resource: &str, subject: Subject, spec: CandidateSpec) {
        let former = self.by_resource.remove(resource);
        self.routes -= usize::from(former.as_ref().is_some_and(|f| is_of_route(f)));
        let rollout = Arc::new(Rollout::new(slot, resource, subject, spec, former.as_deref()));
        self.routes += usize::from(is_of_route(&rollout));
        self.by_slot.set(slot, Some(Arc::clone(&rollout)));
        self.by_resource.insert(resource.to_owned(), rollout);
    }

    /// The resource has no candidate.
    pub(super) fn remove(&mut self, resource: &str) {
        if let Some(old) = self.by_resource.remove(resource) {
            self.routes -= usize::from(is_of_route(&old));
            self.by_slot.set(old.slot(), None);
            self.slots.give_back(old.slot());
        }
    }

    /// By their slots, to be served.
    pub(super) fn by_slot(&self) -> Shelf<Rollout> {
        self.by_slot.clone()
    }

    /// Whether a route is under one.
    pub(super) fn of_routes(&self) -> bool {
        self.routes > 0
    }
}

fn is_of_route(rollout: &Rollout) -> bool {
    matches!(rollout.subject(), Subject::Route(_))
}
