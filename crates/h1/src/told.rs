//! Heads that are told field by field, as HTTP/2 does. They become what HTTP/1.1 would have brought, checked as
//! strictly: what such a head holds may be written as HTTP/1.1 afterwards, and must not become another message.

use super::read::HeadLimits;
use super::{Head, Known, Target};
use crate::Refused;

/// Fields behind a body, at most.
const MAX_TRAILERS: usize = 100;

/// What a request tells apart from its fields.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The method.
    pub method: &'a str,
    /// The protocol that a CONNECT asks for (RFC 8441 section 4): it becomes the wish of HTTP/1.1, a GET with Upgrade.
    pub protocol: Option<&'a str>,
    /// Host and port; `None`: the field host has them.
    pub authority: Option<&'a str>,
    /// The path with the query.
    pub target: &'a str,
    /// Whether a body follows.
    pub has_body: bool,
}

/// Makes the head of a request from what was told.
///
/// # Errors
/// With the reason for which it is refused.
pub fn request<'a>(
    told: &Told<'a>,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    limits: HeadLimits,
    head: &mut Head,
) -> Result<(), Refused> {
    head.clear();
    head.told = true;
    let method = method(told)?;
    head.text.push_str(method);
    head.method_len = method.len();
    if let Some(authority) = told.authority {
        check(Known::Host.name(), authority.as_bytes())?;
        head.push(Known::Host.name(), authority.as_bytes());
    }
    let mut room = limits.bytes.checked_sub(method.len() + told.target.len() + head.lines.len());
    room = room.and_then(|room| room.checked_sub(told.protocol.map_or(0, str::len)));
    let mut cookies = Vec::new();
    let mut count = usize::from(told.authority.is_some());
    for (name, value) in fields {
        check(name, value)?;
        count += 1;
        room = room.and_then(|room| room.checked_sub(name.len() + value.len() + 4));
        if room.is_none() || count > limits.headers {
            return Err(Refused::HeadTooLarge);
        }
        match Known::of(name.as_bytes()) {
            Known::Host if told.authority.is_some() => same_host(told.authority, value)?,
            Known::Te if !value.eq_ignore_ascii_case(b"trailers") => return Err(Refused::Malformed),
            Known::Other if name == "cookie" => join(&mut cookies, value),
            _ => head.push(name, value),
        }
    }
    if !cookies.is_empty() {
        head.push("cookie", &cookies);
    }
    head.came = head.fields.len();
    if let Some(protocol) = told.protocol {
        head.push(Known::Connection.name(), b"upgrade");
        head.push(Known::Upgrade.name(), protocol.as_bytes());
    }
    room.ok_or(Refused::HeadTooLarge)?;
    if told.has_body && !head.has(Known::ContentLength) {
        head.push(Known::TransferEncoding.name(), b"chunked");
    }
    if method == "CONNECT" {
        // Its target has a form of its own.
        return Ok(());
    }
    admit(told.target, head)
}

/// Makes the head of a response from what was told.
///
/// # Errors
/// With the reason for which it is refused.
pub fn response<'a>(
    status: http::StatusCode,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    limits: HeadLimits,
    head: &mut Head,
) -> Result<(), Refused> {
    head.respond(status);
    head.told = true;
    for (name, value) in fields {
        check(name, value)?;
        head.push(name, value);
        if head.lines.len() > limits.bytes || head.fields.len() > limits.headers {
            return Err(Refused::HeadTooLarge);
        }
    }
    Ok(())
}

/// Makes fields that stand behind a body from what was told.
///
/// # Errors
/// Where they are no fields, or too many.
pub fn trailers<'a>(
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    head: &mut Head,
) -> Result<(), Refused> {
    head.clear();
    for (name, value) in fields {
        check(name, value)?;
        if head.fields.len() >= MAX_TRAILERS {
            return Err(Refused::HeadTooLarge);
        }
        head.push(name, value);
    }
    Ok(())
}

/// Whether a field may stand in a head, and belongs to the message: those of a connection do not (RFC 9113 section
/// 8.2.2).
fn check(name: &str, value: &[u8]) -> Result<(), Refused> {
    let lower = is_token(name) && !name.bytes().any(|b| b.is_ascii_uppercase());
    let sound = value.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f));
    let bare = value.trim_ascii().len() == value.len();
    let of_connection = matches!(
        Known::of(name.as_bytes()),
        Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::TransferEncoding
            | Known::Upgrade
    );
    if lower && sound && bare && !of_connection { Ok(()) } else { Err(Refused::Malformed) }
}

/// The method that HTTP/1.1 has for what was told.
fn method<'a>(told: &Told<'a>) -> Result<&'a str, Refused> {
    let (sound, method) = match told.protocol {
        Some(protocol) => (told.method == "CONNECT" && protocol.split('/').all(is_token), "GET"),
        None => (is_token(told.method), told.method),
    };
    if sound { Ok(method) } else { Err(Refused::Malformed) }
}

fn is_token(text: &str) -> bool {
    let in_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(in_token)
}

/// A field host beside the authority must say the same.
fn same_host(authority: Option<&str>, host: &[u8]) -> Result<(), Refused> {
    let same = authority.is_some_and(|a| a.as_bytes().eq_ignore_ascii_case(host));
    if same { Ok(()) } else { Err(Refused::Malformed) }
}

/// The parts of a cookie are one field in HTTP/1.1 (RFC 9113 section 8.2.3). An empty one is left out: behind a semicolon, the
/// value would end with a space, which no value of HTTP/1.1 does.
fn join(cookies: &mut Vec<u8>, part: &[u8]) {
    if part.is_empty() {
        return;
    }
    if !cookies.is_empty() {
        cookies.extend_from_slice(b"; ");
    }
    cookies.extend_from_slice(part);
}

fn admit(target: &str, head: &mut Head) -> Result<(), Refused> {
    let sound = Target::parse(target).filter(|t| t.authority.is_none()).ok_or(Refused::Malformed)?;
    if sound.origin == "*" && head.method() != "OPTIONS" {
        return Err(Refused::Malformed);
    }
    let host = head.only(Known::Host).ok_or(Refused::Malformed)?;
    if host.is_empty() || host.contains(&b'@') {
        return Err(Refused::Malformed);
    }
    head.host = head
        .fields
        .iter()
        .find(|f| f.live && f.known == Known::Host)
        .map(|f| (f.colon + 2, f.end.saturating_sub(2)));
    head.text.push_str(target);
    head.path_len = target.bytes().position(|b| b == b'?').unwrap_or(target.len());
    Ok(())
}

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
