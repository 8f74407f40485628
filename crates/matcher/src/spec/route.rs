//! Routes.

use std::sync::Arc;

use hotswap_core::Violations;

use super::condition::parse_each;
use super::{
    Action, Forward, HeaderEdits, HostPattern, PathMatch, PathRewrite, Redirect, RouteMatch, TrafficSpec,
    check_meta,
};
use crate::draft::RouteDraft;

/// A validated route.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    hosts: Vec<HostPattern>,
    matches: Vec<RouteMatch>,
    priority: i32,
    action: Action,
    request_headers: HeaderEdits,
    response_headers: HeaderEdits,
    traffic: Option<Arc<TrafficSpec>>,
}

impl RouteSpec {
    /// Checks a draft. The faults name its fields, as "matches[0].path.regex". Whether its pool exists is
    /// not looked at here.
    pub fn parse(draft: &RouteDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        check_meta(&mut v, &draft.display_name, &draft.labels);
        for (what, len) in [("hosts", draft.hosts.len()), ("matches", draft.matches.len())] {
            if len > 64 {
                v.add(what, "must have at most 64 entries");
            }
        }
        let host = |h: &String| HostPattern::parse(h).map_err(|m| Violations::one("", m));
        let hosts = parse_each(&mut v, "hosts", &draft.hosts, host);
        let mut matches = parse_each(&mut v, "matches", &draft.matches, RouteMatch::parse);
        if draft.matches.is_empty() {
            matches.push(RouteMatch::any());
        }
        if !(-1_000_000..=1_000_000).contains(&draft.priority) {
            v.add("priority", "must be -1,000,000 to 1,000,000");
        }
        let action = action(&mut v, draft);
        if let Some(action) = &action {
            check_prefix_rewrite(&mut v, action, &matches);
        }
        let mut edits = |field: &str, draft: Option<&_>| {
            let parsed = draft.map_or(Ok(HeaderEdits::default()), HeaderEdits::parse);
            parsed.map_err(|e| v.nest(field, e)).unwrap_or_default()
        };
        let request_headers = edits("request_headers", draft.request_headers.as_ref());
        let response_headers = edits("response_headers", draft.response_headers.as_ref());
        let traffic = draft.traffic.as_deref().map_or(Ok(None), TrafficSpec::parse);
        let traffic = traffic.map_err(|e| v.nest("traffic", e)).ok().flatten().map(Arc::new);
        let has_mirror = traffic.as_ref().is_some_and(|t| t.mirror.is_some());
        if has_mirror && matches!(action, Some(Action::Redirect(_))) {
            v.add("traffic.mirror", "goes with forward alone: a redirect has nothing to copy");
        }
        let has_compression = traffic.as_ref().is_some_and(|t| t.compression.is_some());
        if has_compression && matches!(action, Some(Action::Redirect(_))) {
            v.add("traffic.compression", "goes with forward alone: a redirect has no body");
        }
        match action {
            Some(action) if v.is_empty() => Ok(Self {
                hosts,
                matches,
                priority: draft.priority,
                action,
                request_headers,
                response_headers,
                traffic,
            }),
            _ => Err(v),
        }
    }

    /// Hosts served; none: every host.
    pub fn hosts(&self) -> &[HostPattern] {
        &self.hosts
    }

    /// Conditions, of which one must hold; at least one.
    pub fn matches(&self) -> &[RouteMatch] {
        &self.matches
    }

    /// Higher first.
    pub fn priority(&self) -> i32 {
        self.priority
    }

    /// What is done with a request.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// Edits of the request's headers.
    pub fn request_headers(&self) -> &HeaderEdits {
        &self.request_headers
    }

    /// Edits of the response's headers.
    pub fn response_headers(&self) -> &HeaderEdits {
        &self.response_headers
    }

    /// What is done with requests beside the action; `None`: nothing.
    pub fn traffic(&self) -> Option<&Arc<TrafficSpec>> {
        self.traffic.as_ref()
    }
}

fn action(v: &mut Violations, draft: &RouteDraft) -> Option<Action> {
    match (&draft.forward, &draft.redirect) {
        (Some(forward), None) => {
            Forward::parse(forward).map(Action::Forward).map_err(|e| v.nest("forward", e)).ok()
        }
        (None, Some(redirect)) => {
            let redirect = Redirect::parse(redirect).map_err(|e| v.nest("redirect", e)).ok()?;
            if redirect.changes_nothing() {
                v.add("redirect", "must change the scheme, host, port, path or query");
            }
            Some(Action::Redirect(redirect))
        }
        (None, None) => {
            v.add("", "must have an action: forward or redirect");
            None
        }
        (Some(_), Some(_)) => {
            v.add("redirect", "must not stand beside forward: a route has one action");
            None
        }
    }
}

/// A prefix can be replaced only where every match is by prefix.
fn check_prefix_rewrite(v: &mut Violations, action: &Action, matches: &[RouteMatch]) {
    let (field, path) = match action {
        Action::Forward(f) => ("forward.rewrite.replace_prefix", &f.rewrite.path),
        Action::Redirect(r) => ("redirect.replace_prefix", &r.path),
    };
    let by_prefix = matches.iter().all(|m| matches!(m.path(), PathMatch::Prefix(_)));
    if matches!(path, Some(PathRewrite::Prefix(_))) && !by_prefix {
        v.add(field, "needs every match of the route to be by prefix");
    }
}
