//! Targets and hosts: what is taken, other libraries take as the same.

use hotswap_gateway::decide::path::has_dot_segment;
use hotswap_h1::Target;
use hotswap_matcher::parse_host;
use http::Uri;
use http::uri::{Authority, PathAndQuery};

/// A target, and the same text as a host.
pub fn target(data: &[u8]) {
    dots(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    host(text);
    let Some(target) = Target::parse(text) else { return };
    assert!(text.is_ascii() || target.authority.is_some(), "{text:?}");
    if !target.origin.is_empty() {
        let origin = target.origin.strip_prefix('?').map_or(target.origin.to_owned(), |q| format!("/?{q}"));
        let parsed: PathAndQuery = origin.parse().unwrap_or_else(|e| panic!("{origin:?}: {e}"));
        assert_eq!(parsed.as_str(), origin);
    }
    if let Some(authority) = target.authority.filter(|a| parse_host(a).is_some_and(|h| !h.name.is_empty())) {
        host(authority);
        let uri: Uri = text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(uri.authority().map(Authority::as_str), Some(authority));
    }
}

fn host(text: &str) {
    let Some(host) = parse_host(text) else { return };
    assert!(host.name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()), "{text:?}");
    if host.name.is_empty() {
        return;
    }
    // It may refuse what we take, as an address in brackets that is none; but not read it otherwise.
    if let Ok(other) = text.parse::<Authority>() {
        let name = other.host().to_ascii_lowercase();
        assert_eq!(host.name, name.strip_suffix('.').unwrap_or(&name), "{text:?}");
        assert_eq!(host.port, other.port_u16(), "{text:?}");
    }
}

/// A path decoded once and cut at every kind of slash.
fn dots(path: &[u8]) {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let (mut plain, mut at) = (Vec::new(), 0);
    while let Some(byte) = path.get(at) {
        match (byte, hex(path.get(at + 1)), hex(path.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                plain.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            _ => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    let has = plain.split(|b| matches!(b, b'/' | b'\\')).any(|s| s == b"." || s == b"..");
    assert_eq!(has_dot_segment(path), has, "{}", crate::case::shown(path));
}
