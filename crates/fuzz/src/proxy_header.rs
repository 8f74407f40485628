//! Headers of the PROXY protocol: pieces do not change the verdict, and what is taken is written in one way only.

use std::net::SocketAddr;

use hotswap_gateway::proxy_header::read;

/// The beginning of a connection.
pub fn proxy_header(data: &[u8]) {
    let whole = read(data);
    // What came first has no other verdict than all of it, or none yet.
    for end in 0..data.len().min(256) {
        match (read(data.get(..end).unwrap_or_default()), whole) {
            (Ok(None), _) => {}
            (Err(_), verdict) => assert!(verdict.is_err(), "{}", data.escape_ascii()),
            (some, verdict) => assert_eq!(some, verdict, "{}", data.escape_ascii()),
        }
    }
    let Ok(Some(header)) = whole else { return };
    let text = data.get(..header.len).unwrap_or_else(|| panic!("longer than what came"));
    if let (Some(b'P'), Some(source)) = (text.first(), header.source) {
        let family = match source {
            SocketAddr::V4(_) => "PROXY TCP4 ",
            SocketAddr::V6(_) => "PROXY TCP6 ",
        };
        let text = std::str::from_utf8(text).unwrap_or_else(|e| panic!("{e}"));
        assert!(text.starts_with(family) && text.ends_with("\r\n"), "{text:?}");
        let port = text.trim_end().split(' ').nth(4);
        assert_eq!(port, Some(source.port().to_string().as_str()), "{text:?}");
        assert_eq!(text.split(' ').count(), 6, "{text:?}");
    }
}
