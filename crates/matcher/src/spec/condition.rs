//! Conditions on a request.

use std::sync::Arc;

use hotswap_core::Violations;
use http::HeaderName;
use regex::bytes::Regex;

use super::{MAX_TEXT, check_host, check_path, whole_regex};
use crate::RequestHead;
use crate::draft::{HeaderMatchDraft, MatchDraft, PathMatchDraft, QueryMatchDraft, ValueMatchDraft};

/// The host names that a route serves; in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This name.
    Exact(String),
    /// Every name below this one; of "*.example.com", "example.com".
    Below(String),
}

impl HostPattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (pattern, name) = match lower.strip_prefix("*.") {
            Some(rest) => (Self::Below(rest.to_owned()), rest),
            None => (Self::Exact(lower.clone()), lower.as_str()),
        };
        check_host(name).map_err(|m| format!("{m}, or \"*.example.com\", without a port"))?;
        Ok(pattern)
    }
}

/// A condition on the path.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// The whole path.
    Exact(Arc<str>),
    /// Whole leading segments, without a "/" at the end; "/" is the empty text.
    Prefix(Arc<str>),
    /// A regular expression over the whole path.
    Regex(Regex),
}

impl PathMatch {
    fn parse(draft: &PathMatchDraft) -> Result<Self, Violations> {
        match draft {
            PathMatchDraft::Exact(p) => check_path(p)
                .map(|()| Self::Exact(p.as_str().into()))
                .map_err(|m| Violations::one("exact", m)),
            PathMatchDraft::Prefix(p) => check_path(p)
                .map(|()| Self::Prefix(p.trim_end_matches('/').into()))
                .map_err(|m| Violations::one("prefix", m)),
            PathMatchDraft::Regex(p) => {
                whole_regex(p).map(Self::Regex).map_err(|m| Violations::one("regex", m))
            }
        }
    }
}

/// A condition on a header's or parameter's value.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// The whole value.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// A regular expression over the whole value.
    Regex(Regex),
    /// There, or not.
    Present(bool),
}

impl ValueMatch {
    fn parse(draft: Option<&ValueMatchDraft>) -> Result<Self, Violations> {
        let short = |field: &str, text: &str| {
            if text.len() > MAX_TEXT {
                return Err(Violations::one(field, format!("must be at most {MAX_TEXT} bytes")));
            }
            Ok(text.to_owned())
        };
        match draft {
            None => Err(Violations::one("", "must have a condition, as exact or present")),
            Some(ValueMatchDraft::Exact(t)) => short("exact", t).map(Self::Exact),
            Some(ValueMatchDraft::Prefix(t)) => short("prefix", t).map(Self::Prefix),
            Some(ValueMatchDraft::Regex(t)) => {
                whole_regex(t).map(Self::Regex).map_err(|m| Violations::one("regex", m))
            }
            Some(ValueMatchDraft::Present(p)) => Ok(Self::Present(*p)),
        }
    }

    /// What it asks for. The value that was sent is not shown: it may be a secret.
    fn words(&self) -> String {
        match self {
            Self::Exact(text) => format!("must be {text:?}"),
            Self::Prefix(text) => format!("must begin with {text:?}"),
            Self::Regex(regex) => format!("must match {}", regex.as_str()),
            Self::Present(true) => "must be there".to_owned(),
            Self::Present(false) => "must not be there".to_owned(),
        }
    }

    fn holds(&self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Self::Present(wanted), value) => *wanted == value.is_some(),
            (_, None) => false,
            (Self::Exact(t), Some(v)) => t.as_bytes() == v,
            (Self::Prefix(t), Some(v)) => v.starts_with(t.as_bytes()),
            (Self::Regex(r), Some(v)) => r.is_match(v),
        }
    }
}

/// A condition on a header.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    name: HeaderName,
    value: ValueMatch,
}

impl HeaderMatch {
    fn parse(draft: &HeaderMatchDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let name = HeaderName::from_bytes(draft.name.as_bytes()).map_err(|_| "is not a valid header name");
        let name = v.take("name", name);
        let value = ValueMatch::parse(draft.kind.as_ref()).map_err(|e| v.nest("", e)).ok();
        match (name, value) {
            (Some(name), Some(value)) => Ok(Self { name, value }),
            _ => Err(v),
        }
    }

    /// What it asks for, in words.
    pub(crate) fn words(&self) -> String {
        format!("{} {}", self.name, self.value.words())
    }

