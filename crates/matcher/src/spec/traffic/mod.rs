//! What is done with requests of a route beside its action: who may send them, how many, and what browsers are told.

mod compression;
mod cors;
mod jwt;
mod keys;
mod mirror;
mod parts;

use hotswap_core::Violations;

pub use compression::{Compression, ContentCoding, ContentType};
pub use cors::{Cors, Named, Origins};
pub use jwt::{Jwt, KeySet};
pub use keys::{KeyPlace, KeySource, Keys};
pub use mirror::Mirror;
pub use parts::{
    Access, AccessLog, AccessLogMode, Concurrency, Fault, RateFallback, RateKey, RateLimit, RequestLimits,
};

use crate::draft::TrafficDraft;

/// All of it; what is `None` is off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficSpec {
    /// Which addresses may send requests.
    pub access: Option<Access>,
    /// Which pages of other origins may use it.
    pub cors: Option<Cors>,
    /// How large a request may be.
    pub limits: Option<RequestLimits>,
    /// How many requests may come.
    pub rate_limit: Option<RateLimit>,
    /// How many may be under way.
    pub concurrency: Option<Concurrency>,
    /// Makes some fail or wait.
    pub fault: Option<Fault>,
    /// Which are logged.
    pub access_log: Option<AccessLog>,
    /// Which tokens they must bring.
    pub jwt: Option<Jwt>,
    /// Where copies go.
    pub mirror: Option<Mirror>,
    /// Which answers are compressed.
    pub compression: Option<Compression>,
}

impl TrafficSpec {
    /// Checks a draft; `None`: all of it is off.
    pub(super) fn parse(draft: &TrafficDraft) -> Result<Option<Self>, Violations> {
        let mut v = Violations::new();
        let spec = Self {
            access: part(&mut v, "access", draft.access.as_ref(), Access::parse),
            cors: part(&mut v, "cors", draft.cors.as_ref(), Cors::parse),
            limits: part(&mut v, "limits", draft.limits.as_ref(), RequestLimits::parse),
            rate_limit: part(&mut v, "rate_limit", draft.rate_limit.as_ref(), RateLimit::parse),
            concurrency: part(&mut v, "concurrency", draft.concurrency.as_ref(), Concurrency::parse),
            fault: part(&mut v, "fault", draft.fault.as_ref(), Fault::parse),
            access_log: part(&mut v, "access_log", draft.access_log.as_ref(), AccessLog::parse),
            jwt: part(&mut v, "jwt", draft.jwt.as_ref(), Jwt::parse),
            compression: part(&mut v, "compression", draft.compression.as_ref(), Compression::parse),
            mirror: part(&mut v, "mirror", draft.mirror.as_ref(), Mirror::parse),
        };
        v.into_result()?;
        Ok(Some(spec).filter(|spec| *spec != Self::default()))
    }
}

/// Parses a part, noting its faults under its field.
fn part<D, T>(
    v: &mut Violations,
    field: &str,
    draft: Option<&D>,
    parse: impl FnOnce(&D) -> Result<T, Violations>,
) -> Option<T> {
    draft.map(parse).transpose().map_err(|e| v.nest(field, e)).ok().flatten()
}

#[cfg(test)]
mod tests;
