//! A route's edits of a head.

use hotswap_h1::Head;
use hotswap_matcher::HeaderEdits;

/// Applies them: remove, set, add.
pub(super) fn apply(edits: &HeaderEdits, head: &mut Head) {
    for name in &edits.remove {
        head.remove_named(name.as_str().as_bytes());
    }
    for (name, value) in &edits.set {
        head.set(name, value.as_bytes());
    }
    for (name, value) in &edits.add {
        head.push(name.as_str(), value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn edits_are_applied_in_their_order() {
        let mut head = Head::default();
        for (name, value) in [("x-a", "1"), ("x-a", "2"), ("cookie", "c"), ("x-b", "1")] {
            head.push(name, value.as_bytes());
        }
        let (name, value) = (HeaderName::from_static, HeaderValue::from_static);
        let edits = HeaderEdits {
            remove: vec![http::header::COOKIE, name("x-b")],
            set: vec![(name("x-a"), value("3"))],
            add: vec![(name("x-b"), value("2")), (name("x-a"), value("4"))],
        };
        apply(&edits, &mut head);
        let left: Vec<_> = head.iter().collect();
        let want: [(&[u8], &[u8]); 3] = [(b"x-a", b"3"), (b"x-b", b"2"), (b"x-a", b"4")];
        assert_eq!(left, want);
    }
}
