//! Where a request wants to go, as hyper read it: its target and its Host, in one form.

use std::borrow::Cow;

use hotswap_matcher::{HeadSize, Host, parse_host};
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use crate::headers::Seen;
use crate::reason::Reason;

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

    fn size(&self) -> HeadSize {
        let headers = &self.parts.headers;
        let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let target = self.parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
        HeadSize { bytes: fields + target, headers: headers.len() }
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
        // Without a scheme it is a host alone, which only CONNECT asks for.
        if !matches!(parts.uri.scheme_str(), Some("http" | "https")) {
            return Err(Reason::BadRequest);
        }
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

/// Writes a head as it came, once it is admitted.
pub(super) fn write(parts: &Parts, out: &mut Vec<u8>) {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    for piece in [parts.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in &parts.headers {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(piece);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Reads the Host header.
pub(super) fn host(headers: &HeaderMap) -> Result<Host<'_>, Reason> {
    let Some(value) = headers.get(HOST) else {
        return Ok(Host { name: Cow::Borrowed(""), port: None });
    };
    let text = value.to_str().map_err(|_| Reason::BadRequest)?;
    parse_host(text).ok_or(Reason::BadRequest)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(refused("GET", "a", &["a"]), Some(Reason::BadRequest));
        assert_eq!(refused("GET", "ftp://a/", &["a"]), Some(Reason::BadRequest));
        assert_eq!(refused("CONNECT", "a:80", &["a"]), Some(Reason::Unsupported));
    }
}
