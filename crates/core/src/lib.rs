//! The words that every part of HotSwap shares: resource names, revisions, etags, page tokens, filters,
//! field violations, reasons of errors, the configuration digest, and time and identity as parameters.
//!
//! Nothing here does I/O, reads the clock on its own or knows a transport, so everything else may import it.
//!
//! ```text
//!   names      "routes/checkout"  ── RouteName, PoolName, CertificateName, ProxyName
//!   revision   one commit, one number ── Revision, Etag, StoreId
//!   reason     why a call fails, in stable words ── Reason, RefusalReason
//!   violation  every fault of an input at once ── Violations
//!   page       keyset paging ── PageSize, PageToken
//!   filter     the AIP-160 subset that List methods take ── Filter
//!   digest     a sum over (name, version) that a change updates in place ── SetDigest
//!   metric     what a process counts, declared ── MetricDef
//!   latency    the scale that latencies are counted on ── latency_slot
//!   clock      Clock, Ids: passed in, never reached for
//! ```

mod clock;
mod digest;
mod filter;
mod latency;
mod metric;
mod names;
mod page;
mod reason;
mod revision;
mod violation;

pub use clock::{Clock, Ids, ManualClock, SequentialIds, SystemClock, SystemIds, Timestamp};
pub use digest::SetDigest;
pub use filter::{Comparison, Filter, Operator};
pub use latency::{LATENCY_SLOTS, latency_slot, latency_slot_from_us};
pub use metric::{LabelDef, MetricDef, MetricKind};
pub use names::{CertificateName, InvalidName, PoolName, ProxyName, ResourceName, RouteName, check_id};
pub use page::{PageSize, PageToken};
pub use reason::{Reason, RefusalReason, StatusCode};
pub use revision::{Etag, Revision, StoreId};
pub use violation::{Violation, Violations};

/// The domain of every `google.rpc.ErrorInfo` that HotSwap sends.
pub const ERROR_DOMAIN: &str = "hotswap";
