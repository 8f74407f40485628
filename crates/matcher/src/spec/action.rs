//! What a route does with a request.

use std::time::Duration;

use hotswap_core::{PoolName, ResourceName, Violations};
use http::StatusCode;

use super::pool::Backends;
use super::resilience::Retry;
use super::split::Split;
use super::{check_host, check_path};
use crate::draft::{BackendsDraft, ForwardDraft, RedirectDraft, RewriteDraft, TimeoutsDraft};

const DEFAULT_FIRST_BYTE_MS: u32 = 15_000;
const DEFAULT_IDLE_MS: u32 = 60_000;
const MAX_TIMEOUT_MS: u32 = 3_600_000;
const MAX_UPGRADES: usize = 8;
/// Lets no protocol through.
const NO_UPGRADE: &str = "none";

/// The protocol that clients may switch to where a route says nothing of it.
pub const WEBSOCKET: &str = "websocket";

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sent to a backend.
    Forward(Forward),
    /// Answered with a redirect.
    Redirect(Redirect),
}

/// Sends the request to a backend.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Where.
    pub to: Destination,
    /// What the backend sees otherwise.
    pub rewrite: Rewrite,
    /// Limits.
    pub timeouts: Timeouts,
    /// Tries after the first; `None`: there are none.
    pub retry: Option<Retry>,
    /// Protocols that a client may switch to, in lower case.
    pub upgrades: Box<[Box<str>]>,
}

/// Where the requests of a route are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// All of them there.
    One(Target),
    /// Each to one of several pools.
    Split(Split),
}

/// Where a request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A pool that routes share.
    Pool(PoolName),
    /// Backends of this route, or of its mirror, alone.
    Inline(Box<Backends>),
}

impl Destination {
    fn parse(v: &mut Violations, draft: &ForwardDraft) -> Option<Self> {
        let ForwardDraft { pool, inline, split, .. } = draft;
        match split {
            None if pool.is_some() != inline.is_some() => {
                Target::parse(v, pool.as_ref(), inline.as_ref()).map(Self::One)
            }
            Some(split) if pool.is_none() && inline.is_none() => {
                Split::parse(split).map(Self::Split).map_err(|e| v.nest("split", e)).ok()
            }
            _ => {
                v.add("", "must have exactly one of pool, inline and split");
                None
            }
        }
    }
}

impl Target {
    pub(super) fn parse(
        v: &mut Violations,
        pool: Option<&String>,
        inline: Option<&BackendsDraft>,
    ) -> Option<Self> {
        match (pool, inline) {
            (Some(pool), None) => v.take("pool", PoolName::parse(pool)).map(Self::Pool),
            (None, Some(inline)) => Backends::parse(inline)
                .map(|b| Self::Inline(Box::new(b)))
                .map_err(|e| v.nest("inline", e))
                .ok(),
            (Some(_), Some(_)) | (None, None) => {
                v.add("", "must have exactly one of pool and inline");
                None
            }
        }
    }
}

/// A change of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// The whole new path.
    Full(String),
    /// What stands in for the matched prefix; without a "/" at the end, so "/" is the empty text.
    Prefix(String),
}

/// A change of what the backend sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Of the path.
    pub path: Option<PathRewrite>,
    /// Of the Host header.
    pub host: Option<String>,
}

/// Limits for one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To the head of the response.
    pub first_byte: Duration,
    /// For the whole exchange.
    pub total: Option<Duration>,
    /// Without progress of a body.
    pub idle: Duration,
}

/// The scheme of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// http.
    Http,
    /// https.
    Https,
}

/// Answers with a redirect; what is `None` is taken from the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// A 3xx that carries a Location.
    pub status: StatusCode,
    /// The scheme.
    pub scheme: Option<Scheme>,
    /// The host.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<PathRewrite>,
    /// Whether the query is dropped.
    pub drop_query: bool,
}

impl Forward {
    pub(super) fn parse(draft: &ForwardDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let to = Destination::parse(&mut v, draft);
        let rewrite = draft.rewrite.as_ref().map_or(Ok(Rewrite::default()), Rewrite::parse);
        let rewrite = rewrite.map_err(|e| v.nest("rewrite", e)).ok();
        let timeouts = Timeouts::parse(draft.timeouts.as_ref().unwrap_or(&TimeoutsDraft::default()));
        let timeouts = timeouts.map_err(|e| v.nest("timeouts", e)).ok();
        let retry = draft.retry.as_ref().map(Retry::parse).transpose();
        let retry = retry.map_err(|e| v.nest("retry", e)).ok();
        let upgrades = upgrades(&draft.upgrades).map_err(|e| v.nest("upgrades", e)).ok();
        match (to, rewrite, timeouts, retry, upgrades) {
            (Some(to), Some(rewrite), Some(timeouts), Some(retry), Some(upgrades)) => {
                Ok(Self { to, rewrite, timeouts, retry, upgrades })
            }
            _ => Err(v),
        }
    }

    /// Where all requests are sent; `None`: they are split.
    pub fn target(&self) -> Option<&Target> {
        match &self.to {
            Destination::One(target) => Some(target),
            Destination::Split(_) => None,
        }
    }

