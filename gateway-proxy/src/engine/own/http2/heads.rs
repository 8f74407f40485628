//! Heads, from h2 and to it.

use std::io;

use bytes::Bytes;
use h2::ext::Protocol;
use hotswap_h1::read::{self, HeadLimits};
use hotswap_h1::told::{self, Told};
use hotswap_h1::{Head, Known, Refused};
use http::uri::{self, Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, request};

/// Fields behind a body, at most: those of the coding in chunks.
const MAX_TRAILERS: usize = 100;

pub(in crate::engine::own) fn told(fields: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// Makes a request's head.
pub(super) fn request(
    parts: &request::Parts,
    has_body: bool,
    limits: HeadLimits,
    head: &mut Head,
) -> Result<(), Refused> {
    let protocol = parts.extensions.get::<Protocol>().map(Protocol::as_str);
    let what = Told {
        method: parts.method.as_str(),
        protocol,
        authority: parts.uri.authority().map(Authority::as_str),
        target: parts.uri.path_and_query().map_or("", PathAndQuery::as_str),
        // What follows a wish to switch is of the other protocol.
        has_body: has_body && protocol.is_none(),
    };
    told::request(&what, told(&parts.headers), limits, head)
}

/// Makes what follows a body.
pub(in crate::engine::own) fn trailers(fields: &HeaderMap) -> Result<Head, Refused> {
    let mut head = Head::default();
    told::trailers(told(fields), &mut head)?;
    Ok(head)
}

/// A request's head, as h2 takes it; the target is `path`, or the one that came.
pub(in crate::engine) fn request_to(
    head: &Head,
    path: Option<&str>,
    scheme: Scheme,
) -> io::Result<Request<()>> {
    let authority = head.first(Known::Host).unwrap_or_default();
    let mut parts = uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(Authority::try_from(authority).map_err(unfit)?);
    parts.path_and_query = Some(PathAndQuery::try_from(path.unwrap_or(head.target())).map_err(unfit)?);
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method().as_bytes()).map_err(unfit)?;
    *request.uri_mut() = Uri::from_parts(parts).map_err(unfit)?;
    let fields = fields_but(head, |name| {
        matches!(
            Known::of(name),
            Known::Host
                | Known::Connection
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::TransferEncoding
                | Known::Upgrade
        )
    })?;
    *request.headers_mut() = fields;
    Ok(request)
}

/// A response's head, as h2 takes it.
pub(super) fn response(head: &Head) -> io::Result<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status()).map_err(unfit)?;
    *response.headers_mut() = fields(head)?;
    Ok(response)
}

/// Fields that stand in lines, as h2 takes them.
pub(in crate::engine::own) fn lines(lines: &[u8]) -> io::Result<HeaderMap> {
    let mut head = Head::default();
    read::trailers(lines, MAX_TRAILERS, &mut head)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    fields(&head)
}

pub(super) fn fields(head: &Head) -> io::Result<HeaderMap> {
    fields_but(head, |_| false)
}

/// All values lie in one piece of memory.
fn fields_but(head: &Head, left_out: impl Fn(&[u8]) -> bool) -> io::Result<HeaderMap> {
    let lines = Bytes::copy_from_slice(head.lines());
    let mut fields = HeaderMap::with_capacity(head.len());
    for (name, place) in head.places().filter(|(name, _)| !left_out(name)) {
        let name = HeaderName::from_lowercase(name).map_err(unfit)?;
        let value = HeaderValue::from_maybe_shared(lines.slice(place)).map_err(unfit)?;
        fields.append(name, value);
    }
    Ok(fields)
}

fn unfit(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_goes_to_h2_and_comes_back() {
        let mut head = Head::default();
        head.respond(StatusCode::NOT_FOUND);
        for (name, value) in [("x-a", "1"), ("x-gone", "0"), ("set-cookie", "a"), ("set-cookie", "b")] {
            head.push(name, value.as_bytes());
        }
        head.remove_named(b"x-gone");
        let response = response(&head).expect("fits");
        assert_eq!(response.status(), 404);
        let back = trailers(response.headers()).expect("sound");
        assert_eq!(back.iter().collect::<Vec<_>>(), head.iter().collect::<Vec<_>>());
    }
}
