//! Messages of HTTP as the gateway holds them, apart from all I/O: one head for requests and responses, how a
//! body is framed, what a proxy changes of a head. HTTP/1.1 is read and written here; another version of HTTP
//! fills and empties the same [`Head`], so that what is done to a head is written once.
//!
//! Everything here reads bytes of strangers, and nothing here does more: it is fuzzed alone, and beside hyper.

pub mod body;
pub mod chunked;
pub mod framing;
mod hop;
mod known;
pub mod read;
mod target;
pub mod told;
pub mod write;

use std::ops::Range;

use http::HeaderName;

pub use self::hop::Announced;
pub use self::known::Known;
pub use self::target::Target;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It breaks the rules of HTTP, or two parties could read it in two ways.
    Malformed,
    /// Its target is longer than is read.
    TargetTooLong,
    /// Its head has more bytes or headers than allowed.
    HeadTooLarge,
    /// It has a transfer coding other than chunked.
    Unsupported,
}

/// The head of a request or a response. Its memory is used again: a head that has served once asks for none.
#[derive(Debug, Default)]
pub struct Head {
    /// The fields as HTTP/1.1 writes them, one behind the other: name in lower case, ": ", value, CRLF.
    lines: Vec<u8>,
    fields: Vec<Field>,
    /// Which known names stand among the fields.
    seen: u32,
    /// Of a request: the method, then the target in origin form, with the query. Of a response: the reason.
    text: String,
    method_len: usize,
    path_len: usize,
    /// Of a response.
    status: u16,
    /// It came as HTTP/1.0.
    old: bool,
    /// It came as HTTP/2.
    told: bool,
    /// Where the Host of a request stood when it came; edits do not move it.
    host: Option<(u32, u32)>,
    /// So many fields came with a request; those behind them were put there since.
    came: usize,
}

/// A field; the numbers are places in the lines.
#[derive(Clone, Copy, Debug)]
struct Field {
    at: u32,
    /// Behind the name.
    colon: u32,
    /// Behind the CRLF.
    end: u32,
    known: Known,
    live: bool,
}

impl Field {
    fn name(self, lines: &[u8]) -> &[u8] {
        lines.get(self.at as usize..self.colon as usize).unwrap_or_default()
    }

    fn value(self, lines: &[u8]) -> &[u8] {
        lines.get(self.value_place()).unwrap_or_default()
    }

    fn value_place(self) -> Range<usize> {
        self.colon as usize + 2..(self.end as usize).saturating_sub(2)
    }
}