    /// The pools that requests are split between; `None`: all go to one target.
    pub fn split(&self) -> Option<&Split> {
        match &self.to {
            Destination::Split(split) => Some(split),
            Destination::One(_) => None,
        }
    }
}

/// None named: the usual one. Versions of HTTP and TLS are no protocols to switch to here: what follows passes unread,
/// and nobody would look at the requests in it.
fn upgrades(names: &[String]) -> Result<Box<[Box<str>]>, Violations> {
    let mut v = Violations::new();
    if names.len() > MAX_UPGRADES {
        v.add("", format!("must have at most {MAX_UPGRADES} entries"));
    }
    for (i, name) in names.iter().enumerate() {
        let token =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._/+".contains(&b));
        if name.is_empty() || name.len() > 64 || !token {
            v.add(format!("[{i}]"), "must be 1 to 64 lower-case letters, digits and -._/+");
        } else if name == NO_UPGRADE && names.len() > 1 {
            v.add(format!("[{i}]"), "stands alone: it lets no protocol through");
        } else if name.starts_with("h2") || name.starts_with("http") || name.starts_with("tls") {
            v.add(format!("[{i}]"), "is not passed on: nobody would look at the requests in it");
        }
    }
    if !v.is_empty() {
        return Err(v);
    }
    Ok(match names {
        [] => [WEBSOCKET.into()].into(),
        [none] if none == NO_UPGRADE => [].into(),
        names => names.iter().map(|name| name.as_str().into()).collect(),
    })
}

impl PathRewrite {
    fn parse(
        v: &mut Violations,
        full_path: Option<&String>,
        replace_prefix: Option<&String>,
    ) -> Option<Self> {
        match (full_path, replace_prefix) {
            (None, None) => None,
            (Some(p), None) => v.take("full_path", check_path(p)).map(|()| Self::Full(p.clone())),
            (None, Some(p)) => v
                .take("replace_prefix", check_path(p))
                .map(|()| Self::Prefix(p.trim_end_matches('/').to_owned())),
            (Some(_), Some(_)) => {
                v.add("", "must have at most one of full_path and replace_prefix");
                None
            }
        }
    }
}

impl Rewrite {
    fn parse(draft: &RewriteDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let path = PathRewrite::parse(&mut v, draft.full_path.as_ref(), draft.replace_prefix.as_ref());
        let host = (!draft.host.is_empty()).then(|| draft.host.clone());
        if let Some(host) = &host {
            let name = host
                .rsplit_once(':')
                .filter(|(_, p)| p.parse::<u16>().is_ok())
                .map_or(host.as_str(), |(h, _)| h);
            v.take("host", check_host(name));
        }
        v.into_result()?;
        Ok(Self { path, host })
    }
}

impl Timeouts {
    fn parse(draft: &TimeoutsDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let mut take = |field: &str, ms: u32, default: u32| {
            if ms > MAX_TIMEOUT_MS {
                v.add(field, "must be 0 to 3,600,000");
            }
            Duration::from_millis(u64::from(if ms == 0 { default } else { ms }))
        };
        let first_byte = take("first_byte_ms", draft.first_byte_ms, DEFAULT_FIRST_BYTE_MS);
        let total = take("total_ms", draft.total_ms, 0);
        let idle = take("idle_ms", draft.idle_ms, DEFAULT_IDLE_MS);
        v.into_result()?;
        Ok(Self { first_byte, total: (!total.is_zero()).then_some(total), idle })
    }
}

impl Redirect {
    pub(super) fn parse(draft: &RedirectDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let status = match draft.status {
            0 | 302 => StatusCode::FOUND,
            301 => StatusCode::MOVED_PERMANENTLY,
            303 => StatusCode::SEE_OTHER,
            307 => StatusCode::TEMPORARY_REDIRECT,
            308 => StatusCode::PERMANENT_REDIRECT,
            _ => {
                v.add("status", "must be 301, 302, 303, 307 or 308, or 0 for 302");
                StatusCode::FOUND
            }
        };
        let scheme = match draft.scheme.as_str() {
            "" => None,
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            _ => {
                v.add("scheme", "must be \"http\" or \"https\"");
                None
            }
        };
        let host = (!draft.host.is_empty()).then(|| draft.host.to_ascii_lowercase());
        if let Some(host) = &host {
            v.take("host", check_host(host));
        }
        let port = v.take("port", u16::try_from(draft.port).map_err(|_| "must be 0 to 65,535"));
        let path = PathRewrite::parse(&mut v, draft.full_path.as_ref(), draft.replace_prefix.as_ref());
        v.into_result()?;
        let port = port.filter(|p| *p != 0);
        Ok(Self { status, scheme, host, port, path, drop_query: draft.drop_query })
    }

    /// Whether nothing of the request's address would change, so that the answer would lead to itself.
    pub(super) fn changes_nothing(&self) -> bool {
        self.scheme.is_none()
            && self.host.is_none()
            && self.port.is_none()
            && self.path.is_none()
            && !self.drop_query
    }
}
