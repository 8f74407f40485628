//! Heads, in pieces: read as the engine reads them, written, and read again.

use hotswap_h1::framing;
use hotswap_h1::read::{self, HeadLimits};
use hotswap_h1::{Announced, Head};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::case::{Case, shown};

/// Small enough that both are reached.
pub(crate) const LIMITS: HeadLimits = HeadLimits { bytes: 1_024, headers: 16 };
/// What comes out may be longer: lengths are written out, and a hop adds to it.
pub(crate) const WIDE: HeadLimits = HeadLimits { bytes: 64 * 1024, headers: 100 };

/// How a head is read: `Ok(None)`: it has not come whole.
type Read<'a> = &'a dyn Fn(&[u8], &mut Head) -> Result<Option<usize>, ()>;

/// Reads what has come whenever a head may end in it, as the engine does.
fn in_pieces(case: &Case<'_>, read: Read<'_>) -> Option<(usize, Head)> {
    let (mut early, mut head) = (Vec::new(), Head::default());
    for piece in case.pieces() {
        let had = early.len();
        early.extend_from_slice(piece);
        if had > 0 && early.len() < LIMITS.bytes && !read::may_end(&early, had) {
            continue;
        }
        match read(&early, &mut head) {
            Ok(Some(len)) => return Some((len, head)),
            Ok(None) => {}
            Err(()) => return None,
        }
    }
    None
}

/// Reads a case whole and in pieces: both come to the same head, or to none.
fn same_in_pieces(case: &Case<'_>, read: Read<'_>) -> Option<(usize, Head)> {
    let mut whole = Head::default();
    let len = read(case.bytes, &mut whole).ok().flatten();
    let pieces = in_pieces(case, read);
    assert_eq!(len, pieces.as_ref().map(|p| p.0), "{}", shown(case.bytes));
    let (len, head) = pieces?;
    assert!(head.iter().eq(whole.iter()));
    assert_eq!(
        (head.method(), head.target(), head.status()),
        (whole.method(), whole.target(), whole.status())
    );
    no_part_is_a_head(case.bytes.get(..len)?, read);
    Some((len, head))
}

/// Every line ends in one way, and nothing shorter is a head or a fault.
fn no_part_is_a_head(bytes: &[u8], read: Read<'_>) {
    for (at, byte) in bytes.iter().enumerate() {
        let alone = match byte {
            b'\n' => at == 0 || bytes.get(at - 1) != Some(&b'\r'),
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            0 => true,
            _ => false,
        };
        assert!(!alone, "at {at} of {}", shown(bytes));
    }
    let step = bytes.len() / 16 + 1;
    for cut in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
        let part = read(bytes.get(..cut).unwrap_or_default(), &mut Head::default());
        assert_eq!(part, Ok(None), "the first {cut} of {}", shown(bytes));
    }
}

/// Other libraries take the fields too.
pub(crate) fn fields_are_sound(head: &Head) {
    for (name, value) in head.iter() {
        let lower = HeaderName::from_bytes(name).is_ok_and(|n| n.as_str().as_bytes() == name);
        assert!(lower, "name {}", shown(name));
        let plain = HeaderValue::from_bytes(value).is_ok() && value.trim_ascii() == value;
        assert!(plain, "value {}", shown(value));
    }
}

/// A request's head.
pub fn request_head(data: &[u8]) {
    let Some(case) = Case::of(data) else { return };
    let read = |bytes: &[u8], head: &mut Head| read::request(bytes, LIMITS, head).map_err(drop);
    let Some((_, mut head)) = same_in_pieces(&case, &read) else { return };
    fields_are_sound(&head);
    assert!(Method::from_bytes(head.method().as_bytes()).is_ok());
    if head.method() == "CONNECT" {
        return;
    }
    let framing = framing::of_request(&head);
    head.strip_request();
    if let (Some(host), false) = (head.host().map(<[u8]>::to_vec), head.is_empty()) {
        assert!(head.iter().any(|(n, v)| n == b"host" && v == host), "{}", shown(case.bytes));
    }
    head.announce_request(Announced { client: "192.0.2.1", scheme: "http" });
    fields_are_sound(&head);
    let mut out = Vec::new();
    head.write_request(None, &mut out);
    let mut again = Head::default();
    let read = read::request(&out, WIDE, &mut again);
    if head.host().is_none() {
        // Only HTTP/1.0 may come without one; the engine gives it the backend's.
        return;
    }
    assert_eq!(read, Ok(Some(out.len())), "{}", shown(&out));
    assert!(head.iter().eq(again.iter()), "{}", shown(&out));
    assert_eq!((head.method(), head.target()), (again.method(), again.target()));
    if let Ok(framing) = framing {
        assert_eq!(framing::of_request(&again), Ok(framing), "{}", shown(&out));
    }
}

/// A response's head.
pub fn response_head(data: &[u8]) {
    let Some(case) = Case::of(data) else { return };
    let read = |bytes: &[u8], head: &mut Head| read::response(bytes, LIMITS, head).map_err(drop);
    let Some((_, mut head)) = same_in_pieces(&case, &read) else { return };
    fields_are_sound(&head);
    assert!(StatusCode::from_u16(head.status()).is_ok());
    let to_head = data.first().is_some_and(|seed| seed & 128 != 0);
    let Some((framing, _)) = framing::of_response(&head, to_head) else { return };
    head.strip_response();
    head.announce();
    head.frame_response(framing, false);
    let mut out = Vec::new();
    head.write_response(false, &mut out);
    let mut again = Head::default();
    assert_eq!(read::response(&out, WIDE, &mut again), Ok(Some(out.len())), "{}", shown(&out));
    assert!(head.iter().eq(again.iter()), "{}", shown(&out));
    assert_eq!((head.status(), head.reason()), (again.status(), again.reason()));
    let went = framing::of_response(&again, to_head).map(|f| f.0);
    let expected = if framing == framing::Framing::UntilClose { framing::Framing::Chunked } else { framing };
    assert_eq!(went, Some(expected), "{}", shown(&out));
}
