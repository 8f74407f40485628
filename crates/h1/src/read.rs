//! Reading the head of an HTTP/1.1 message, strictly: what two parties could read in two ways is refused.

use std::mem::MaybeUninit;

use httparse::{Error, Header, ParserConfig, Status};

use super::{Head, Known, Target};
use crate::Refused;

/// Headers that are read without asking for memory.
const USUAL: usize = 128;
/// The longest target that HTTP libraries take, in bytes.
const MAX_TARGET: usize = 65_534;

/// Limits of a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes, to the end of the empty line.
    pub bytes: usize,
    /// Headers.
    pub headers: usize,
}

impl HeadLimits {
    /// What of `bytes` a head may lie in: the verdict then does not hang on how much came in one piece.
    fn cut(self, bytes: &[u8]) -> &[u8] {
        bytes.get(..self.bytes).unwrap_or(bytes)
    }
}

/// Why a response's head can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadResponse;

/// Reads a request's head from the front of `bytes`. `Ok(None)`: more must come; else its length.
///
/// # Errors
/// With the reason for which it is refused.
pub fn request(bytes: &[u8], limits: HeadLimits, head: &mut Head) -> Result<Option<usize>, Refused> {
    let bytes = limits.cut(bytes);
    let len = with_headers(limits.headers, |headers| read_request(bytes, headers, head))?;
    within(len, bytes, limits).ok_or(Refused::HeadTooLarge)?;
    match len {
        Some(len) if has_bare_lf(bytes.get(..len).unwrap_or_default()) => Err(Refused::Malformed),
        len => Ok(len),
    }
}

fn read_request<'b>(
    bytes: &'b [u8],
    headers: &mut [MaybeUninit<Header<'b>>],
    head: &mut Head,
) -> Result<Option<usize>, Refused> {
    let mut parsed = httparse::Request::new(&mut []);
    let len = match parsed.parse_with_uninit_headers(bytes, headers) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => return Err(Refused::HeadTooLarge),
        Err(_) => return Err(Refused::Malformed),
    };
    head.clear();
    let (method, text) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    head.old = parsed.version == Some(0);
    if text.len() > MAX_TARGET {
        return Err(Refused::TargetTooLong);
    }
    head.text.push_str(method);
    head.method_len = method.len();
    parsed.headers.iter().for_each(|h| head.push_received(h.name, h.value));
    head.came = head.fields.len();
    if method == "CONNECT" {
        // Its target has a form of its own.
        head.path_len = 0;
        return Ok(Some(len));
    }
    admit(head, Target::parse(text).ok_or(Refused::Malformed)?)?;
    Ok(Some(len))
}

/// Brings the target into origin form: an absolute one decides over the Host, as RFC 9112 section 3.2.2 wants.
fn admit(head: &mut Head, target: Target<'_>) -> Result<(), Refused> {
    if head.values(Known::Host).count() > 1 || (!head.has(Known::Host) && !head.is_old()) {
        return Err(Refused::Malformed);
    }
    if let Some(authority) = target.authority {
        head.remove(Known::Host);
        head.push(Known::Host.name(), authority.as_bytes());
    }
    head.host = head
        .fields
        .iter()
        .find(|f| f.live && f.known == Known::Host)
        .map(|f| (f.colon + 2, f.end.saturating_sub(2)));
    if !target.origin.starts_with(['/', '*']) {
        head.text.push('/');
    }
    head.text.push_str(target.origin);
    let target = head.target();
    if target == "*" && head.method() != "OPTIONS" {
        return Err(Refused::Malformed);
    }
    head.path_len = target.bytes().position(|b| b == b'?').unwrap_or(target.len());
    Ok(())
}

/// Reads a response's head from the front of `bytes`. `Ok(None)`: more must come; else its length.
///
/// # Errors
/// Where it is no head of HTTP/1.0 or 1.1, or exceeds the limits.
pub fn response(bytes: &[u8], limits: HeadLimits, head: &mut Head) -> Result<Option<usize>, BadResponse> {
    let bytes = limits.cut(bytes);
    let len = with_headers(limits.headers, |headers| read_response(bytes, headers, head))?;
    within(len, bytes, limits).ok_or(BadResponse)?;
    match len {
        Some(len) if has_bare_lf(bytes.get(..len).unwrap_or_default()) => Err(BadResponse),
        len => Ok(len),
    }
}

fn read_response<'b>(
    bytes: &'b [u8],
    headers: &mut [MaybeUninit<Header<'b>>],
    head: &mut Head,
) -> Result<Option<usize>, BadResponse> {
    let mut parsed = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut parsed, bytes, headers) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(BadResponse),
    };
    head.clear();
    head.status = parsed.code.filter(|code| (100..1_000).contains(code)).ok_or(BadResponse)?;
    head.old = parsed.version == Some(0);
    head.text.push_str(parsed.reason.unwrap_or_default());
    parsed.headers.iter().for_each(|h| head.push_received(h.name, h.value));
    Ok(Some(len))
}

/// Reads the fields behind the last chunk: `bytes` are whole lines, with the empty one at the end.
///
/// # Errors
/// Where they are no fields, or too many.
pub fn trailers(bytes: &[u8], headers: usize, head: &mut Head) -> Result<(), BadResponse> {
    let mut parsed = vec![httparse::EMPTY_HEADER; headers];
    match httparse::parse_headers(bytes, &mut parsed) {
        Ok(Status::Complete((len, fields))) if len == bytes.len() && !has_bare_lf(bytes) => {
            head.clear();
            fields.iter().for_each(|h| head.push_received(h.name, h.value));
            Ok(())
        }
        _ => Err(BadResponse),
    }
}

/// Lends room for so many headers.
fn with_headers<'b, T>(most: usize, read: impl FnOnce(&mut [MaybeUninit<Header<'b>>]) -> T) -> T {
    if most <= USUAL {
        let mut room = [const { MaybeUninit::uninit() }; USUAL];
        read(room.get_mut(..most).unwrap_or_default())
    } else {
        let mut room = vec![MaybeUninit::uninit(); most];
        read(&mut room)
    }
}

/// `None`: the head is, or will be, longer than it may be.
fn within(len: Option<usize>, bytes: &[u8], limits: HeadLimits) -> Option<()> {
    let fits = match len {
        Some(len) => len <= limits.bytes,
        None => bytes.len() < limits.bytes,
    };
    fits.then_some(())
}

/// Whether a line ends without CR. httparse takes such lines, as older clients send them; where two parties
/// disagree on that, one sees a header, or a request, that the other does not.
fn has_bare_lf(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head.get(at - 1) != Some(&b'\r'))
}

/// Whether an end of a head can lie in `bytes` behind `from`. A head that comes in many pieces is not read from
/// its start for each of them.
pub fn may_end(bytes: &[u8], from: usize) -> bool {
    let late = bytes.get(from.saturating_sub(3)..).unwrap_or_default();
    memchr::memchr_iter(b'\n', late).any(|at| {
        let before = late.get(..at).unwrap_or_default();
        before.ends_with(b"\n") || before.ends_with(b"\n\r")
    })
}
