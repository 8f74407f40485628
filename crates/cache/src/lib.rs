//! Look-ups from memory that stay right while others write: an in-process cache, and a Redis behind it that
//! replicas share.
//!
//! ```text
//!   get(scope, name, load) ─► memory ──────────► Redis ─────────► load        one load for all who ask at once
//!                             no I/O, no lock    50 ms at most    the database
//!                                ▲                 ▲
//!   a writer commits, then       │                 │
//!   invalidate(change) ──────────┴── at once ──────┴── with a hint to the other nodes (pub/sub, may be lost)
//!
//!   every 3 s, and whenever the connection to Redis is new:
//!   ChangeSource::changes_after(scope, revision) ──► what changed leaves memory and Redis
//! ```
//!
//! # What holds
//! - **A value never goes backwards.** Each is kept with the revision of its scope at which it was read
//!   ([`Cached::as_of`]). Where a change of the name behind that revision is known, the value is not stored,
//!   whether it comes from a slow loader, from Redis or from [`Cache::put`]; the loader is asked again.
//! - **A lost message costs one interval, no more.** The change log of the database decides; hints only make it
//!   quicker. A writer that dies between commit and hint is a lost message like any other.
//! - **Five minutes is the end** ([`CacheOptions::ttl`]), counted from the load and not again in each tier, on a
//!   clock that does not jump. It bounds what a node serves that is cut off from the database.
//! - **Redis may fail.** Nobody waits longer than [`RedisOptions::timeout`]; after the first error nobody waits at
//!   all until the connection is there again.
//!
//! # How
//! Memory keeps for each scope the revision up to which all changes are applied, and by name the last changes it
//! heard of. Storing a value and applying a change take the lock of the scope, so neither overtakes the other; a
//! look-up that finds its value takes no lock.
//!
//! Redis has a revision of its own for each scope, in the same place as the values, so an old snapshot of Redis
//! has an old revision: whoever finds it behind brings it up to date. Every value in it is as of that revision or
//! later; a value that is older is refused, and a changed name leaves a mark so that a late writer does not put the
//! old value back. All of it is done by scripts, each one step for everybody else. A node asks Redis for nothing of
//! a scope before its own loader has told where the scope stands.
//!
//! # Use
//! [`Cache::in_process`] or [`Cache::with_redis`] gives a [`Cache`], cheap to clone, and a [`Maintenance`], whose
//! [`run`](Maintenance::run) is a task of the owner's. A loader reads the value and the revision of the scope in one
//! transaction. Values lie in Redis as they are given: one that is secret is to be sealed by its owner before.
//!
//! # Limits
//! [`Buckets`] are another thing in the same Redis: how often something may still be done, for all replicas together.

mod buckets;
mod cache;
mod flight;
mod link;
mod maintenance;
mod memory;
mod metrics;
mod options;
mod scope;
mod scripts;
mod shared;
mod wire;

pub use buckets::{Buckets, BucketsLink, Taken};
pub use cache::Cache;
pub use maintenance::{ChangeSource, Changes, Maintenance};
pub use metrics::{CacheMetrics, METRICS};
pub use options::{CacheOptions, InvalidRedisUrl, RedisOptions};

use bytes::Bytes;
use hotswap_core::Revision;

/// A value, and when it was that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// A revision of the scope at which this was the value; the later, the better. Read both in one transaction.
    pub as_of: Revision,
    /// The value; `None` where there is none by that name, which is kept too.
    pub value: Option<Bytes>,
}

/// Which names a change touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// These.
    Some(Vec<String>),
    /// It is not known which: every one.
    All,
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub scope: String,
    /// The revision that the commit made.
    pub revision: Revision,
    /// All that it touched.
    pub names: Names,
}