    pub(crate) fn holds(&self, head: &impl RequestHead) -> bool {
        // One value is the rule; more are joined by "," as RFC 9110 section 5.3 has it.
        let mut joined: Option<Vec<u8>> = None;
        head.header(&self.name, &mut |value| match &mut joined {
            None => joined = Some(value.to_vec()),
            Some(all) => {
                all.push(b',');
                all.extend_from_slice(value);
            }
        });
        self.value.holds(joined.as_deref())
    }
}

/// A condition on a query parameter.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    name: String,
    value: ValueMatch,
}

impl QueryMatch {
    fn parse(draft: &QueryMatchDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if draft.name.is_empty() || draft.name.len() > MAX_TEXT {
            v.add("name", format!("must be 1 to {MAX_TEXT} bytes"));
        }
        if matches!(draft.kind, Some(ValueMatchDraft::Prefix(_))) {
            v.add("prefix", "is not a condition for query parameters");
        }
        match ValueMatch::parse(draft.kind.as_ref()) {
            Ok(value) if v.is_empty() => Ok(Self { name: draft.name.clone(), value }),
            Ok(_) => Err(v),
            Err(e) => {
                v.nest("", e);
                Err(v)
            }
        }
    }

    /// What it asks for, in words.
    pub(crate) fn words(&self) -> String {
        format!("{} {}", self.name, self.value.words())
    }

    pub(crate) fn holds(&self, query: Option<&str>) -> bool {
        let found =
            form_urlencoded::parse(query.unwrap_or_default().as_bytes()).find(|(k, _)| *k == self.name);
        self.value.holds(found.as_ref().map(|(_, v)| v.as_bytes()))
    }
}

/// Conditions that must all hold.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    path: PathMatch,
    methods: Vec<String>,
    headers: Vec<HeaderMatch>,
    query: Vec<QueryMatch>,
}

impl RouteMatch {
    /// Every request.
    pub(super) fn any() -> Self {
        Self { path: PathMatch::Prefix(Arc::default()), methods: vec![], headers: vec![], query: vec![] }
    }

    pub(super) fn parse(draft: &MatchDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let path = match draft.path.as_ref().map(PathMatch::parse) {
            None => PathMatch::Prefix(Arc::default()),
            Some(Ok(path)) => path,
            Some(Err(e)) => {
                v.nest("path", e);
                PathMatch::Prefix(Arc::default())
            }
        };
        for (what, len) in
            [("methods", draft.methods.len()), ("headers", draft.headers.len()), ("query", draft.query.len())]
        {
            if len > 16 {
                v.add(what, "must have at most 16 entries");
            }
        }
        for (i, m) in draft.methods.iter().enumerate() {
            if m.is_empty() || m.len() > 32 || !m.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
                v.add(format!("methods[{i}]"), "must be a method in capitals, as GET");
            }
        }
        let headers = parse_each(&mut v, "headers", &draft.headers, HeaderMatch::parse);
        let query = parse_each(&mut v, "query", &draft.query, QueryMatch::parse);
        v.into_result()?;
        Ok(Self { path, methods: draft.methods.clone(), headers, query })
    }

    /// The condition on the path.
    pub fn path(&self) -> &PathMatch {
        &self.path
    }

    /// Methods that it names; none: any will do.
    pub(crate) fn methods(&self) -> &[String] {
        &self.methods
    }

    pub(crate) fn method_holds(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|m| m == method)
    }

    pub(crate) fn headers(&self) -> &[HeaderMatch] {
        &self.headers
    }

    pub(crate) fn query(&self) -> &[QueryMatch] {
        &self.query
    }

    /// Whether all but the path holds.
    pub(crate) fn rest_holds(&self, head: &impl RequestHead) -> bool {
        self.method_holds(head.method())
            && self.headers.iter().all(|h| h.holds(head))
            && self.query.iter().all(|q| q.holds(head.query()))
    }

    /// Whether there are no conditions besides the path.
    pub(crate) fn is_path_alone(&self) -> bool {
        self.weight() == (0, 0, 0)
    }

    /// How many conditions there are, besides the path: methods named (0 or 1), headers, query.
    pub(crate) fn weight(&self) -> (usize, usize, usize) {
        (usize::from(!self.methods.is_empty()), self.headers.len(), self.query.len())
    }
}

/// Parses every element, noting the faults under `field[i]`.
pub(super) fn parse_each<D, T>(
    v: &mut Violations,
    field: &str,
    drafts: &[D],
    parse: impl Fn(&D) -> Result<T, Violations>,
) -> Vec<T> {
    let mut out = Vec::with_capacity(drafts.len());
    for (i, draft) in drafts.iter().enumerate() {
        match parse(draft) {
            Ok(value) => out.push(value),
            Err(e) => v.nest(&format!("{field}[{i}]"), e),
        }
    }
    out
}
