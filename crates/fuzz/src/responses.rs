//! A backend's connection: what a client sees of the response behind our engine, and behind the one on hyper.

use hotswap_gateway::headers::{self, Seen as SeenFields};
use hotswap_h1::Head;
use hotswap_h1::body::{Around, Pipe};
use hotswap_h1::framing;
use hotswap_h1::read::{self, HeadLimits};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{Method, StatusCode};

use crate::case::{Case, shown};
use crate::oracle::{self, Message};

const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, headers: 100 };

/// What a client sees of a response.
#[derive(Debug, PartialEq)]
struct Seen {
    status: StatusCode,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    whole: bool,
}

/// What a backend sends after a request: the first byte says which, and how the bytes come.
pub fn responses(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let method = if choice & 1 == 0 { Method::GET } else { Method::HEAD };
    let Some(case) = Case::of(rest) else { return };
    let pieces = case.pieces();
    let Some((out, whole)) = passed_back(&pieces, method == Method::HEAD) else { return };
    let Some(ours) = oracle::response(&[&out], &method).map(seen) else {
        panic!("{} went out as {}", shown(case.bytes), shown(&out));
    };
    assert_eq!(ours.whole, whole, "{} went out as {}", shown(case.bytes), shown(&out));
    let theirs = oracle::response(&pieces, &method).map(behind_hyper);
    let Some(theirs) = theirs else {
        panic!("{}\nours {ours:#?}\ntheirs none", shown(case.bytes));
    };
    assert_eq!((ours.status, &ours.fields), (theirs.status, &theirs.fields), "{}", shown(case.bytes));
    if ours.whole {
        assert!(theirs.whole && ours.body == theirs.body, "{}", shown(case.bytes));
    } else {
        // Each cuts where it finds out.
        let same = ours.body.starts_with(&theirs.body) || theirs.body.starts_with(&ours.body);
        assert!(same, "{}", shown(case.bytes));
    }
}

/// What goes out to the client, and whether it is whole; `None`: an answer of the gateway's own does.
fn passed_back(pieces: &[&[u8]], to_head: bool) -> Option<(Vec<u8>, bool)> {
    let (mut early, mut out, mut body) = (Vec::new(), Vec::new(), None);
    for piece in pieces {
        early.extend_from_slice(piece);
        if body.is_none() {
            body = begin(&mut early, to_head, &mut out)?;
        }
        let Some(body) = &mut body else { continue };
        let mut around = Around::default();
        let Ok(taken) = body.pass(&mut early, &mut around) else { return Some((out, false)) };
        out.extend_from_slice(&around.before);
        out.extend_from_slice(early.get(taken.from..taken.to).unwrap_or_default());
        out.extend_from_slice(&around.behind);
        early.drain(..taken.used);
        if body.is_over() {
            return Some((out, true));
        }
    }
    let mut around = Around::default();
    let whole = body?.peer_ended(&mut around);
    out.extend_from_slice(&around.behind);
    Some((out, whole))
}

/// Begins the response as the engine does, behind those that come before it. `Some(None)`: its head has not come.
fn begin(early: &mut Vec<u8>, to_head: bool, out: &mut Vec<u8>) -> Option<Option<Pipe>> {
    let mut head = Head::default();
    loop {
        let Some(len) = read::response(early, LIMITS, &mut head).ok()? else { return Some(None) };
        early.drain(..len);
        match head.status() {
            101 => return None,
            100..200 => {}
            _ => break,
        }
    }
    let (framing, _) = framing::of_response(&head, to_head)?;
    let trailers = head.trailer_names();
    head.strip_response();
    head.announce();
    let (coding, _) = head.frame_response(framing, false);
    head.write_response(false, out);
    Some(Some(Pipe::new(framing, coding, trailers)))
}

fn behind_hyper(mut message: Message<Parts>) -> Seen {
    let fields = SeenFields::of(&message.head.headers);
    headers::strip_response(&mut message.head.headers, fields);
    headers::announce(&mut message.head.headers, message.head.version);
    seen(message)
}

/// The framing aside: it is the engine's business.
fn seen(message: Message<Parts>) -> Seen {
    let Message { head, body, whole, .. } = message;
    let mut fields = oracle::sorted(&head.headers);
    fields.retain(|(name, _)| name != CONTENT_LENGTH.as_str() && name != TRANSFER_ENCODING.as_str());
    Seen { status: head.status, fields, body, whole }
}
