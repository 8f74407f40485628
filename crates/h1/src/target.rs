//! The target of a request.

/// A target that may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// What an absolute target names before its path.
    pub authority: Option<&'a str>,
    /// The path with the query; empty where an absolute target has none.
    pub origin: &'a str,
}

const PATH: u8 = 1;
const QUERY: u8 = 2;

/// Where a byte may stand: what RFC 3986 has, and some that clients send as they are. Nothing beyond ASCII, and
/// no "#": what follows it is no part of a target.
const fn place_of(byte: u8) -> u8 {
    match byte {
        b'!' | b'$'..=b';' | b'=' | b'@'..=b'_' | b'a'..=b'~' => PATH | QUERY,
        b'"' => PATH,
        b'?' | b'`' => QUERY,
        _ => 0,
    }
}

static PLACES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = place_of(byte as u8);
        byte += 1;
    }
    table
};

/// Whether every byte of a path with its query may stand where it does.
fn is_sound(origin: &str) -> bool {
    let all = |text: &str, place| text.bytes().all(|b| PLACES[usize::from(b)] & place != 0);
    match origin.bytes().position(|b| b == b'?') {
        Some(at) => {
            all(origin.get(..at).unwrap_or_default(), PATH)
                && all(origin.get(at..).unwrap_or_default(), QUERY)
        }
        None => all(origin, PATH),
    }
}

impl<'a> Target<'a> {
    /// Reads one in origin form, in absolute form or as "*"; `None`: it is none of these.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.starts_with('/') || text == "*" {
            return is_sound(text).then_some(Self { authority: None, origin: text });
        }
        let rest = strip_scheme(text)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, origin) = rest.split_at_checked(end)?;
        let sound = !authority.is_empty() && is_sound(origin);
        sound.then_some(Self { authority: Some(authority), origin })
    }
}

fn strip_scheme(text: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_of_three_forms() {
        let of = |text| Target::parse(text).map(|t| (t.authority, t.origin));
        assert_eq!(of("/a?b=c"), Some((None, "/a?b=c")));
        assert_eq!(of("*"), Some((None, "*")));
        assert_eq!(of("HTTP://a:81/b?c"), Some((Some("a:81"), "/b?c")));
        assert_eq!(of("https://a"), Some((Some("a"), "")));
        assert_eq!(of("http://a?b"), Some((Some("a"), "?b")));
        for bad in ["", "a:80", "*/", "ftp://a/", "http:///a", "http://", "http:/a", "a"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn bytes_that_no_target_has_are_refused() {
        for byte in (0..=255u8).filter(|b| !b.is_ascii() || *b <= b' ' || b"#<>\x7f".contains(b)) {
            for text in [format!("/a{}", char::from(byte)), format!("/?{}", char::from(byte))] {
                assert_eq!(Target::parse(&text), None, "{byte:#x}");
            }
        }
        assert!(Target::parse("/a|b{c}[d]^\"\\~?`'{}?").is_some());
        assert!(Target::parse("/`").is_none() && Target::parse("/?\"").is_none());
    }
}
