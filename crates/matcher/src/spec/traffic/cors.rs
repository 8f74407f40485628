//! Which pages of other origins may use a route (the Fetch standard, section 3.2).

use hotswap_core::Violations;
use http::{HeaderName, HeaderValue};

use crate::draft::CorsDraft;
use crate::spec::check_host;
use crate::spec::condition::parse_each;

const MAX_ORIGINS: usize = 100;
const MAX_AGE_S: u32 = 86_400;

/// CORS of a route. Lists that go into answers stand here as they are written there; `None`: nothing is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Whose pages.
    pub origins: Origins,
    /// Methods beside GET, HEAD and POST.
    pub methods: Named,
    /// Request headers beside those that are always allowed.
    pub headers: Named,
    /// Response headers that pages may read.
    pub expose_headers: Option<HeaderValue>,
    /// With cookies and Authorization.
    pub credentials: bool,
    /// How long a browser may keep what it was told.
    pub max_age: Option<HeaderValue>,
}

/// Whose pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's.
    Any,
    /// These; a browser writes origins in lower case.
    These(Vec<Origin>),
}

/// An origin, or all below a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This one.
    Exact(String),
    /// Scheme and "://", then any labels, then this: ".example.com", with its port.
    Below(String, String),
}

/// Names that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// Any.
    Any,
    /// These, in lower case.
    These(Vec<String>),
}

impl Cors {
    pub(super) fn parse(draft: &CorsDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let origins = Origins::parse(&mut v, &draft.origins);
        if draft.credentials && origins == Origins::Any {
            v.add("credentials", "does not go with the origin \"*\": browsers refuse the answer");
        }
        let method = |m: &String| {
            let sound = (1..=32).contains(&m.len()) && m.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
            if sound {
                Ok(m.clone())
            } else {
                Err(Violations::one("", "must be a method in capitals, as PUT"))
            }
        };
        let methods = named(&mut v, "methods", &draft.methods, 16, method);
        let headers = named(&mut v, "headers", &draft.headers, 64, header);
        if draft.expose_headers.len() > 64 {
            v.add("expose_headers", "must have at most 64 entries");
        }
        let expose = parse_each(&mut v, "expose_headers", &draft.expose_headers, header);
        if draft.max_age_s > MAX_AGE_S {
            v.add("max_age_s", "must be 1 to 86,400, or 0 to leave it to browsers");
        }
        v.into_result()?;
        Ok(Self {
            origins,
            methods,
            headers,
            expose_headers: (!expose.is_empty())
                .then(|| HeaderValue::try_from(expose.join(", ")).ok())
                .flatten(),
            credentials: draft.credentials,
            max_age: Some(draft.max_age_s).filter(|s| *s > 0).map(HeaderValue::from),
        })
    }
}

fn header(name: &String) -> Result<String, Violations> {
    let name = HeaderName::from_bytes(name.as_bytes());
    name.map(|name| name.as_str().to_owned()).map_err(|_| Violations::one("", "is not a valid header name"))
}

fn named(
    v: &mut Violations,
    field: &str,
    drafts: &[String],
    most: usize,
    parse: impl Fn(&String) -> Result<String, Violations>,
) -> Named {
    if drafts.len() > most {
        v.add(field, format!("must have at most {most} entries"));
    }
    if drafts.len() == 1 && drafts.first().is_some_and(|d| d == "*") {
        return Named::Any;
    }
    Named::These(parse_each(v, field, drafts, parse))
}

impl Named {
    /// Whether the name is among them; case does not count.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(names) => names.iter().any(|n| n.eq_ignore_ascii_case(name)),
        }
    }
}

impl Origins {
    fn parse(v: &mut Violations, drafts: &[String]) -> Self {
        if drafts.is_empty() || drafts.len() > MAX_ORIGINS {
            v.add("origins", "must have 1 to 100 entries");
        }
        if drafts.iter().any(|d| d == "*") {
            if drafts.len() > 1 {
                v.add("origins", "\"*\" must stand alone");
            }
            return Self::Any;
        }
        Self::These(parse_each(v, "origins", drafts, |d| {
            Origin::parse(d).map_err(|m| Violations::one("", m))
        }))
    }

    /// Whether a page of this origin, as the header Origin has it, may use the route.
    pub fn have(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::These(origins) => origins.iter().any(|o| o.is(origin)),
        }
    }
}

impl Origin {
    fn parse(text: &str) -> Result<Self, String> {
        let bad =
            || "must be an origin, as \"https://app.example.com\" or \"https://*.example.com\"".to_owned();
        let lower = text.to_ascii_lowercase();
        let (scheme, rest) = lower.split_once("://").ok_or_else(bad)?;
        let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(sound) {
            return Err(bad());
        }
        let below = rest.strip_prefix("*.");
        let authority = below.unwrap_or(rest);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        check_host(host).map_err(|_| bad())?;
        let default = match scheme {
            "http" => Some("80"),
            "https" => Some("443"),
            _ => None,
        };
        if port.is_some() && port == default {
            return Err(format!(
                "must not name the port {}: browsers leave it out",
                port.unwrap_or_default()
            ));
        }
        if port.is_some_and(|p| p.starts_with('0') || !p.parse::<u16>().is_ok_and(|p| p > 0)) {
            return Err(bad());
        }
        Ok(match below {
            Some(rest) => Self::Below(format!("{scheme}://"), format!(".{rest}")),
            None => Self::Exact(lower),
        })
    }

    fn is(&self, origin: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == origin,
            Self::Below(scheme, tail) => {
                let rest = origin.strip_prefix(scheme.as_bytes());
                let labels = rest.and_then(|rest| rest.strip_suffix(tail.as_bytes()));
                let sound = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
                labels.is_some_and(|labels| {
                    !labels.is_empty() && !labels.starts_with(b".") && labels.iter().all(sound)
                })
            }
        }
    }
}
