//! What a strategy needs beside its name, both ways.

use hotswap_api::route::v1 as wire;
use hotswap_matcher::{
    BalancingDraft, HashKeyDraft, HeaderRuleDraft, HeaderRulesDraft, SameSite, StickyCookieDraft,
};

use crate::from_wire::not_a_value;
use hotswap_core::Violations;

/// A draft of what stands under `field`.
pub(crate) fn from_wire(b: &wire::Balancing, field: &str) -> Result<BalancingDraft, Violations> {
    let cookie = |c| cookie_from_wire(c, &format!("{field}.sticky_cookie.same_site"));
    Ok(BalancingDraft {
        header_rules: b.header_rules.as_ref().map(rules_from_wire),
        hash: b.hash.as_ref().map(hash_from_wire),
        sticky_cookie: b.sticky_cookie.as_ref().map(cookie).transpose()?,
        slow_start_ms: b.slow_start_ms,
        panic_threshold_percent: b.panic_threshold_percent,
    })
}

fn rules_from_wire(r: &wire::HeaderRules) -> HeaderRulesDraft {
    let rule =
        |r: &wire::HeaderRule| HeaderRuleDraft { value: r.value.clone(), addresses: r.addresses.clone() };
    HeaderRulesDraft {
        header: r.header.clone(),
        rules: r.rules.iter().map(rule).collect(),
        default_addresses: r.default_addresses.clone(),
    }
}

fn hash_from_wire(h: &wire::HashKey) -> HashKeyDraft {
    use wire::hash_key::Source;
    let (header, cookie) = match &h.source {
        None => (None, None),
        Some(Source::Header(name)) => (Some(name.clone()), None),
        Some(Source::Cookie(name)) => (None, Some(name.clone())),
    };
    HashKeyDraft { header, cookie, load_limit_percent: h.load_limit_percent }
}

fn cookie_from_wire(c: &wire::StickyCookie, field: &str) -> Result<StickyCookieDraft, Violations> {
    let same_site = match wire::SameSite::try_from(c.same_site) {
        Ok(wire::SameSite::Unspecified | wire::SameSite::Lax) => SameSite::Lax,
        Ok(wire::SameSite::Strict) => SameSite::Strict,
        Ok(wire::SameSite::None) => SameSite::None,
        Err(_) => return Err(not_a_value(field, "SameSite")),
    };
    Ok(StickyCookieDraft {
        name: c.name.clone(),
        path: c.path.clone(),
        domain: c.domain.clone(),
        max_age_s: c.max_age_s,
        secure: c.secure,
        script_access: c.script_access,
        same_site,
        salt: c.salt.clone(),
    })
}

/// What a draft says.
pub(crate) fn to_wire(b: &BalancingDraft) -> wire::Balancing {
    wire::Balancing {
        header_rules: b.header_rules.as_ref().map(rules_to_wire),
        hash: b.hash.as_ref().map(hash_to_wire),
        sticky_cookie: b.sticky_cookie.as_ref().map(cookie_to_wire),
        slow_start_ms: b.slow_start_ms,
        panic_threshold_percent: b.panic_threshold_percent,
    }
}

fn rules_to_wire(r: &HeaderRulesDraft) -> wire::HeaderRules {
    let rule =
        |r: &HeaderRuleDraft| wire::HeaderRule { value: r.value.clone(), addresses: r.addresses.clone() };
    wire::HeaderRules {
        header: r.header.clone(),
        rules: r.rules.iter().map(rule).collect(),
        default_addresses: r.default_addresses.clone(),
    }
}

fn hash_to_wire(h: &HashKeyDraft) -> wire::HashKey {
    use wire::hash_key::Source;
    let source = match (&h.header, &h.cookie) {
        (Some(name), _) => Some(Source::Header(name.clone())),
        (None, Some(name)) => Some(Source::Cookie(name.clone())),
        (None, None) => None,
    };
    wire::HashKey { source, load_limit_percent: h.load_limit_percent }
}

fn cookie_to_wire(c: &StickyCookieDraft) -> wire::StickyCookie {
    let same_site = match c.same_site {
        SameSite::Lax => wire::SameSite::Lax,
        SameSite::Strict => wire::SameSite::Strict,
        SameSite::None => wire::SameSite::None,
    };
    wire::StickyCookie {
        name: c.name.clone(),
        path: c.path.clone(),
        domain: c.domain.clone(),
        max_age_s: c.max_age_s,
        secure: c.secure,
        script_access: c.script_access,
        same_site: same_site.into(),
        salt: c.salt.clone(),
    }
}