impl Head {
    /// Empties it.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.fields.clear();
        self.text.clear();
        (self.seen, self.method_len, self.path_len, self.status) = (0, 0, 0, 0);
        (self.old, self.told, self.host, self.came) = (false, false, None, 0);
    }

    /// Makes it the head of a response of the gateway's own.
    pub fn respond(&mut self, status: http::StatusCode) {
        self.clear();
        self.set_status(status);
    }

    /// Makes a response one of this status. Its fields stay.
    pub fn set_status(&mut self, status: http::StatusCode) {
        self.status = status.as_u16();
        self.text.clear();
        self.text.push_str(status.canonical_reason().unwrap_or_default());
    }

    /// The method, as sent.
    pub fn method(&self) -> &str {
        self.text.get(..self.method_len).unwrap_or_default()
    }

    /// The path with the query, as sent; an absolute target comes without its host.
    pub fn target(&self) -> &str {
        self.text.get(self.method_len..).unwrap_or_default()
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.text.get(self.method_len..self.method_len + self.path_len).unwrap_or_default()
    }

    /// The query, without "?".
    pub fn query(&self) -> Option<&str> {
        self.text.get(self.method_len + self.path_len + 1..)
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase of a response.
    pub fn reason(&self) -> &str {
        &self.text
    }

    /// Whether it came as HTTP/1.0.
    pub fn is_old(&self) -> bool {
        self.old
    }

    /// Whether it came as HTTP/2.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// The Host that came with it, or that its absolute target named.
    pub fn host(&self) -> Option<&[u8]> {
        let (at, end) = self.host?;
        self.lines.get(at as usize..end as usize)
    }

    /// Whether a field of this name is there.
    pub fn has(&self, known: Known) -> bool {
        self.seen & known.bit() != 0
    }

    /// The values of a known name, in order.
    pub fn values(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        let fields = if self.has(known) { self.fields.as_slice() } else { &[] };
        fields.iter().filter(move |f| f.live && f.known == known).map(|f| f.value(&self.lines))
    }

    /// The first value of a known name.
    pub fn first(&self, known: Known) -> Option<&[u8]> {
        self.values(known).next()
    }

    /// The only value of a known name; `None`: there is none, or more than one.
    pub fn only(&self, known: Known) -> Option<&[u8]> {
        let mut values = self.values(known);
        values.next().filter(|_| values.next().is_none())
    }

    /// The values of a name in lower case, in order.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let same = move |f: &&Field| f.live && f.name(&self.lines) == name.as_bytes();
        self.fields.iter().filter(same).map(|f| f.value(&self.lines))
    }

    /// The values of a name in lower case as they came with a request, in order, whatever edits have made of them.
    pub fn came(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let same = move |f: &&Field| f.name(&self.lines) == name.as_bytes();
        self.fields.iter().take(self.came).filter(same).map(|f| f.value(&self.lines))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.iter().filter(|f| f.live).count()
    }

    /// Bytes of the names and values of all fields as they came, and of the target.
    pub fn size(&self) -> usize {
        // Beside them a line has ": " and CRLF.
        let fields = self.lines.len().saturating_sub(4 * self.fields.len());
        fields + self.target().len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The fields as HTTP/1.1 writes them, those that were taken away included: what [`Head::places`] points into.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Names, and where in the lines their values stand, in order.
    pub fn places(&self) -> impl Iterator<Item = (&[u8], Range<usize>)> {
        let live = self.fields.iter().filter(|f| f.live);
        live.map(|f| (f.name(&self.lines), f.value_place()))
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let live = self.fields.iter().filter(|f| f.live);
        live.map(|f| (f.name(&self.lines), f.value(&self.lines)))
    }

    /// Adds a field. The name must be a token in lower case, and the value one that may stand in a head.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let at = self.lines.len();
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
        self.note(at, at + name.len());
    }

    /// Adds a field with a value that stands in the lines already.
    fn push_copy(&mut self, name: &str, (from, to): (u32, u32)) {
        let at = self.lines.len();
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_within(from as usize..to as usize);
        self.lines.extend_from_slice(b"\r\n");
        self.note(at, at + name.len());
    }

    /// Adds a field as a peer sent it; the name becomes lower case.
    fn push_received(&mut self, name: &str, value: &[u8]) {
        let at = self.lines.len();
        let colon = at + name.len();
        self.lines.extend_from_slice(name.as_bytes());
        if let Some(name) = self.lines.get_mut(at..) {
            name.make_ascii_lowercase();
        }
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
        self.note(at, colon);
    }

    fn note(&mut self, at: usize, colon: usize) {
        let known = Known::of(self.lines.get(at..colon).unwrap_or_default());
        self.seen |= known.bit();
        // A head has some MB at the most.
        let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let end = place(self.lines.len());
        self.fields.push(Field { at: place(at), colon: place(colon), end, known, live: true });
    }

    /// Takes away every field of a known name.
    pub fn remove(&mut self, known: Known) {
        if self.has(known) {
            self.fields.iter_mut().filter(|f| f.known == known).for_each(|f| f.live = false);
            self.seen &= !known.bit();
        }
    }

    /// Takes away every field of this name, however it is written.
    pub fn remove_named(&mut self, name: &[u8]) {
        let Self { lines, fields, seen, .. } = self;
        for field in fields.iter_mut().filter(|f| f.live) {
            if field.name(lines).eq_ignore_ascii_case(name) {
                field.live = false;
                if field.known != Known::Other {
                    *seen &= !field.known.bit();
                }
            }
        }
    }

    /// Puts one field in the place of all with its name.
    pub fn set(&mut self, name: &HeaderName, value: &[u8]) {
        self.remove_named(name.as_str().as_bytes());
        self.push(name.as_str(), value);
    }
}

#[cfg(test)]
mod tests;
