//! How a backend is chosen, and what goes with it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use hotswap_core::Violations;
use http::HeaderName;

use super::pool::{Address, Backend};
use super::{MAX_TEXT, check_host};
use crate::draft::{
    BalancingDraft, HashKeyDraft, HeaderRulesDraft, LoadBalancingDraft, SameSite, StickyCookieDraft,
};

const DEFAULT_COOKIE: &str = "hotswap-backend";
const MAX_SLOW_START_MS: u32 = 3_600_000;
const MAX_COOKIE_AGE_S: u32 = 31_536_000;
const MAX_RULES: usize = 64;

/// How a backend is chosen, and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancing {
    /// The strategy.
    pub strategy: LoadBalancing,
    /// Keeps clients with their backends.
    pub sticky: Option<StickyCookie>,
    /// How long a backend is led up to its share; zero: at once.
    pub slow_start: Duration,
    /// Below this percentage of backends that take requests, all take some; 0: never.
    pub panic_threshold: u32,
}

/// A strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadBalancing {
    /// In turn.
    RoundRobin,
    /// In turn, by weight, evenly spread.
    WeightedRoundRobin,
    /// The fewest requests in flight.
    LeastConnections,
    /// By the client's address.
    IpHash,
    /// By the value of a header.
    Header(HeaderRules),
    /// Of two the one that costs less.
    PowerOfTwo,
    /// By a header or cookie.
    Hash(HashKey),
}

/// Backends by the value of a header; they stand here by their places in the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRules {
    /// The header.
    pub header: HeaderName,
    /// The group of each value, in [`HeaderRules::groups`].
    pub values: HashMap<Box<[u8]>, usize>,
    /// The backends of each rule; the last group is the default.
    pub groups: Vec<Vec<usize>>,
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashKey {
    /// Where it stands.
    pub source: HashSource,
    /// The most in flight, in percent of the fair share.
    pub load_limit: Option<u32>,
}

/// Where a request has what is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashSource {
    /// In a header.
    Header(HeaderName),
    /// In a cookie of this name.
    Cookie(String),
}

/// A cookie with the id of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyCookie {
    /// Its name.
    pub name: String,
    /// What stands behind its value, as "; Path=/; HttpOnly".
    pub attributes: String,
    /// Goes into the ids; `None`: the pool's name.
    pub salt: Option<String>,
}

impl Balancing {
    /// Checks a draft, for these backends.
    pub(super) fn parse(
        strategy: LoadBalancingDraft,
        draft: Option<&BalancingDraft>,
        backends: &[Backend],
    ) -> Result<Self, Violations> {
        let none = BalancingDraft::default();
        let draft = draft.unwrap_or(&none);
        let mut v = Violations::new();
        let strategy = LoadBalancing::parse(strategy, draft, backends).map_err(|e| v.nest("balancing", e));
        let sticky = draft.sticky_cookie.as_ref().map(StickyCookie::parse).transpose();
        let sticky = sticky.map_err(|e| v.nest("balancing.sticky_cookie", e));
        if draft.slow_start_ms > MAX_SLOW_START_MS {
            v.add("balancing.slow_start_ms", "must be 0 to 3,600,000");
        }
        if draft.panic_threshold_percent > 100 {
            v.add("balancing.panic_threshold_percent", "must be 0 to 100");
        }
        match (strategy, sticky) {
            (Ok(strategy), Ok(sticky)) if v.is_empty() => Ok(Self {
                strategy,
                sticky,
                slow_start: Duration::from_millis(u64::from(draft.slow_start_ms)),
                panic_threshold: draft.panic_threshold_percent,
            }),
            _ => Err(v),
        }
    }
}

