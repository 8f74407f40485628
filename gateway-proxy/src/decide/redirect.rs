//! Redirects.

use hotswap_matcher::{Redirect, RequestHead, Scheme};
use http::{HeaderValue, StatusCode};

use super::{Authority, path};

/// The status and the Location. `None`: the request has no host to go on with, or what it sent can't stand in
/// a header.
pub(super) fn reply(
    redirect: &Redirect,
    head: &impl RequestHead,
    from: Authority<'_>,
    prefix_len: Option<usize>,
) -> Option<(StatusCode, HeaderValue)> {
    let host = redirect.host.as_deref().unwrap_or(from.host);
    if host.is_empty() {
        return None;
    }
    let moved = redirect.scheme.is_some() || redirect.host.is_some();
    let port = redirect.port.or(if moved { None } else { from.port });
    let scheme = match redirect.scheme {
        Some(Scheme::Https) => "https",
        None if from.secure => "https",
        Some(Scheme::Http) | None => "http",
    };
    let query = if redirect.drop_query { None } else { head.query() };
    let target = match &redirect.path {
        Some(rewrite) => path::rewritten(rewrite, head.path(), query, prefix_len),
        None => match query {
            Some(query) => format!("{}?{query}", head.path()),
            None => head.path().to_owned(),
        },
    };
    let location = match port {
        Some(port) => format!("{scheme}://{host}:{port}{target}"),
        None => format!("{scheme}://{host}{target}"),
    };
    Some((redirect.status, HeaderValue::try_from(location).ok()?))
}
