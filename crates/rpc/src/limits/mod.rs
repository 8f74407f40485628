//! How often somebody may call: for each principal, each tenant, and single methods.
//!
//! ```text
//!   OpContext ─► LimitLayer ─► bucket of the principal ─► of its tenant ─► of the method ─► service
//!                                │ empty
//!                                ▼
//!                              RESOURCE_EXHAUSTED, RATE_LIMITED, RetryInfo
//! ```
//! A bucket holds up to [`Rate::burst`] calls and fills again evenly (the generic cell rate algorithm). Each process has
//! its own; where replicas share a Redis they also share buckets there ([`SharedBuckets`]), and take from them in
//! portions, so that few calls wait for it. When it is away, each process goes on with its own buckets.
//!
//! The opening of a stream counts as one call; methods that need no token are not counted. A call that is refused
//! takes nothing from any bucket.

mod bucket;
mod layer;
mod metrics;
mod rate;
mod table;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use layer::{LimitLayer, LimitService};
pub use metrics::{LimitMetrics, METRICS};
pub use rate::{MethodRate, Rate};

/// How often somebody may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Each principal: a subject in its tenant. `None`: without limit.
    pub principal: Option<Rate>,
    /// All principals of a tenant together. Those of the platform have none.
    pub tenant: Option<Rate>,
    /// Each principal, a single method. Those that are not named have only the limits above.
    pub methods: Vec<MethodRate>,
}

impl Default for Limits {
    /// Far above what people and pipelines need: against what runs wild.
    fn default() -> Self {
        Self {
            principal: Some(Rate::per_second(10_000)),
            tenant: Some(Rate::per_second(20_000)),
            methods: vec![],
        }
    }
}

/// What shared buckets say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// So many calls are taken out, at least one.
    Taken(u32),
    /// There is none; the next will be there after this time.
    Empty(Duration),
}

/// What shared buckets answer in the end; `None`: they are away.
pub type Granting<'a> = Pin<Box<dyn Future<Output = Option<Grant>> + Send + 'a>>;

/// Buckets that several processes share. An answer comes soon or not at all.
pub trait SharedBuckets: Send + Sync + 'static {
    /// Takes up to `want` calls out of the bucket `name`, in one step for everybody.
    fn take<'a>(&'a self, name: &'a str, rate: Rate, want: u32) -> Granting<'a>;
}
