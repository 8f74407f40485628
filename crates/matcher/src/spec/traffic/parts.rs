//! Access, limits, faults, and what is logged.

use std::time::Duration;

use hotswap_core::Violations;
use http::{HeaderName, StatusCode};

use crate::draft::{
    AccessDraft, AccessLogDraft, AccessLogModeDraft, ConcurrencyDraft, FaultAbortDraft, FaultDelayDraft,
    FaultDraft, RateFallbackDraft, RateLimitDraft, RateScopeDraft, RequestLimitsDraft,
};
use crate::spec::balancing::header_name;
use crate::spec::condition::parse_each;
use crate::spec::network::{Network, Networks};
use crate::spec::resilience::Numbers;

/// The most networks of a list.
const MAX_NETWORKS: usize = 10_000;
/// All requests, in basis points.
pub(super) const ALL_BPS: u32 = 10_000;
const MAX_BODY: u64 = 1 << 40;

/// Which addresses may send requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// These alone; none: all.
    pub allow: Networks,
    /// Never these.
    pub deny: Networks,
}

/// How large a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Its body, in bytes.
    pub max_body_bytes: Option<u64>,
    /// Names and values of its headers and its target, in bytes.
    pub max_head_bytes: Option<usize>,
    /// Its headers.
    pub max_headers: Option<usize>,
}

/// How many requests may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// In a period.
    pub requests: u32,
    /// The period.
    pub period: Duration,
    /// At once.
    pub burst: u32,
    /// Who has a bucket of their own.
    pub key: RateKey,
    /// Answers do not tell of it.
    pub quiet: bool,
    /// All gateways share buckets.
    pub is_shared: bool,
    /// What becomes of requests while what is shared is away.
    pub fallback: RateFallback,
}

/// What becomes of requests while the Redis of the fleet does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateFallback {
    /// Each gateway counts by itself.
    #[default]
    Local,
    /// They pass.
    Pass,
    /// They are refused.
    Refuse,
}

/// Who has a bucket of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateKey {
    /// There is one for all.
    Route,
    /// Each client address; of IPv6, each /64.
    ClientAddress,
    /// Each value of this header.
    Header(HeaderName),
}

/// How many requests may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// The most.
    pub max_requests: u32,
    /// What Retry-After says, in s.
    pub retry_after_s: u32,
}

/// Makes some requests fail or wait; shares are in basis points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Answers a share with a status.
    pub abort: Option<(StatusCode, u32)>,
    /// Lets a share wait.
    pub delay: Option<(Duration, u32)>,
    /// Only requests with this header.
    pub header: Option<HeaderName>,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Which.
    pub mode: AccessLogMode,
    /// Of those without a reason code, in basis points.
    pub share_bps: u32,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogMode {
    /// All, or a share of them.
    All,
    /// Those with a reason code.
    Errors,
    /// None.
    Off,
}

impl Access {
    pub(super) fn parse(draft: &AccessDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if draft.allow.is_empty() && draft.deny.is_empty() {
            v.add("", "must have an entry in allow or deny");
        }
        let mut networks = |field: &str, texts: &Vec<String>| -> Networks {
            if texts.len() > MAX_NETWORKS {
                v.add(field, "must have at most 10,000 entries");
            }
            parse_each(&mut v, field, texts, network).into_iter().collect()
        };
        let (allow, deny) = (networks("allow", &draft.allow), networks("deny", &draft.deny));
        v.into_result()?;
        Ok(Self { allow, deny })
    }
}

fn network(text: &String) -> Result<Network, Violations> {
    let network: Network = text.parse().map_err(|e: String| Violations::one("", e))?;
    if network.is_exact() {
        Ok(network)
    } else {
        Err(Violations::one(
            "",
            format!("{text:?} has bits beyond its length: write the network's first address"),
        ))
    }
}

impl RequestLimits {
    pub(super) fn parse(draft: &RequestLimitsDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if draft.max_body_bytes > MAX_BODY {
            v.add("max_body_bytes", "must be 1 to 1,099,511,627,776, or 0 for no limit");
        }
        let mut limit = |field: &str, given: u32, range: std::ops::RangeInclusive<u32>, words: &str| {
            if given != 0 && !range.contains(&given) {
                v.add(field, format!("must be {words}, or 0 for no limit"));
            }
            usize::try_from(given).ok().filter(|n| *n > 0)
        };
        let max_head_bytes =
            limit("max_head_bytes", draft.max_head_bytes, 256..=1_048_576, "256 to 1,048,576");
        let max_headers = limit("max_headers", draft.max_headers, 1..=1_000, "1 to 1,000");
        let max_body_bytes = Some(draft.max_body_bytes).filter(|n| *n > 0);
        if max_body_bytes.is_none() && max_head_bytes.is_none() && max_headers.is_none() {
            v.add("", "must have a limit");
        }
        v.into_result()?;
        Ok(Self { max_body_bytes, max_head_bytes, max_headers })
    }
}

