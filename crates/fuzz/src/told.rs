//! Heads that are told field by field, as HTTP/2 does: what is taken is written as HTTP/1.1, and reads as the same
//! message and nothing more.

use hotswap_h1::framing;
use hotswap_h1::read;
use hotswap_h1::told::{self, Told};
use hotswap_h1::{Announced, Head};
use http::StatusCode;

use crate::case::shown;
use crate::heads::{LIMITS, WIDE, fields_are_sound};

/// Between two parts of a case; a name and its value are two.
const BETWEEN: u8 = 0x1e;

/// A request, or a response and its trailers. The first byte says which, and whether a request has a body.
pub fn told(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let mut parts = rest.split(|b| *b == BETWEEN);
    if kind % 2 == 0 {
        let mut text = || std::str::from_utf8(parts.next().unwrap_or_default());
        let (Ok(method), Ok(authority), Ok(target)) = (text(), text(), text()) else { return };
        let authority = Some(authority).filter(|a| !a.is_empty());
        let protocol = if kind % 16 == 14 { text().ok() } else { None };
        request(&Told { method, protocol, authority, target, has_body: kind % 4 == 0 }, &fields(parts));
    } else {
        response(u16::from(*kind) + 100, &fields(parts));
    }
}

/// Names are text where they come from.
fn fields<'a>(mut parts: impl Iterator<Item = &'a [u8]>) -> Vec<(&'a str, &'a [u8])> {
    let mut fields = Vec::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        if let Ok(name) = std::str::from_utf8(name) {
            fields.push((name, value));
        }
    }
    fields
}

fn request(told: &Told<'_>, fields: &[(&str, &[u8])]) {
    let mut head = Head::default();
    if told::request(told, fields.iter().copied(), LIMITS, &mut head).is_err() || head.method() == "CONNECT" {
        return;
    }
    fields_are_sound(&head);
    assert_eq!(head.method(), told.protocol.map_or(told.method, |_| "GET"));
    assert_eq!(head.wanted_protocol(), told.protocol.map(str::as_bytes));
    let framing = framing::of_request(&head);
    head.strip_request();
    head.announce_request(Announced { client: "192.0.2.1", scheme: "http" });
    fields_are_sound(&head);
    if head.host().is_none() {
        return;
    }
    let mut out = Vec::new();
    head.write_request(None, &mut out);
    let mut again = Head::default();
    assert_eq!(read::request(&out, WIDE, &mut again), Ok(Some(out.len())), "{}", shown(&out));
    assert!(head.iter().eq(again.iter()), "{}", shown(&out));
    assert_eq!((head.method(), head.target()), (again.method(), again.target()));
    if let Ok(framing) = framing {
        assert_eq!(framing::of_request(&again), Ok(framing), "{}", shown(&out));
    }
}

fn response(status: u16, fields: &[(&str, &[u8])]) {
    let Ok(status) = StatusCode::from_u16(status) else { return };
    let mut head = Head::default();
    if told::trailers(fields.iter().copied(), &mut head).is_ok() {
        fields_are_sound(&head);
    }
    if told::response(status, fields.iter().copied(), LIMITS, &mut head).is_err() {
        return;
    }
    fields_are_sound(&head);
    let Some((framing, _)) = framing::of_response(&head, false) else { return };
    head.strip_response();
    head.announce();
    head.frame_response(framing, false);
    let mut out = Vec::new();
    head.write_response(false, &mut out);
    let mut again = Head::default();
    assert_eq!(read::response(&out, WIDE, &mut again), Ok(Some(out.len())), "{}", shown(&out));
    assert!(head.iter().eq(again.iter()), "{}", shown(&out));
    assert_eq!(head.status(), again.status());
}
