//! Which answers are compressed, by what the client takes and what the answer is; and what their heads then say. The
//! bytes are the engine's, see [`super::Encoder`].

use std::sync::Arc;

use hotswap_matcher::{Compression, ContentCoding, RequestHead, TrafficSpec};
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderName, HeaderValue};

use super::admitted::{Admitted, Fields};

const BY_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");
/// What says something of the bytes of a body: they must stay as they are.
const OF_BYTES: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// How the answer to a request may be compressed.
#[derive(Clone, Debug)]
pub struct Wanted {
    spec: Arc<TrafficSpec>,
    /// What the client wants most; `None`: nothing that the route has.
    coding: Option<ContentCoding>,
}

/// The body of an answer, as its head tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// There is none.
    Nothing,
    /// There is none, but its head is that of the answer to a GET, where that was asked for by HEAD.
    HeadAlone,
    /// It has so many bytes.
    Length(u64),
    /// Its length is not known.
    Open,
}

pub(super) fn pass(spec: &Arc<TrafficSpec>, head: &impl RequestHead, admitted: &mut Admitted) {
    if let Some(compression) = &spec.compression {
        let coding = chosen(compression, head);
        admitted.compress(Wanted { spec: Arc::clone(spec), coding });
    }
}

/// What the client wants most of what the route has (RFC 9110 section 12.5.3).
pub(super) fn chosen(compression: &Compression, head: &impl RequestHead) -> Option<ContentCoding> {
    let mut taken = Taken::default();
    head.header(&ACCEPT_ENCODING, &mut |value| taken.read(value));
    choose(compression, &taken)
}

fn choose(compression: &Compression, taken: &Taken) -> Option<ContentCoding> {
    let mut best: Option<(ContentCoding, u16)> = None;
    for coding in &compression.codings {
        let weight = taken.weight(*coding);
        if weight > best.map_or(0, |(_, best)| best) {
            best = Some((*coding, weight));
        }
    }
    // Who wants it as it is more than anything else gets it so.
    best.filter(|(_, weight)| taken.identity.is_none_or(|plain| plain <= *weight)).map(|(coding, _)| coding)
}

/// What a client takes, in thousandths.
#[derive(Debug, Default)]
struct Taken {
    of: [Option<u16>; 3],
    identity: Option<u16>,
    others: Option<u16>,
}

impl Taken {
    fn read(&mut self, value: &[u8]) {
        for element in value.split(|b| *b == b',') {
            let mut parts = element.split(|b| *b == b';').map(|part| part.trim_ascii());
            let name = parts.next().unwrap_or_default();
            let Some(weight) = parts.next().map_or(Some(1_000), weight) else { continue };
            let place = |named: ContentCoding| ContentCoding::ALL.iter().position(|c| *c == named);
            let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
            let known = ContentCoding::ALL.into_iter().find(|coding| is(coding.name()));
            let known = known.or_else(|| is("x-gzip").then_some(ContentCoding::Gzip));
            let slot = match known.and_then(place).and_then(|i| self.of.get_mut(i)) {
                Some(slot) => slot,
                None if is("identity") => &mut self.identity,
                None if is("*") => &mut self.others,
                None => continue,
            };
            *slot = Some(weight);
        }
    }

    fn weight(&self, coding: ContentCoding) -> u16 {
        let place = ContentCoding::ALL.iter().position(|c| *c == coding);
        let own = place.and_then(|i| self.of.get(i).copied().flatten());
        own.or(self.others).unwrap_or(0)
    }
}

/// "q=0.5", in thousandths; `None`: it is none.
fn weight(text: &[u8]) -> Option<u16> {
    let (name, value) = text.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, digits) = match value {
        [whole] | [whole, b'.'] => (*whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (*whole, digits),
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths = (0..3).fold(0, |sum, i| sum * 10 + u16::from(digits.get(i).map_or(0, |d| d - b'0')));
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1_000),
        _ => None,
    }
}

impl Wanted {
    /// How good it is to be: 1: fastest, to 9: smallest; `None`: as the coding has it.
    pub fn quality(&self) -> Option<u8> {
        self.spec.compression.as_ref()?.quality
    }

    /// Brings the head of an answer into the form that the client gets; `begin` makes what compresses the body, where that
    /// is to be and can be.
    pub fn edit<E>(
        &self,
        status: u16,
        told: Told,
        head: &mut impl Fields,
        begin: impl FnOnce(ContentCoding) -> Option<E>,
    ) -> Option<E> {
        let rules = self.spec.compression.as_ref()?;
        if status == 304 {
            if self.coding.is_some() {
                // It is about what the client has got, whose tag was weakened.
                weaken(head);
                tell_vary(head);
            }
            return None;
        }
        if !fits(rules, status, told, head) {
            return None;
        }
        tell_vary(head);
        let coding = self.coding?;
        let encoder = if told == Told::HeadAlone { None } else { Some(begin(coding)?) };
        head.take_away(&CONTENT_LENGTH);
        // Parts of it would be parts of something else.
        head.take_away(&ACCEPT_RANGES);
        weaken(head);
        head.put(&CONTENT_ENCODING, &HeaderValue::from_static(coding.name()));
        encoder
    }
}

/// Whether it is worth it, and allowed, whatever the client takes.
fn fits(rules: &Compression, status: u16, told: Told, head: &impl Fields) -> bool {
    let length = match told {
        Told::Nothing => return false,
        Told::HeadAlone => {
            let length = only(head, &CONTENT_LENGTH);
            length.and_then(|v| std::str::from_utf8(&v).ok()?.trim().parse().ok())
        }
        Told::Length(length) => Some(length),
        Told::Open => None,
    };
    let whole = status >= 200 && !matches!(status, 204..=206);
    let has = |name: &HeaderName| has_field(head, name);
    whole
        && length.is_none_or(|length| length >= rules.min_length)
        && !has(&CONTENT_ENCODING)
        && !has(&CONTENT_RANGE)
        && !OF_BYTES.iter().any(has)
        && only(head, &CONTENT_TYPE).is_some_and(|value| rules.has_type(&value))
        && !says(head, &CACHE_CONTROL, b"no-transform")
}

fn has_field(head: &impl Fields, name: &HeaderName) -> bool {
    let mut there = false;
    head.each(name, &mut |_| there = true);
    there
}

fn only(head: &impl Fields, name: &HeaderName) -> Option<Vec<u8>> {
    let (mut found, mut more) = (None, false);
    head.each(name, &mut |value| {
        more |= found.is_some();
        found = Some(value.to_vec());
    });
    found.filter(|_| !more)
}

/// Whether a list has an element.
fn says(head: &impl Fields, name: &HeaderName, element: &[u8]) -> bool {
    let mut there = false;
    head.each(name, &mut |value| {
        there |= value.split(|b| *b == b',').any(|e| e.trim_ascii().eq_ignore_ascii_case(element));
    });
    there
}

/// Caches must not give what is compressed for one client to another.
fn tell_vary(head: &mut impl Fields) {
    if !says(head, &VARY, b"accept-encoding") && !says(head, &VARY, b"*") {
        head.put(&VARY, &BY_ENCODING);
    }
}

/// What is compressed is the same, but not byte by byte.
fn weaken(head: &mut impl Fields) {
    if let Some(tag) = only(head, &ETAG)
        && tag.starts_with(b"\"")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_slice()].concat())
    {
        head.take_away(&ETAG);
        head.put(&ETAG, &weak);
    }
}

#[cfg(test)]
#[path = "compress_tests.rs"]
mod tests;
