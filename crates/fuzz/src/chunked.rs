//! Chunked bodies: the decoder in pieces against a reading of the grammar from the whole.

use hotswap_h1::body::{Around, Pipe};
use hotswap_h1::chunked::{BadChunk, Decoder};
use hotswap_h1::framing::Framing;
use hotswap_h1::write::Coding;

use crate::case::{Case, shown};

/// What some bytes are, as a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Whole: the data, and how many bytes it took.
    Whole(Vec<u8>, usize),
    /// The beginning of one, with the data so far.
    Part(Vec<u8>),
    /// None.
    Bad,
}

/// Reads the grammar of RFC 9112 section 7.1 from all the bytes at once, with no more freedom than the gateway
/// takes. The lines behind the last chunk are only looked for.
pub(crate) fn read(bytes: &[u8]) -> Body {
    let (mut at, mut data) = (0, Vec::new());
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(line) = line(rest) else { return Body::Bad };
        let Some((size, len)) = line else { return Body::Part(data) };
        at += len;
        if size == 0 {
            return end(bytes, at, data);
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        data.extend_from_slice(rest.get(..size.min(rest.len())).unwrap_or_default());
        match rest.get(size..).unwrap_or_default() {
            [b'\r', b'\n', ..] => at += size + 2,
            [] | [b'\r'] => return Body::Part(data),
            _ => return Body::Bad,
        }
    }
}

/// A line with a size, and its length. `Some(None)`: it has not come whole; `None`: it is none.
fn line(bytes: &[u8]) -> Option<Option<(u64, usize)>> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits > 16 {
        return None;
    }
    let rest = bytes.get(digits..)?;
    if rest.is_empty() {
        return Some(None);
    }
    let text = std::str::from_utf8(bytes.get(..digits)?).ok()?;
    let size = u64::from_str_radix(text, 16).ok()?;
    let extension = match rest.first() {
        Some(b';') => rest.iter().take_while(|b| **b == b'\t' || (**b >= b' ' && **b != 0x7f)).count(),
        _ => 0,
    };
    match rest.get(extension..)? {
        [b'\r', b'\n', ..] => Some(Some((size, digits + extension + 2))),
        [] | [b'\r'] => Some(None),
        _ => None,
    }
}

/// Looks for the empty line behind the last chunk.
fn end(bytes: &[u8], mut at: usize, data: Vec<u8>) -> Body {
    loop {
        match bytes.get(at..).unwrap_or_default() {
            [b'\r', b'\n', ..] => return Body::Whole(data, at + 2),
            [] | [b'\r'] => return Body::Part(data),
            [b'\r' | b'\n', ..] => return Body::Bad,
            line => match line.iter().position(|b| *b == b'\n') {
                Some(end) => at += end + 1,
                None => return Body::Part(data),
            },
        }
    }
}

/// A chunked body in pieces: the decoder, and the way through the gateway in the same coding.
pub fn chunked(data: &[u8]) {
    let Some(case) = Case::of(data) else { return };
    let expected = read(case.bytes);
    let decoded = decode(&case).map_or(Body::Bad, |(data, used)| match used {
        Some(used) => Body::Whole(data, used),
        None => Body::Part(data),
    });
    assert_eq!(decoded, expected, "{}", shown(case.bytes));
    pass(&case, &expected);
}

fn decode(case: &Case<'_>) -> Result<(Vec<u8>, Option<usize>), BadChunk> {
    let (mut decoder, mut data, mut used) = (Decoder::default(), Vec::new(), 0);
    for piece in case.pieces() {
        let mut piece = piece.to_vec();
        let taken = decoder.take(&mut piece)?;
        data.extend_from_slice(piece.get(taken.from..taken.to).unwrap_or_default());
        used += taken.used;
        assert_eq!(taken.ended, decoder.is_over());
        if taken.ended {
            return Ok((data, Some(used)));
        }
        assert_eq!(taken.used, piece.len(), "all is taken before the end");
    }
    Ok((data, None))
}

/// What goes out is as whole as what came in, with the same data.
fn pass(case: &Case<'_>, came: &Body) {
    let mut pipe = Pipe::new(Framing::Chunked, Coding::Chunked, Some(b"x-a, x-b".as_slice().into()));
    let mut out = Vec::new();
    for piece in case.pieces() {
        let (mut piece, mut around) = (piece.to_vec(), Around::default());
        let Ok(taken) = pipe.pass(&mut piece, &mut around) else { return };
        out.extend(around.before);
        out.extend_from_slice(piece.get(taken.from..taken.to).unwrap_or_default());
        out.extend(around.behind);
        if taken.ended {
            break;
        }
    }
    match (read(&out), came) {
        (Body::Whole(out_data, len), Body::Whole(data, _)) => {
            assert_eq!((&out_data, len), (data, out.len()), "{}", shown(&out));
        }
        (Body::Part(out_data), Body::Part(data)) => assert_eq!(&out_data, data),
        (went, came) => panic!("{came:?} went out as {went:?}"),
    }
}
