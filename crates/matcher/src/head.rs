//! What a matcher looks at in a request.

use http::HeaderName;

/// The head of a request, however an engine holds it.
pub trait RequestHead {
    /// The method, as sent.
    fn method(&self) -> &str;
    /// The host in lower case, without port and trailing dot; empty: none.
    fn host(&self) -> &str;
    /// The path, as sent, without the query. Begins with "/".
    fn path(&self) -> &str;
    /// The query, as sent, without "?".
    fn query(&self) -> Option<&str>;
    /// Calls `visit` for each value of a header, in order.
    fn header(&self, name: &HeaderName, visit: &mut dyn FnMut(&[u8]));
    /// How large it is, where that is known.
    fn size(&self) -> HeadSize {
        HeadSize::default()
    }
}

/// How large a head is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadSize {
    /// Names and values of its headers and its target, in bytes.
    pub bytes: usize,
    /// Its headers.
    pub headers: usize,
}

/// What a table holds of a route: its name and spec, and whatever the caller keeps beside them.
pub trait Routed {
    /// The route's name.
    fn name(&self) -> &hotswap_core::RouteName;
    /// The route's spec.
    fn spec(&self) -> &crate::RouteSpec;
    /// Which revision of a route under a rollout it is; `None`: there is no other.
    fn arm(&self) -> Option<Arm> {
        None
    }
}

/// Which of two revisions of a resource a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arm {
    /// The one that is live.
    Baseline,
    /// The one that a rollout brings.
    Candidate,
}

impl Arm {
    /// Its name, as people and metrics see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Candidate => "candidate",
        }
    }
}
