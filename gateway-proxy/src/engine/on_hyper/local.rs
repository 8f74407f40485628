//! Answers of the gateway's own.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use super::body::ResponseBody;
use super::conn::Conn;
use crate::reason::{HEADER, Reason};
use crate::traffic::Admitted;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A failure: its status, its code in a header, one line of text.
pub(super) fn failure(conn: &Rc<Conn>, turn: u32, reason: Reason) -> Response<ResponseBody> {
    conn.notes.failure(reason);
    let status = match reason {
        Reason::FaultInjected => conn.notes.with_admitted(Admitted::status).flatten(),
        _ => None,
    };
    let status = status.unwrap_or(reason.status());
    let mut response = plain(conn, turn, status, Bytes::from_static(reason.text().as_bytes()));
    response.headers_mut().insert(HEADER, HeaderValue::from_static(reason.code()));
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

/// A redirect.
pub(super) fn redirect(
    conn: &Rc<Conn>,
    turn: u32,
    status: StatusCode,
    location: HeaderValue,
) -> Response<ResponseBody> {
    let mut response = plain(conn, turn, status, Bytes::new());
    response.headers_mut().insert(LOCATION, location);
    response
}

/// A status and a text.
pub(super) fn plain(conn: &Rc<Conn>, turn: u32, status: StatusCode, text: Bytes) -> Response<ResponseBody> {
    conn.respond(status, false);
    if conn.request_is_open() {
        conn.set_linger();
    }
    let mut response = Response::new(ResponseBody::local(text, conn, turn));
    *response.status_mut() = status;
    conn.notes.with_admitted(|admitted| admitted.edit_response(response.headers_mut()));
    response
}

/// The reason behind an answer that hyper gives by itself to a head it can't read.
pub(super) fn reason_of(head: &[u8]) -> Option<Reason> {
    match head.strip_prefix(b"HTTP/1.1 ")?.get(..3)? {
        b"400" => Some(Reason::BadRequest),
        b"414" => Some(Reason::UriTooLong),
        b"431" => Some(Reason::HeadTooLarge),
        _ => None,
    }
}

/// Our answer in place of hyper's.
pub(super) fn in_place_of(head: &[u8]) -> Option<Vec<u8>> {
    let reason = reason_of(head)?;
    let (status, text) = (reason.status(), reason.text());
    let phrase = status.canonical_reason().unwrap_or_default();
    Some(
        format!(
            "HTTP/1.1 {} {phrase}\r\n{HEADER}: {}\r\ncontent-type: text/plain; charset=utf-8\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{text}",
            status.as_u16(),
            reason.code(),
            text.len(),
        )
        .into_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hypers_own_answers_become_ours() {
        let ours = in_place_of(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n");
        let text = String::from_utf8(ours.expect("known")).expect("text");
        assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
        assert!(text.contains("\r\nx-hotswap-reason: HEAD_TOO_LARGE\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nthe head is too large\n"), "{text}");
        assert_eq!(in_place_of(b"HTTP/1.1 100 Continue\r\n\r\n"), None);
    }
}
