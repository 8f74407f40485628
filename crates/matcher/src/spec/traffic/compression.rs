//! Which answers are compressed, and how.

use hotswap_core::Violations;

use crate::draft::CompressionDraft;
use crate::spec::condition::parse_each;
use crate::spec::resilience::Numbers;

/// The shortest body that is worth it, in bytes, where a route says nothing of it.
const MIN_LENGTH: u32 = 1_024;
const MAX_TYPES: usize = 64;
/// What is compressed where a route says nothing of it: texts.
const TYPES: &[&str] = &[
    "text/*",
    "application/javascript",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/problem+json",
    "application/rss+xml",
    "application/atom+xml",
    "application/wasm",
    "application/xhtml+xml",
    "application/xml",
    "application/x-ndjson",
    "application/graphql-response+json",
    "image/svg+xml",
];

/// Which answers are compressed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// What clients can have; of those that one takes equally the first.
    pub codings: Vec<ContentCoding>,
    /// Of which types.
    pub types: Vec<ContentType>,
    /// From so many bytes on, where the length is known.
    pub min_length: u64,
    /// 1: fastest, to 9: smallest; `None`: as each coding has it.
    pub quality: Option<u8>,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

/// A type of content, or all of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// "text", in lower case.
    kind: String,
    /// "html", in lower case; `None`: any.
    of: Option<String>,
}

impl ContentCoding {
    /// All, the most wanted first.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// As HTTP names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

impl ContentType {
    fn parse(text: &str) -> Result<Self, Violations> {
        let bad = |why: &str| Violations::one("", why);
        let text = text.to_ascii_lowercase();
        let (kind, of) = text.split_once('/').ok_or_else(|| bad("must be as \"text/html\" or \"text/*\""))?;
        let is_token = |part: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
            !part.is_empty() && part.len() <= 127 && part.bytes().all(fits)
        };
        if !is_token(kind) || !(of == "*" || is_token(of)) {
            return Err(bad("must be as \"text/html\" or \"text/*\""));
        }
        if kind == "application" && of.starts_with("grpc") {
            return Err(bad("has a compression of its own"));
        }
        Ok(Self { kind: kind.to_owned(), of: Some(of).filter(|of| *of != "*").map(str::to_owned) })
    }

    /// Whether the value of a header Content-Type is of it.
    fn has(&self, value: &[u8]) -> bool {
        let bare = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let Some(slash) = bare.iter().position(|b| *b == b'/') else { return false };
        let (kind, of) = bare.split_at(slash);
        let of = of.get(1..).unwrap_or_default();
        kind.eq_ignore_ascii_case(self.kind.as_bytes())
            && self.of.as_ref().is_none_or(|only| of.eq_ignore_ascii_case(only.as_bytes()))
    }
}

impl Compression {
    /// Whether bodies of the type that a header Content-Type names are compressed.
    pub fn has_type(&self, value: &[u8]) -> bool {
        self.types.iter().any(|t| t.has(value))
    }

    pub(super) fn parse(draft: &CompressionDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let mut codings = parse_each(&mut v, "codings", &draft.codings, |name| coding(name));
        if codings.len() > ContentCoding::ALL.len() {
            v.add("codings", "must have at most 3 entries");
        }
        if codings.is_empty() {
            codings = ContentCoding::ALL.to_vec();
        }
        if draft.content_types.len() > MAX_TYPES {
            v.add("content_types", "must have at most 64 entries");
        }
        let mut types = parse_each(&mut v, "content_types", &draft.content_types, |t| ContentType::parse(t));
        if draft.content_types.is_empty() {
            types = TYPES.iter().filter_map(|t| ContentType::parse(t).ok()).collect();
        }
        let mut n = Numbers(&mut v);
        let min_length = n.take("min_length", draft.min_length, MIN_LENGTH, 1..=1_048_576);
        let quality = n.take("quality", draft.quality, 1, 1..=9);
        v.into_result()?;
        let quality = u8::try_from(quality).ok().filter(|_| draft.quality > 0);
        Ok(Self { codings, types, min_length: u64::from(min_length), quality })
    }
}

fn coding(name: &str) -> Result<ContentCoding, Violations> {
    let found = ContentCoding::ALL.into_iter().find(|coding| coding.name() == name);
    found.ok_or_else(|| Violations::one("", "must be one of zstd, br and gzip"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_whatever_stands_behind_them() {
        let draft = CompressionDraft {
            content_types: ["Text/*", "application/json"].map(str::to_owned).into(),
            ..CompressionDraft::default()
        };
        let found = Compression::parse(&draft).expect("valid");
        for good in ["text/html", "TEXT/html; charset=utf-8", "application/json;a=b", " text/x "] {
            assert!(found.has_type(good.as_bytes()), "{good}");
        }
        for bad in ["application/jsonp", "application/json+x", "textx/html", "text", "", "image/png"] {
            assert!(!found.has_type(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn what_is_not_said_has_the_defaults_of_the_contract() {
        let found = Compression::parse(&CompressionDraft::default()).expect("valid");
        assert_eq!(
            (found.codings, found.min_length, found.quality),
            (ContentCoding::ALL.to_vec(), 1_024, None)
        );
        assert_eq!(found.types.len(), TYPES.len(), "every one of them is read");
    }

    #[test]
    fn each_fault_is_named() {
        let texts = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect();
        let draft = CompressionDraft {
            codings: texts(&["br", "deflate", "identity", "zstd"]),
            content_types: texts(&["text/html", "*/*", "text", "application/grpc+proto", "a/b;c"]),
            min_length: 1_048_577,
            quality: 10,
        };
        let faults = Compression::parse(&draft).expect_err("bad");
        let fields: Vec<_> = faults.iter().map(|f| f.field.clone()).collect();
        assert_eq!(
            fields,
            [
                "codings[1]",
                "codings[2]",
                "content_types[1]",
                "content_types[2]",
                "content_types[3]",
                "content_types[4]",
                "min_length",
                "quality",
            ]
        );
    }
}