impl LoadBalancing {
    fn parse(
        strategy: LoadBalancingDraft,
        draft: &BalancingDraft,
        backends: &[Backend],
    ) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if draft.header_rules.is_some() && strategy != LoadBalancingDraft::Header {
            v.add("header_rules", "goes with LOAD_BALANCING_HEADER alone");
        }
        if draft.hash.is_some() && strategy != LoadBalancingDraft::Hash {
            v.add("hash", "goes with LOAD_BALANCING_HASH alone");
        }
        v.into_result()?;
        Ok(match strategy {
            LoadBalancingDraft::RoundRobin => Self::RoundRobin,
            LoadBalancingDraft::WeightedRoundRobin => Self::WeightedRoundRobin,
            LoadBalancingDraft::LeastConnections => Self::LeastConnections,
            LoadBalancingDraft::IpHash => Self::IpHash,
            LoadBalancingDraft::PowerOfTwo => Self::PowerOfTwo,
            LoadBalancingDraft::Header => {
                let missing = || Violations::one("header_rules", "is needed by LOAD_BALANCING_HEADER");
                let rules = draft.header_rules.as_ref().ok_or_else(missing)?;
                Self::Header(HeaderRules::parse(rules, backends).map_err(|e| under("header_rules", e))?)
            }
            LoadBalancingDraft::Hash => {
                let missing = || Violations::one("hash", "is needed by LOAD_BALANCING_HASH");
                let key = draft.hash.as_ref().ok_or_else(missing)?;
                Self::Hash(HashKey::parse(key).map_err(|e| under("hash", e))?)
            }
        })
    }

    /// Whether weights count.
    pub fn is_weighted(&self) -> bool {
        !matches!(self, Self::RoundRobin | Self::Header(_))
    }
}

impl HeaderRules {
    fn parse(draft: &HeaderRulesDraft, backends: &[Backend]) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let header = v.take("header", header_name(&draft.header));
        if draft.rules.is_empty() || draft.rules.len() > MAX_RULES {
            v.add("rules", "must have 1 to 64 entries");
        }
        let place_of: HashMap<&str, usize> =
            backends.iter().enumerate().map(|(i, b)| (b.address.as_str(), i)).collect();
        let mut values = HashMap::new();
        let mut groups = Vec::with_capacity(draft.rules.len() + 1);
        for (i, rule) in draft.rules.iter().enumerate() {
            let field = format!("rules[{i}]");
            if rule.value.is_empty() || rule.value.len() > MAX_TEXT {
                v.add(format!("{field}.value"), "must be 1 to 1,024 bytes");
            }
            if values.insert(rule.value.as_bytes().into(), i).is_some() {
                v.add(format!("{field}.value"), "stands in another rule already");
            }
            if rule.addresses.is_empty() {
                v.add(format!("{field}.addresses"), "must have at least one entry");
            }
            groups.push(places(&mut v, &format!("{field}.addresses"), &rule.addresses, &place_of));
        }
        let mut rest = places(&mut v, "default_addresses", &draft.default_addresses, &place_of);
        if rest.is_empty() {
            let named: HashSet<usize> = groups.iter().flatten().copied().collect();
            rest = (0..backends.len()).filter(|place| !named.contains(place)).collect();
        }
        groups.push(rest);
        match header {
            Some(header) if v.is_empty() => Ok(Self { header, values, groups }),
            _ => Err(v),
        }
    }

    /// The group of a value.
    pub fn group_of(&self, value: &[u8]) -> usize {
        self.values.get(value).copied().unwrap_or(self.default_group())
    }

    /// The group of the default backends.
    pub fn default_group(&self) -> usize {
        self.groups.len().saturating_sub(1)
    }
}

/// Places of backends by their addresses, each once.
fn places(
    v: &mut Violations,
    field: &str,
    addresses: &[String],
    place_of: &HashMap<&str, usize>,
) -> Vec<usize> {
    let mut found = Vec::with_capacity(addresses.len());
    for (i, text) in addresses.iter().enumerate() {
        let address = Address::parse(text).ok();
        match address.and_then(|a| place_of.get(a.as_str()).copied()) {
            Some(place) if found.contains(&place) => v.add(format!("{field}[{i}]"), "stands there already"),
            Some(place) => found.push(place),
            None => v.add(format!("{field}[{i}]"), format!("{text:?} is no backend of the pool")),
        }
    }
    found
}

