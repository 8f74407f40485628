//! Where a body ends.

use super::{Head, Known};
use crate::Refused;

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// To the end of the connection; only of a response.
    UntilClose,
}

/// The framing of a request.
///
/// # Errors
/// Where it is ambiguous, or one that the gateway can't pass on.
pub fn of_request(head: &Head) -> Result<Framing, Refused> {
    if head.has(Known::TransferEncoding) {
        // RFC 9112 section 6.1 lets a server choose. Another party may have chosen otherwise.
        if head.has(Known::ContentLength) || head.is_old() {
            return Err(Refused::Malformed);
        }
        return transfer_coding(head).map(|()| Framing::Chunked);
    }
    if !head.has(Known::ContentLength) {
        return Ok(Framing::None);
    }
    head.only(Known::ContentLength).and_then(length).map(of_length).ok_or(Refused::Malformed)
}

fn of_length(length: u64) -> Framing {
    if length == 0 { Framing::None } else { Framing::Length(length) }
}

/// Whether the coding is chunked and nothing else.
fn transfer_coding(head: &Head) -> Result<(), Refused> {
    if head.only(Known::TransferEncoding).is_some_and(is_chunked) {
        return Ok(());
    }
    let tokens = || head.values(Known::TransferEncoding).flat_map(|v| v.split(|b| *b == b','));
    let last_only =
        tokens().last().is_some_and(is_chunked) && tokens().filter(|t| is_chunked(t)).count() == 1;
    // Codings before it are HTTP, but not what this gateway does. Without it at the end, no end is known.
    Err(if last_only { Refused::Unsupported } else { Refused::Malformed })
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// Reads a length: digits and nothing else, the way a number is written.
fn length(value: &[u8]) -> Option<u64> {
    let leading_zero = value.len() > 1 && value.starts_with(b"0");
    if value.is_empty() || value.len() > 19 || leading_zero {
        return None;
    }
    value.iter().try_fold(0u64, |sum, b| match b {
        b'0'..=b'9' => Some(sum * 10 + u64::from(b - b'0')),
        _ => None,
    })
}

/// The framing of a response to a request, to HEAD or to another method; and whether the backend's connection
/// may be used again after it. `None`: it is malformed, or one that the gateway can't pass on.
pub fn of_response(head: &Head, to_head: bool) -> Option<(Framing, bool)> {
    let coded = head.has(Known::TransferEncoding);
    if coded && (head.is_old() || !head.only(Known::TransferEncoding).is_some_and(is_chunked)) {
        return None;
    }
    let length = same_lengths(head)?;
    // Of two framings the coding counts; a connection that carries both is not trusted with another exchange.
    let lasting = lasts(head) && !(coded && length.is_some());
    Some(match (head.status(), coded, length) {
        (100..200 | 204 | 304, ..) => (Framing::None, lasting),
        _ if to_head => (Framing::None, lasting),
        (_, true, _) => (Framing::Chunked, lasting),
        (_, false, Some(length)) => (of_length(length), lasting),
        (_, false, None) => (Framing::UntilClose, false),
    })
}

/// `None`: the lengths differ, or one is none. Of a response several equal ones are let through.
fn same_lengths(head: &Head) -> Option<Option<u64>> {
    let mut known = None;
    for value in head.values(Known::ContentLength) {
        let this = length(value)?;
        if known.is_some_and(|k| k != this) {
            return None;
        }
        known = Some(this);
    }
    Some(known)
}

/// Whether the peer keeps the connection after this message.
pub fn lasts(head: &Head) -> bool {
    let mut lasts = !head.is_old();
    for value in head.values(Known::Connection) {
        for token in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                return false;
            }
            // Among bytes that are no text, others see no word: where it is doubtful, the connection ends.
            lasts |= token.eq_ignore_ascii_case(b"keep-alive") && value.is_ascii();
        }
    }
    lasts
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
