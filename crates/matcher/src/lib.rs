//! Which route takes a request: validated specs, the compiled table, and the rules of precedence.
//!
//! Control plane and proxy use the same crate, so what one accepts the other can serve. It is pure: no I/O,
//! no transport, no generated types.
//!
//! ```text
//!   RouteDraft, PoolDraft      plain data, from the wire or a stored row; anything can stand in them
//!        │  parse              every fault at once, each with its field
//!        ▼
//!   RouteSpec, PoolSpec        only what is valid: typed hosts, compiled regexes, header names
//!        │  RouteTable::build, insert, remove
//!        ▼
//!   RouteTable                 host ─► exact paths (hash) · prefixes (hash by segment) · regexes
//!        │  find(&head), find_where(&head, admits)
//!        ▼
//!   Found                      the route, and how much of the path its prefix took
//! ```
//!
//! # Two revisions of a route
//! While a route is under a rollout, both its revisions stand in the table, each as an [`Arm`]. A request sees one of
//! them, as `admits` says; precedence is what it is without the other.
//!
//! # Cost
//! A look-up costs a few hashes. A table is changed route by route, and a clone shares its memory: control plane
//! and proxy keep one table, change it, and hand out clones. A change copies some dozens of entries, whatever
//! the number of routes or hosts; only routes by regex, and those that stand on one and the same path of a host,
//! are copied as a list.
//!
//! # Precedence
//! The first difference decides: host (exact, then the longest wildcard, then any); priority; path (exact,
//! then regex by the length of its pattern, then prefix by its length); a match that names methods; more
//! header conditions; more query conditions; name. It follows the Gateway API's HTTPRoute, with priority put
//! in front and regex placed as nginx and Envoy Gateway place it.

mod draft;
mod explain;
mod head;
mod host;
mod spec;
mod table;

pub use draft::{
    AccessDraft, AccessLogDraft, AccessLogModeDraft, BackendDraft, BackendProtocol, BackendState,
    BackendTlsDraft, BackendsDraft, BalancingDraft, CandidateDraft, CheckDraft, CircuitBreakerDraft,
    ClaimHeaderDraft, CohortDraft, CompressionDraft, ConcurrencyDraft, CorsDraft, ExposureDraft,
    FaultAbortDraft, FaultDelayDraft, FaultDraft, ForwardDraft, HashKeyDraft, HeaderDraft, HeaderEditsDraft,
    HeaderMatchDraft, HeaderRuleDraft, HeaderRulesDraft, HealthCheckDraft, HealthCheckKindDraft, JwtDraft,
    LoadBalancingDraft, MatchDraft, MirrorDraft, OutlierEjectionDraft, PathMatchDraft, PoolDraft,
    QueryMatchDraft, RateFallbackDraft, RateLimitDraft, RateScopeDraft, RedirectDraft, RequestKeyDraft,
    RequestLimitsDraft, RetryDraft, RewriteDraft, RouteDraft, SameSite, SmokeTestDraft, StickyCookieDraft,
    TimeoutsDraft, TrafficDraft, ValueMatchDraft, WeightedPoolDraft,
};
pub use explain::{Explanation, NearMiss, Taken, explain};
pub use head::{Arm, HeadSize, RequestHead, Routed};
pub use host::{Host, parse_host};
pub use spec::{
    Access, AccessLog, AccessLogMode, Action, Address, Backend, BackendTls, Backends, Balancing,
    CandidateSpec, Check, CircuitBreaker, Cohort, Compression, Concurrency, ContentCoding, ContentType, Cors,
    Destination, Exposure, FailureRate, Fault, Forward, HashKey, HashSource, HeaderEdits, HeaderMatch,
    HeaderRules, HealthCheck, HostPattern, Jwt, KeyPlace, KeySet, KeySource, Keys, LoadBalancing, Mirror,
    Named, Network, Networks, Origins, OutlierEjection, PathMatch, PathRewrite, PoolSpec, Probe, QueryMatch,
    RateFallback, RateKey, RateLimit, Redirect, RequestKey, RequestLimits, Resilience, Retry, Rewrite,
    RouteMatch, RouteSpec, Scheme, SmokeTest, Split, StickyCookie, Target, Timeouts, TrafficSpec, ValueMatch,
    WEBSOCKET, WeightedPool, check_meta,
};
pub use table::{Found, RouteTable, Unshared};
