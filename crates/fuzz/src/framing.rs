//! Where a body ends: the decision against a second reading of RFC 9112 section 6, made from the lines as they
//! stand and not from what the parser made of them.

use hotswap_h1::framing::{self, Framing};
use hotswap_h1::read::{self, HeadLimits};
use hotswap_h1::{Head, Refused};

use crate::case::shown;

const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, headers: 100 };

/// The lines that decide.
#[derive(Default)]
struct Lines {
    lengths: Vec<Vec<u8>>,
    codings: Vec<Vec<u8>>,
}

impl Lines {
    fn of(head: &[u8]) -> Self {
        let mut lines = Self::default();
        let text: Vec<u8> = head.to_ascii_lowercase();
        for line in text.split(|b| *b == b'\n').skip(1) {
            let mut parts = line.splitn(2, |b| *b == b':');
            let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let value = value.trim_ascii().to_vec();
            match name {
                b"content-length" => lines.lengths.push(value),
                b"transfer-encoding" => lines.codings.push(value),
                _ => {}
            }
        }
        lines
    }

    fn is_chunked(&self) -> bool {
        self.codings.len() == 1 && self.codings.iter().all(|c| c == b"chunked")
    }

    /// The one length that all agree on.
    fn length(&self) -> Option<u64> {
        let first = self.lengths.first()?;
        let text = std::str::from_utf8(first).ok()?;
        let length: u64 = text.parse().ok()?;
        let plain = length.to_string() == text && length < 10_000_000_000_000_000_000;
        (plain && self.lengths.iter().all(|l| l == first)).then_some(length)
    }
}

/// Header lines, as those of a request and as those of a response. The first byte is a set of choices.
pub fn framing(data: &[u8]) {
    let Some((choice, fields)) = data.split_first() else { return };
    let version = if choice & 1 == 0 { "HTTP/1.1" } else { "HTTP/1.0" };
    let request = [format!("POST / {version}\r\nhost: h\r\n").as_bytes(), fields, b"\r\n\r\n"].concat();
    of_request(&request);
    let status = [200u16, 204, 304, 103, 404, 199, 205, 206][usize::from(choice >> 1 & 7)];
    let response = [format!("{version} {status} x\r\n").as_bytes(), fields, b"\r\n\r\n"].concat();
    of_response(&response, status, choice & 16 != 0);
}

fn of_request(bytes: &[u8]) {
    let mut head = Head::default();
    let Ok(Some(len)) = read::request(bytes, LIMITS, &mut head) else { return };
    let lines = Lines::of(bytes.get(..len).unwrap_or_default());
    let decided = framing::of_request(&head);
    let coded = !lines.codings.is_empty();
    let expected = match lines.length() {
        _ if coded && (head.is_old() || !lines.lengths.is_empty()) => Err(Refused::Malformed),
        _ if coded && lines.is_chunked() => Ok(Framing::Chunked),
        // Which of the two is no matter of safety.
        _ if coded => Err(decided.err().unwrap_or(Refused::Malformed)),
        Some(0) if lines.lengths.len() == 1 => Ok(Framing::None),
        Some(length) if lines.lengths.len() == 1 => Ok(Framing::Length(length)),
        None if lines.lengths.is_empty() => Ok(Framing::None),
        _ => Err(Refused::Malformed),
    };
    assert_eq!(decided, expected, "{}", shown(bytes));
}

fn of_response(bytes: &[u8], status: u16, to_head: bool) {
    let mut head = Head::default();
    let Ok(Some(len)) = read::response(bytes, LIMITS, &mut head) else { return };
    let lines = Lines::of(bytes.get(..len).unwrap_or_default());
    let decided = framing::of_response(&head, to_head);
    let (coded, sized) = (!lines.codings.is_empty(), !lines.lengths.is_empty());
    let expected = if (coded && (head.is_old() || !lines.is_chunked())) || (sized && lines.length().is_none())
    {
        None
    } else if status < 200 || status == 204 || status == 304 || to_head {
        Some(Framing::None)
    } else if coded {
        Some(Framing::Chunked)
    } else {
        Some(match lines.length() {
            Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        })
    };
    assert_eq!(decided.map(|(framing, _)| framing), expected, "{}", shown(bytes));
    if let Some((framing, lasting)) = decided {
        let doubtful = framing == Framing::UntilClose || (coded && sized);
        assert!(!(lasting && doubtful), "{}", shown(bytes));
    }
}
