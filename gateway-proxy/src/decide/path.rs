//! Paths: what must not pass, and how they are rewritten.

use hotswap_matcher::PathRewrite;

/// Whether a path has a "." or ".." segment, however it is written: plain or percent-encoded, between plain
/// or encoded slashes or backslashes. Backends decode differently, so what one of them could take for a dot
/// segment is one.
pub fn has_dot_segment(path: &[u8]) -> bool {
    // Most paths have neither a dot nor an encoded one.
    if !path.iter().any(|b| matches!(b, b'.' | b'%')) {
        return false;
    }
    // Dots of the segment so far; `None`: it has something else in it.
    let mut dots = Some(0u8);
    let mut rest = path;
    while let Some((byte, tail)) = next_byte(rest) {
        rest = tail;
        match byte {
            b'/' | b'\\' => {
                if matches!(dots, Some(1 | 2)) {
                    return true;
                }
                dots = Some(0);
            }
            b'.' => dots = dots.map(|n| n.saturating_add(1)),
            _ => dots = None,
        }
    }
    matches!(dots, Some(1 | 2))
}

fn next_byte(path: &[u8]) -> Option<(u8, &[u8])> {
    let hex = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    match path {
        [b'%', high, low, tail @ ..] => match (hex(high), hex(low)) {
            (Some(h), Some(l)) => Some((h * 16 + l, tail)),
            _ => Some((b'%', path.get(1..)?)),
        },
        [byte, tail @ ..] => Some((*byte, tail)),
        [] => None,
    }
}

/// The path with its query, as a rewrite leaves it.
pub fn rewritten(
    rewrite: &PathRewrite,
    path: &str,
    query: Option<&str>,
    prefix_len: Option<usize>,
) -> String {
    let (head, tail) = match rewrite {
        PathRewrite::Full(full) => (full.as_str(), ""),
        // The matcher takes a route with this rewrite only by prefix.
        PathRewrite::Prefix(with) => (with.as_str(), path.get(prefix_len.unwrap_or(0)..).unwrap_or_default()),
    };
    let mut out = String::with_capacity(head.len() + tail.len() + query.map_or(1, |q| q.len() + 2));
    out.push_str(head);
    out.push_str(tail);
    if out.is_empty() {
        out.push('/');
    }
    if let Some(query) = query {
        out.push('?');
        out.push_str(query);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_seen_however_they_are_written() {
        for bad in [
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/%2e",
            "/%2E%2e/x",
            "/a/.%2e/b",
            "/a/..%2fb",
            "/a%2f..%2Fb",
            "/a%5c..%5cb",
            "/a\\..\\b",
        ] {
            assert!(has_dot_segment(bad.as_bytes()), "{bad}");
        }
        for good in
            ["/", "/a.b", "/.well-known/x", "/...", "/a..b/c", "/%2e%2e%2e", "/a%2", "/a%zz/..b", "/a/b."]
        {
            assert!(!has_dot_segment(good.as_bytes()), "{good}");
        }
    }

    #[test]
    fn a_prefix_is_replaced_by_whole_segments_and_the_query_stays() {
        let prefix = |with: &str| PathRewrite::Prefix(with.to_owned());
        let shop = Some("/shop".len());
        assert_eq!(rewritten(&prefix(""), "/shop/cart", Some("a=1"), shop), "/cart?a=1");
        assert_eq!(rewritten(&prefix(""), "/shop", None, shop), "/");
        assert_eq!(rewritten(&prefix(""), "/shop", Some("q"), shop), "/?q");
        assert_eq!(rewritten(&prefix("/v2/s"), "/shop/", None, shop), "/v2/s/");
        assert_eq!(rewritten(&prefix("/v2"), "/x", None, Some(0)), "/v2/x", "the prefix \"/\"");
        assert_eq!(rewritten(&PathRewrite::Full("/one".into()), "/shop/cart", Some(""), None), "/one?");
    }
}