impl HashKey {
    fn parse(draft: &HashKeyDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let source = match (&draft.header, &draft.cookie) {
            (Some(name), None) => v.take("header", header_name(name)).map(HashSource::Header),
            (None, Some(name)) => {
                v.take("cookie", check_cookie_name(name)).map(|()| HashSource::Cookie(name.clone()))
            }
            (Some(_), Some(_)) | (None, None) => {
                v.add("", "must have exactly one of header and cookie");
                None
            }
        };
        let limit = draft.load_limit_percent;
        if limit != 0 && !(101..=1_000).contains(&limit) {
            v.add("load_limit_percent", "must be 101 to 1,000, or 0 for no bound");
        }
        match source {
            Some(source) if v.is_empty() => Ok(Self { source, load_limit: Some(limit).filter(|l| *l > 0) }),
            _ => Err(v),
        }
    }
}

impl StickyCookie {
    fn parse(draft: &StickyCookieDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let name = if draft.name.is_empty() { DEFAULT_COOKIE } else { &draft.name };
        v.take("name", check_cookie_name(name));
        let path = if draft.path.is_empty() { "/" } else { &draft.path };
        let plain = |c: u8| (b' '..=b'~').contains(&c) && c != b';';
        if !path.starts_with('/') || path.len() > MAX_TEXT || !path.bytes().all(plain) {
            v.add("path", "must start with \"/\", in printable ASCII without \";\", of at most 1,024 bytes");
        }
        if !draft.domain.is_empty() {
            v.take("domain", check_host(draft.domain.strip_prefix('.').unwrap_or(&draft.domain)));
        }
        if draft.max_age_s > MAX_COOKIE_AGE_S {
            v.add("max_age_s", "must be 0 to 31,536,000");
        }
        if draft.same_site == SameSite::None && !draft.secure {
            v.add("same_site", "SAME_SITE_NONE needs secure: clients refuse such a cookie otherwise");
        }
        if draft.salt.chars().count() > 200 {
            v.add("salt", "must be at most 200 characters");
        }
        v.into_result()?;
        let mut attributes = format!("; Path={path}");
        if !draft.domain.is_empty() {
            attributes.push_str("; Domain=");
            attributes.push_str(&draft.domain);
        }
        if draft.max_age_s > 0 {
            attributes.push_str(&format!("; Max-Age={}", draft.max_age_s));
        }
        attributes.push_str(match draft.same_site {
            SameSite::Lax => "; SameSite=Lax",
            SameSite::Strict => "; SameSite=Strict",
            SameSite::None => "; SameSite=None",
        });
        attributes.push_str(if draft.secure { "; Secure" } else { "" });
        attributes.push_str(if draft.script_access { "" } else { "; HttpOnly" });
        let salt = Some(draft.salt.clone()).filter(|salt| !salt.is_empty());
        Ok(Self { name: name.to_owned(), attributes, salt })
    }
}

/// The faults of a part, under its field.
fn under(field: &str, inner: Violations) -> Violations {
    let mut v = Violations::new();
    v.nest(field, inner);
    v
}

pub(super) fn header_name(name: &str) -> Result<HeaderName, &'static str> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| "is not a valid header name")
}

/// A token, as RFC 6265 section 4.1.1 wants it.
pub(super) fn check_cookie_name(name: &str) -> Result<(), &'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let sound = (1..=200).contains(&name.len()) && name.bytes().all(token);
    if sound {
        Ok(())
    } else {
        Err("must be a cookie's name: 1 to 200 letters, digits, or any of !#$%&'*+-.^_`|~")
    }
}

#[cfg(test)]
#[path = "balancing_tests.rs"]
mod tests;
