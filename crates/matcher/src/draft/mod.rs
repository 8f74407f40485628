//! Plain data as a user or a stored row gives it, before anything is known to be valid. The fields have the
//! names of the contract, so that a path in a field mask or a violation is the same everywhere. The rooms are those of
//! [`crate::spec`], which parses it.

mod balancing;
mod candidate;
mod pool;
mod resilience;
mod route;
mod traffic;

pub use balancing::*;
pub use candidate::*;
pub use pool::*;
pub use resilience::*;
pub use route::*;
pub use traffic::*;
