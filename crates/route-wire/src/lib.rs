//! The one conversion between the contract's routes, pools and certificates and their drafts. The control plane
//! parses with it what users send, the proxy what the control plane sends, the command line what it explains.
//!
//! From the wire it is fallible only where the contract can say more than this build can do; everything else
//! is the business of `RouteSpec::parse`. To the wire it is total.

mod balancing;
mod candidate;
mod certificate;
mod described;
mod from_wire;
mod resilience;
mod to_wire;
mod traffic;

pub use candidate::candidate_from_wire;
pub use certificate::{certificate_from_wire, certificate_to_wire};
pub use described::{Described, NEAR_MISSES, explanation_to_wire, split_to_wire};
pub use from_wire::{pool_from_wire, route_from_wire, state_from_wire};
pub use to_wire::{backend_tls_to_wire, load_balancing_to_wire, pool_to_wire, route_to_wire};

#[cfg(test)]
mod tests;
