//! The certificates that the control plane has given, ready for handshakes.

use hotswap_certificate::CertificateSpec;
use hotswap_core::{CertificateName, ResourceName as _};

use super::InForce;
use super::names::Names;

/// Certificates of the control plane.
#[derive(Debug, Default)]
pub struct Served {
    names: Names,
    in_force: Vec<InForce>,
}

impl Served {
    /// Of these; the first is for who asks for an unknown name, where there are no files. One without a key is left out.
    pub fn new<'c>(all: impl Iterator<Item = (&'c CertificateName, &'c CertificateSpec)>) -> Self {
        let mut served = Self::default();
        for (name, spec) in all {
            let (Some(key), facts) = (spec.key(), spec.facts()) else { continue };
            served.names.add(key.clone(), facts.dns_names.iter().map(String::as_str));
            served.in_force.push(InForce::of(name.as_str().to_owned(), facts));
        }
        served
    }

    /// What they are.
    pub fn in_force(&self) -> &[InForce] {
        &self.in_force
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.in_force.is_empty()
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    #[cfg(test)]
    pub(super) fn of(names: Names) -> Self {
        Self { names, in_force: Vec::new() }
    }
}
