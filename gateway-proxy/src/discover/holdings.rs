//! What the proxy has: its place, the versions behind it, and the catalog that is compiled from them.

use std::collections::HashMap;
use std::sync::Arc;

use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::gateway::v1::{Delta, Resource, ResourceError, ResumeToken};
use hotswap_core::{PoolName, ResourceName as _, RouteName, SetDigest, Violations};
use hotswap_matcher::{PoolSpec, RouteSpec};
use hotswap_route_wire::{Unfit, pool_from_wire, route_from_wire};

use crate::config::{Catalog, Compiled};

/// What has arrived and what became of it.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    place: Option<ResumeToken>,
    digest: SetDigest,
    /// The version of each resource that arrived, refused ones too: the digest is about what arrived.
    versions: HashMap<String, i64>,
    /// What is served; of a refused resource, what was last accepted.
    catalog: Catalog,
}

/// Why a message was not applied at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misfit {
    /// It does not start where the proxy stands.
    #[error("the delta does not start where this proxy stands")]
    Place,
    /// It leads to another digest than it says.
    #[error("the digest after the change is not the one announced")]
    Digest,
}

impl Holdings {
    pub(super) fn place(&self) -> Option<&ResumeToken> {
        self.place.as_ref()
    }

    pub(super) fn digest(&self) -> SetDigest {
        self.digest
    }

    /// Compiles what is there.
    pub(super) fn compile(&self) -> Compiled {
        self.catalog.compile(self.place.as_ref().map_or(0, |p| p.revision))
    }

    /// Takes a delta in, whole or, where it does not fit, not at all. Gives what it refuses of it.
    pub(super) fn delta(&mut self, delta: &Delta) -> Result<Vec<ResourceError>, Misfit> {
        let (Some(place), Some(to)) = (&self.place, &delta.to) else { return Err(Misfit::Place) };
        if place.revision != delta.from || place.store_id != to.store_id || to.revision < delta.from {
            return Err(Misfit::Place);
        }
        let mut digest = self.digest;
        let gone = delta.removes.iter().map(String::as_str);
        for name in gone.chain(delta.upserts.iter().map(|r| r.name.as_str())) {
            if let Some(version) = self.versions.get(name) {
                digest.remove(name, *version);
            }
        }
        delta.upserts.iter().for_each(|r| digest.insert(&r.name, r.version));
        if *delta.digest != digest.to_bytes() {
            return Err(Misfit::Digest);
        }
        let mut errors = Vec::new();
        for name in &delta.removes {
            self.remove(name);
        }
        for resource in &delta.upserts {
            self.put(resource, &mut errors);
        }
        self.digest = digest;
        self.place = Some(to.clone());
        Ok(errors)
    }

    /// Takes a whole snapshot in; what it does not name is gone.
    pub(super) fn snapshot(
        &mut self,
        at: &ResumeToken,
        resources: &[Resource],
        announced: &[u8],
    ) -> Result<Vec<ResourceError>, Misfit> {
        let mut digest = SetDigest::default();
        resources.iter().for_each(|r| digest.insert(&r.name, r.version));
        if announced != digest.to_bytes() {
            return Err(Misfit::Digest);
        }
        let named: HashMap<&str, i64> = resources.iter().map(|r| (r.name.as_str(), r.version)).collect();
        let gone: Vec<String> =
            self.versions.keys().filter(|n| !named.contains_key(n.as_str())).cloned().collect();
        for name in gone {
            self.remove(&name);
        }
        let mut errors = Vec::new();
        for resource in resources {
            self.put(resource, &mut errors);
        }
        self.digest = digest;
        self.place = Some(at.clone());
        Ok(errors)
    }

    fn put(&mut self, resource: &Resource, errors: &mut Vec<ResourceError>) {
        self.versions.insert(resource.name.clone(), resource.version);
        if let Err(faults) = accept(&mut self.catalog, resource) {
            errors.extend(faults.into_iter().map(|(field, reason, message)| ResourceError {
                name: resource.name.clone(),
                version: resource.version,
                field,
                reason: reason.to_owned(),
                message,
            }));
        }
    }

    fn remove(&mut self, name: &str) {
        self.versions.remove(name);
        if let Ok(route) = RouteName::parse(name) {
            self.catalog.remove_route(&route);
        } else if let Ok(pool) = PoolName::parse(name) {
            self.catalog.remove_pool(&pool);
        }
    }
}

/// Field, reason and message of a fault.
type Fault = (String, &'static str, String);

fn accept(catalog: &mut Catalog, resource: &Resource) -> Result<(), Vec<Fault>> {
    match &resource.spec {
        Some(Spec::Route(route)) => {
            let name = RouteName::parse(&resource.name).map_err(|e| bad_name(&e.to_string()))?;
            let draft = route_from_wire(route).map_err(unfit)?;
            let spec = RouteSpec::parse(&draft).map_err(|v| invalid(&v))?;
            catalog.put_route(&name, Arc::new(spec));
        }
        Some(Spec::Pool(pool)) => {
            let name = PoolName::parse(&resource.name).map_err(|e| bad_name(&e.to_string()))?;
            let draft = pool_from_wire(pool).map_err(unfit)?;
            let spec = PoolSpec::parse(&draft).map_err(|v| invalid(&v))?;
            catalog.put_pool(&name, &spec);
        }
        None => {
            let message = "this build does not know resources of that kind".to_owned();
            return Err(vec![(String::new(), "KIND_UNKNOWN", message)]);
        }
    }
    Ok(())
}

fn bad_name(message: &str) -> Vec<Fault> {
    vec![("name".to_owned(), "INVALID_INPUT", message.to_owned())]
}

fn invalid(violations: &Violations) -> Vec<Fault> {
    violations.iter().map(|v| (v.field.clone(), "INVALID_INPUT", v.message.clone())).collect()
}

fn unfit(unfit: Unfit) -> Vec<Fault> {
    match unfit {
        Unfit::Invalid(violations) => invalid(&violations),
        Unfit::NotBuilt(n) => vec![(n.field, "FEATURE_NOT_BUILT", format!("{} are not built yet", n.what))],
    }
}

#[cfg(test)]
#[path = "holdings_tests.rs"]
mod tests;