impl RateLimit {
    pub(super) fn parse(draft: &RateLimitDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if !(1..=1_000_000).contains(&draft.requests) {
            v.add("requests", "must be 1 to 1,000,000");
        }
        let mut n = Numbers(&mut v);
        let period = n.ms("period_ms", draft.period_ms, 1_000, 1..=86_400_000);
        let burst = n.take("burst", draft.burst, draft.requests, 1..=1_000_000);
        let key = match (draft.client_address, &draft.header) {
            (None, None) => RateKey::Route,
            (Some(true), None) => RateKey::ClientAddress,
            (None, Some(name)) => v.take("header", header_name(name)).map_or(RateKey::Route, RateKey::Header),
            (Some(false), None) => {
                v.add("client_address", "must be true, or not be there");
                RateKey::Route
            }
            (Some(_), Some(_)) => {
                v.add("", "must have at most one of client_address and header");
                RateKey::Route
            }
        };
        let is_shared = draft.scope == RateScopeDraft::Fleet;
        if draft.fallback.is_some() && !is_shared {
            v.add("fallback", "goes with RATE_LIMIT_SCOPE_FLEET alone");
        }
        let fallback = match draft.fallback {
            None | Some(RateFallbackDraft::Local) => RateFallback::Local,
            Some(RateFallbackDraft::Pass) => RateFallback::Pass,
            Some(RateFallbackDraft::Refuse) => RateFallback::Refuse,
        };
        v.into_result()?;
        Ok(Self { requests: draft.requests, period, burst, key, quiet: draft.quiet, is_shared, fallback })
    }
}

impl Concurrency {
    pub(super) fn parse(draft: &ConcurrencyDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if !(1..=1_000_000).contains(&draft.max_requests) {
            v.add("max_requests", "must be 1 to 1,000,000");
        }
        let retry_after_s = Numbers(&mut v).take("retry_after_s", draft.retry_after_s, 1, 1..=3_600);
        v.into_result()?;
        Ok(Self { max_requests: draft.max_requests, retry_after_s })
    }
}

impl Fault {
    pub(super) fn parse(draft: &FaultDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if draft.abort.is_none() && draft.delay.is_none() {
            v.add("", "must have abort or delay");
        }
        let abort = draft.abort.as_ref().map(|FaultAbortDraft { status, share_bps }| {
            check_share(&mut v, "abort.share_bps", *share_bps);
            let status = u16::try_from(*status).ok().filter(|s| (400..=599).contains(s));
            let status = status.and_then(|s| StatusCode::from_u16(s).ok()).unwrap_or_else(|| {
                v.add("abort.status", "must be 400 to 599");
                StatusCode::SERVICE_UNAVAILABLE
            });
            (status, *share_bps)
        });
        let delay = draft.delay.as_ref().map(|FaultDelayDraft { delay_ms, share_bps }| {
            check_share(&mut v, "delay.share_bps", *share_bps);
            if !(1..=60_000).contains(delay_ms) {
                v.add("delay.delay_ms", "must be 1 to 60,000");
            }
            (Duration::from_millis(u64::from(*delay_ms)), *share_bps)
        });
        let header = Some(draft.header.as_str()).filter(|name| !name.is_empty());
        let header = header.and_then(|name| v.take("header", header_name(name)));
        v.into_result()?;
        Ok(Self { abort, delay, header })
    }
}

fn check_share(v: &mut Violations, field: &str, bps: u32) {
    if !(1..=ALL_BPS).contains(&bps) {
        v.add(field, "must be 1 to 10,000");
    }
}

impl AccessLog {
    pub(super) fn parse(draft: &AccessLogDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let share_bps = Numbers(&mut v).take("share_bps", draft.share_bps, ALL_BPS, 1..=ALL_BPS);
        let mode = match draft.mode {
            AccessLogModeDraft::All => AccessLogMode::All,
            AccessLogModeDraft::Errors => AccessLogMode::Errors,
            AccessLogModeDraft::Off => AccessLogMode::Off,
        };
        if draft.share_bps != 0 && mode != AccessLogMode::All {
            v.add("share_bps", "goes with ACCESS_LOG_MODE_ALL alone");
        }
        v.into_result()?;
        Ok(Self { mode, share_bps })
    }
}
