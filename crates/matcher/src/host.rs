//! The Host of a request, read the same way wherever a request is matched.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// The host of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// In lower case, without port and trailing dot; empty: none.
    pub name: Cow<'a, str>,
    /// As written beside the name.
    pub port: Option<u16>,
}

/// Reads what stands in a Host header or an absolute target; `None`: it is no host.
pub fn parse_host(text: &str) -> Option<Host<'_>> {
    let (name, port) = match text.rsplit_once(':') {
        // An IPv6 address has colons of its own, in brackets.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
    };
    let inner = name.strip_prefix('[').map(|n| n.strip_suffix(']'));
    let sound = match inner {
        Some(None) => false,
        Some(Some(v6)) => v6.parse::<Ipv6Addr>().is_ok(),
        None => name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    if !sound {
        return None;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let lower = !name.bytes().any(|b| b.is_ascii_uppercase());
    let name = if lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) };
    Some(Host { name, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_address_with_a_port_or_without() {
        let of = |text| parse_host(text).map(|h| (h.name.into_owned(), h.port));
        assert_eq!(of("Shop.Example.:8080"), Some(("shop.example".into(), Some(8080))));
        assert_eq!(of("[::1]:80"), Some(("[::1]".into(), Some(80))));
        assert_eq!(of("[::1]"), Some(("[::1]".into(), None)));
        assert_eq!(of("a:"), Some(("a".into(), None)));
        assert_eq!(of(""), Some((String::new(), None)));
        for bad in [
            "a b",
            "user@a",
            "a/b",
            "a:b",
            "a:99999",
            "a:+1",
            "::1",
            "[::1",
            "a,b",
            "a?b",
            "[:1::2::3]",
            "[fe80::1%1]",
            "[]",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
