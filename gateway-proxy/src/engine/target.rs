//! Where a request wants to go: its target and its Host, in one form.

use std::borrow::Cow;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use crate::headers::Seen;
use crate::reason::Reason;

/// The host of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Host<'a> {
    /// In lower case, without port and trailing dot; empty: none.
    pub(super) name: Cow<'a, str>,
    /// As written beside the name.
    pub(super) port: Option<u16>,
}

/// A request's head as the matcher looks at it.
pub(super) struct Head<'a> {
    pub(super) parts: &'a Parts,
    pub(super) host: &'a str,
}

impl hotswap_matcher::RequestHead for Head<'_> {
    fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    fn host(&self) -> &str {
        self.host
    }

    fn path(&self) -> &str {
        self.parts.uri.path()
    }

    fn query(&self) -> Option<&str> {
        self.parts.uri.query()
    }

    fn header(&self, name: &HeaderName, visit: &mut dyn FnMut(&[u8])) {
        self.parts.headers.get_all(name).iter().for_each(|v| visit(v.as_bytes()));
    }
}

/// Brings the target into origin form: an absolute one moves its authority to Host, where RFC 9112 section
/// 3.2.2 wants it. Says what is wrong with a head that hyper let through.
pub(super) fn admit(parts: &mut Parts, seen: &mut Seen) -> Result<(), Reason> {
    if parts.method == Method::CONNECT {
        return Err(Reason::Unsupported);
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() || (first.is_none() && parts.version != Version::HTTP_10) {
        return Err(Reason::BadRequest);
    }
    if let Some(authority) = parts.uri.authority() {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Reason::BadRequest)?;
        parts.headers.insert(HOST, host);
        seen.host = true;
        let origin = parts.uri.path_and_query().cloned();
        parts.uri = origin.map(Uri::from).unwrap_or_default();
    }
    let path = parts.uri.path();
    let about_the_server = path == "*" && parts.method == Method::OPTIONS;
    if !path.starts_with('/') && !about_the_server {
        return Err(Reason::BadRequest);
    }
    Ok(())
}

/// Reads the Host header.
pub(super) fn host(headers: &HeaderMap) -> Result<Host<'_>, Reason> {
    let Some(value) = headers.get(HOST) else {
        return Ok(Host { name: Cow::Borrowed(""), port: None });
    };
    let text = value.to_str().map_err(|_| Reason::BadRequest)?;
    parse_host(text).ok_or(Reason::BadRequest)
}

fn parse_host(text: &str) -> Option<Host<'_>> {
    let (name, port) = match text.rsplit_once(':') {
        // An IPv6 address has colons of its own, in brackets.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
    };
    let inner = name.strip_prefix('[').map(|n| n.strip_suffix(']'));
    let sound = match inner {
        Some(None) => false,
        Some(Some(v6)) => v6.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
        None => name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    if !sound {
        return None;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let lower = !name.bytes().any(|b| b.is_ascii_uppercase());
    let name = if lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) };
    Some(Host { name, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_address_with_a_port_or_without() {
        let of = |text| parse_host(text).map(|h| (h.name.into_owned(), h.port));
        assert_eq!(of("Shop.Example.:8080"), Some(("shop.example".into(), Some(8080))));
        assert_eq!(of("[::1]:80"), Some(("[::1]".into(), Some(80))));
        assert_eq!(of("[::1]"), Some(("[::1]".into(), None)));
        assert_eq!(of("a:"), Some(("a".into(), None)));
        assert_eq!(of(""), Some((String::new(), None)));
        for bad in ["a b", "user@a", "a/b", "a:b", "a:99999", "a:+1", "::1", "[::1", "a,b", "a?b"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    fn parts(method: &str, uri: &str, hosts: &[&'static str]) -> (Parts, Seen) {
        let mut request = http::Request::builder().method(method).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let parts = request.body(()).expect("request").into_parts().0;
        let seen = Seen::of(&parts.headers);
        (parts, seen)
    }

    #[test]
    fn an_absolute_target_decides_over_the_host_header() {
        let (mut parts, mut seen) = parts("GET", "http://real.example:81/a?b=c", &["liar.example"]);
        admit(&mut parts, &mut seen).expect("sound");
        assert_eq!(parts.uri, "/a?b=c");
        assert_eq!(parts.headers[HOST], "real.example:81");
    }

    #[test]
    fn targets_and_hosts_that_a_backend_could_read_otherwise_are_refused() {
        let refused = |method, uri, hosts: &[&'static str]| {
            let (mut parts, mut seen) = parts(method, uri, hosts);
            admit(&mut parts, &mut seen).err()
        };
        assert_eq!(refused("GET", "/", &["a"]), None);
        assert_eq!(refused("OPTIONS", "*", &["a"]), None);
        assert_eq!(refused("GET", "*", &["a"]), Some(Reason::BadRequest));
        assert_eq!(refused("GET", "/", &[]), Some(Reason::BadRequest));
        assert_eq!(refused("GET", "/", &["a", "a"]), Some(Reason::BadRequest));
        assert_eq!(refused("CONNECT", "a:80", &["a"]), Some(Reason::Unsupported));
    }
}
