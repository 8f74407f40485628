//! What a proxy does to headers: takes away those of one connection, says that it was there, and applies the
//! route's edits.

use hotswap_matcher::HeaderEdits;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderName, HeaderValue, Version};

/// The client's address, and those of the proxies before this one.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme that the client used.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The Host that the client sent.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// What is said of the client's certificate.
const CLIENT_CERT: [&str; 3] = ["client-cert", "client-cert-chain", "x-forwarded-client-cert"];
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const HTTP: HeaderValue = HeaderValue::from_static("http");
const VIA_11: HeaderValue = HeaderValue::from_static("1.1 hotswap");
const VIA_10: HeaderValue = HeaderValue::from_static("1.0 hotswap");

/// Headers that concern only the connection they came on, as one look through the names finds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Connection.
    pub connection: bool,
    /// Keep-Alive or Proxy-Connection.
    pub keep_alive: bool,
    /// TE.
    pub te: bool,
    /// Transfer-Encoding.
    pub transfer_encoding: bool,
    /// Upgrade.
    pub upgrade: bool,
    /// Expect.
    pub expect: bool,
    /// X-Forwarded-For.
    pub forwarded_for: bool,
    /// Client-Cert, or another that speaks of the client's certificate.
    pub client_cert: bool,
    /// Host.
    pub host: bool,
    /// Content-Length.
    pub content_length: bool,
}

impl Seen {
    /// Looks through the names of a head.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in headers.keys() {
            match *name {
                HOST => seen.host = true,
                CONTENT_LENGTH => seen.content_length = true,
                CONNECTION => seen.connection = true,
                TE => seen.te = true,
                TRANSFER_ENCODING => seen.transfer_encoding = true,
                UPGRADE => seen.upgrade = true,
                EXPECT => seen.expect = true,
                _ => match name.as_str() {
                    "keep-alive" | "proxy-connection" => seen.keep_alive = true,
                    "x-forwarded-for" => seen.forwarded_for = true,
                    name if CLIENT_CERT.contains(&name) => seen.client_cert = true,
                    _ => {}
                },
            }
        }
        seen
    }
}

/// Whether the body's coding is one that the gateway can pass on: chunked and nothing else.
pub fn is_plain_chunked(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    let only = values.next().filter(|_| values.next().is_none());
    only.is_some_and(|v| v.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Takes the headers of the connection out of a request, those that Connection names included. The framing
/// stays: a chunked body is said to be chunked, and trailers may come back if the client takes them.
pub fn strip_request(headers: &mut HeaderMap, seen: Seen) {
    let trailers = seen.te && takes_trailers(headers);
    let chunked = seen.transfer_encoding;
    strip(headers, seen);
    if chunked {
        headers.insert(TRANSFER_ENCODING, CHUNKED);
    }
    if trailers {
        headers.insert(TE, TRAILERS);
    }
}

/// Takes the headers of the connection out of a response. The framing goes too: it is the engine's business.
pub fn strip_response(headers: &mut HeaderMap, seen: Seen) {
    if seen.transfer_encoding && seen.content_length {
        // RFC 9112 section 6.3: the transfer coding counts, and the length must go.
        headers.remove(CONTENT_LENGTH);
    }
    strip(headers, seen);
}

fn strip(headers: &mut HeaderMap, seen: Seen) {
    if seen.connection {
        strip_named(headers);
    }
    if seen.keep_alive {
        headers.remove(KEEP_ALIVE);
        headers.remove(PROXY_CONNECTION);
    }
    if seen.te {
        headers.remove(TE);
    }
    if seen.transfer_encoding {
        headers.remove(TRANSFER_ENCODING);
    }
    if seen.upgrade {
        headers.remove(UPGRADE);
        headers.remove(HTTP2_SETTINGS);
    }
}

/// Takes out Connection and what it names. The framing of the body and the host are not for a peer to name.
fn strip_named(headers: &mut HeaderMap) {
    // Nearly always it is one "keep-alive" or "close", which names nothing.
    let mut values = headers.get_all(CONNECTION).iter();
    let plain = values.next().is_some_and(|v| is_connection_option(v.as_bytes())) && values.next().is_none();
    if plain {
        headers.remove(CONNECTION);
        return;
    }
    let named: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    headers.remove(CONNECTION);
    for value in &named {
        strip_tokens(headers, value);
    }
}

fn is_connection_option(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(b"close") || token.eq_ignore_ascii_case(b"keep-alive")
}

fn strip_tokens(headers: &mut HeaderMap, value: &HeaderValue) {
    for token in value.as_bytes().split(|b| *b == b',') {
        let token = token.trim_ascii();
        if token.is_empty() || is_connection_option(token) {
            continue;
        }
        if let Ok(name) = HeaderName::from_bytes(token)
            && !matches!(name, CONTENT_LENGTH | TRANSFER_ENCODING | HOST)
        {
            headers.remove(name);
        }
    }
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    let tokens = headers.get_all(TE).into_iter().flat_map(|v| v.as_bytes().split(|b| *b == b','));
    tokens.into_iter().any(|t| {
        let name = t.split(|b| *b == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"trailers")
    })
}

/// Says where the request came from. What a client claims of the scheme and the host is replaced, and what it claims of
/// its certificate is taken out; the chain of addresses grows by the client's.
pub fn announce_request(
    headers: &mut HeaderMap,
    seen: Seen,
    client: &HeaderValue,
    host: Option<&HeaderValue>,
    version: Version,
) {
    if seen.forwarded_for {
        append_forwarded_for(headers, client);
    } else {
        headers.insert(X_FORWARDED_FOR, client.clone());
    }
    if seen.client_cert {
        CLIENT_CERT.iter().for_each(|name| drop(headers.remove(*name)));
    }
    headers.insert(X_FORWARDED_PROTO, HTTP);
    match host {
        Some(host) => headers.insert(X_FORWARDED_HOST, host.clone()),
        None => headers.remove(X_FORWARDED_HOST),
    };
    announce(headers, version);
}

/// Adds this hop to Via: the version is the one that the message came with.
pub fn announce(headers: &mut HeaderMap, version: Version) {
    headers.append(VIA, if version == Version::HTTP_10 { VIA_10 } else { VIA_11 });
}

/// One line, since many backends read only the first.
fn append_forwarded_for(headers: &mut HeaderMap, client: &HeaderValue) {
    let mut chain = Vec::new();
    for value in headers.get_all(X_FORWARDED_FOR) {
        chain.extend_from_slice(value.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(client.as_bytes());
    // The parts were header values, so the whole is one.
    let value = HeaderValue::from_bytes(&chain).unwrap_or_else(|_| client.clone());
    headers.insert(X_FORWARDED_FOR, value);
}

/// Applies a route's edits: remove, set, add.
pub fn edit(headers: &mut HeaderMap, edits: &HeaderEdits) {
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, value) in &edits.set {
        headers.insert(name.clone(), value.clone());
    }
    for (name, value) in &edits.add {
        headers.append(name.clone(), value.clone());
    }
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
