//! A client's connection: what our reading makes of it, and what hyper's does. A backend behind ours must see the
//! first of what it would see behind hyper's, and nothing else.

use hotswap_gateway::headers::{self, Seen as SeenFields};
use hotswap_h1::body::{Around, Pipe};
use hotswap_h1::framing::{self, Framing};
use hotswap_h1::read::{self, HeadLimits};
use hotswap_h1::write::Coding;
use hotswap_h1::{Announced, Head, Known};
use hotswap_matcher::parse_host;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::request::Parts;
use http::{Method, Uri, Version};

use crate::case::{Case, shown};
use crate::oracle::{self, Message};

const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, headers: 100 };
const CLIENT: &str = "192.0.2.1";
const BACKEND: &str = "backend";

/// What a backend sees of a request.
#[derive(Debug, PartialEq)]
struct Seen {
    method: Method,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
}

/// A client's connection, in pieces.
pub fn requests(data: &[u8]) {
    let Some(case) = Case::of(data) else { return };
    let pieces = case.pieces();
    let (out, count) = forwarded(&pieces);
    let ours: Vec<Seen> = oracle::requests(&[&out]).into_iter().filter_map(seen).collect();
    assert_eq!(ours.len(), count, "{} went out as {}", shown(case.bytes), shown(&out));
    let theirs = behind_hyper(&pieces);
    assert!(ours.len() <= theirs.len(), "{}\nours {ours:#?}\ntheirs {theirs:#?}", shown(case.bytes));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!(is_same(ours, theirs), "{}\nours {ours:#?}\ntheirs {theirs:#?}", shown(case.bytes));
    }
}

/// Trailers aside: hyper takes more of them from a client than a backend gets.
fn is_same(ours: &Seen, theirs: &Seen) -> bool {
    let same = (&ours.method, &ours.target, &ours.fields, &ours.body)
        == (&theirs.method, &theirs.target, &theirs.fields, &theirs.body);
    same && ours.trailers.iter().all(|t| theirs.trailers.contains(t))
}

// === ours ===

/// The requests that come whole, as they go out to a backend one behind the other; and how many.
fn forwarded(pieces: &[&[u8]]) -> (Vec<u8>, usize) {
    let (mut early, mut all, mut count) = (Vec::new(), Vec::new(), 0);
    // What is on its way: its body, and what of it has gone out.
    let mut open: Option<(Pipe, Vec<u8>, bool)> = None;
    for piece in pieces {
        early.extend_from_slice(piece);
        loop {
            if open.is_none() {
                let Some(begun) = begin(&mut early) else { return (all, count) };
                open = begun;
            }
            let Some((pipe, out, lasts)) = &mut open else { break };
            let mut around = Around::default();
            let Ok(taken) = pipe.pass(&mut early, &mut around) else { return (all, count) };
            out.extend_from_slice(&around.before);
            out.extend_from_slice(early.get(taken.from..taken.to).unwrap_or_default());
            out.extend_from_slice(&around.behind);
            early.drain(..taken.used);
            if !pipe.is_over() {
                break;
            }
            all.append(out);
            count += 1;
            if !*lasts {
                return (all, count);
            }
            open = None;
        }
    }
    (all, count)
}

type Begun = Option<(Pipe, Vec<u8>, bool)>;

/// Begins a request as the engine does. `Some(None)`: its head has not come; `None`: it is refused.
fn begin(early: &mut Vec<u8>) -> Option<Begun> {
    let mut head = Head::default();
    let Some(len) = read::request(early, LIMITS, &mut head).ok()? else { return Some(None) };
    let lasts = framing::lasts(&head);
    let framing = framing::of_request(&head).ok()?;
    let host = std::str::from_utf8(head.host().unwrap_or_default()).ok().and_then(parse_host);
    if head.method() == "CONNECT" || host.is_none() {
        return None;
    }
    let coding = if framing == Framing::Chunked { Coding::Chunked } else { Coding::Plain };
    let pipe = Pipe::new(framing, coding, head.trailer_names());
    head.strip_request();
    head.announce_request(Announced { client: CLIENT, scheme: "http" });
    if !head.has(Known::Host) {
        head.push(Known::Host.name(), BACKEND.as_bytes());
    }
    let mut out = Vec::new();
    head.write_request(None, &mut out);
    early.drain(..len);
    Some(Some((pipe, out, lasts)))
}

// === hyper's ===

/// What a backend sees behind the engine on hyper, to the first request that is refused.
fn behind_hyper(pieces: &[&[u8]]) -> Vec<Seen> {
    oracle::requests(pieces).into_iter().map_while(admit).collect()
}

/// What that engine does with a request.
fn admit(mut message: Message<Parts>) -> Option<Seen> {
    let Parts { method, uri, version, headers, .. } = &mut message.head;
    let hosts = headers.get_all(HOST).iter().count();
    if *method == Method::CONNECT || hosts > 1 || (hosts == 0 && *version != Version::HTTP_10) {
        return None;
    }
    if let Some(authority) = uri.authority() {
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return None;
        }
        headers.insert(HOST, HeaderValue::from_str(authority.as_str()).ok()?);
        *uri = uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
    }
    let path = uri.path();
    let about_the_server = path == "*" && *method == Method::OPTIONS;
    if !path.starts_with('/') && !about_the_server {
        return None;
    }
    let host = headers.get(HOST).cloned();
    parse_host(host.as_ref().map_or(Ok(""), HeaderValue::to_str).ok()?)?;
    let fields = SeenFields::of(headers);
    headers::strip_request(headers, fields);
    let client = HeaderValue::from_static(CLIENT);
    headers::announce_request(headers, fields, &client, host.as_ref(), *version);
    if host.is_none() {
        headers.insert(HOST, HeaderValue::from_static(BACKEND));
    }
    seen(message)
}

// === both ===

/// `None`: it did not come whole.
fn seen(message: Message<Parts>) -> Option<Seen> {
    let Message { head, body, trailers, whole } = message;
    let mut fields = oracle::sorted(&head.headers);
    // "0" is no length, and hyper writes none for no body.
    fields.retain(|(name, value)| name != CONTENT_LENGTH.as_str() || value != b"0");
    let (method, target) = (head.method, head.uri.to_string());
    whole.then(|| Seen { method, target, fields, body, trailers: oracle::sorted(&trailers) })
}
