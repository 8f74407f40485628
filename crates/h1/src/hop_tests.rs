use super::*;
use crate::read::{self, HeadLimits};

const LIMITS: HeadLimits = HeadLimits { bytes: 65_536, headers: 100 };

fn head(version: &str, fields: &[(&str, &str)]) -> Head {
    let fields: String = fields.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    let text = format!("POST / HTTP/{version}\r\n{fields}\r\n");
    let mut head = Head::default();
    read::request(text.as_bytes(), LIMITS, &mut head).expect("sound").expect("whole");
    head
}

fn lines(head: &Head) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut all: Vec<_> = head.iter().map(|(n, v)| (text(n), text(v))).collect();
    all.sort();
    all
}

fn stripped(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut head = head("1.1", &[&[("host", "h")], fields].concat());
    head.strip_request();
    lines(&head).into_iter().filter(|(n, _)| n != "host").collect()
}

fn one(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

#[test]
fn headers_of_the_connection_go_and_those_that_it_names_as_well() {
    let left = stripped(&[
        ("Connection", "keep-alive, X-Private,, "),
        ("connection", "x-other"),
        ("X-Private", "1"),
        ("x-other", "2"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("upgrade", "websocket"),
        ("accept", "*/*"),
    ]);
    assert_eq!(left, one("accept", "*/*"));
}

#[test]
fn a_peer_cannot_name_the_framing_or_the_host_away() {
    let left = stripped(&[("content-length", "5"), ("connection", "close, Content-Length, HOST")]);
    assert_eq!(left, one("content-length", "5"));
    let mut head = head("1.1", &[("host", "h"), ("connection", "host")]);
    head.strip_request();
    assert!(head.has(Known::Host));
}

#[test]
fn trailers_are_asked_for_only_where_the_client_takes_them() {
    assert_eq!(stripped(&[("te", "gzip;q=0.5, Trailers")]), one("te", "trailers"));
    assert!(stripped(&[("te", "gzip")]).is_empty());
    assert!(
        stripped(&[("te", "trailers"), ("connection", "te")]).contains(&("te".into(), "trailers".into()))
    );
}

#[test]
fn a_coding_is_written_in_one_way() {
    assert_eq!(stripped(&[("Transfer-Encoding", " Chunked ")]), one("transfer-encoding", "chunked"));
}

#[test]
fn the_chain_of_addresses_grows_and_claims_of_scheme_and_host_are_replaced() {
    let mut head = head(
        "1.0",
        &[
            ("host", "shop"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "liar"),
            ("via", "1.0 before"),
        ],
    );
    head.announce_request(Announced { client: "3.3.3.3", scheme: "http" });
    let want = [
        ("host", "shop"),
        ("via", "1.0 before"),
        ("via", "1.0 hotswap"),
        ("x-forwarded-for", "1.1.1.1, 2.2.2.2, 3.3.3.3"),
        ("x-forwarded-host", "shop"),
        ("x-forwarded-proto", "http"),
    ];
    assert_eq!(lines(&head), want.map(|(n, v)| (n.to_owned(), v.to_owned())));
}

#[test]
fn a_request_without_a_host_claims_none() {
    let mut head = head("1.0", &[("x-forwarded-host", "liar")]);
    head.announce_request(Announced { client: "::1", scheme: "http" });
    assert!(!head.has(Known::ForwardedHost));
}

#[test]
fn a_wish_to_switch_names_one_protocol_and_connection_says_so() {
    let wish = |fields: &str| {
        let mut head = Head::default();
        let text = format!("GET / HTTP/1.1\r\nhost: h\r\n{fields}\r\n");
        read::request(text.as_bytes(), LIMITS, &mut head).expect("sound").expect("whole");
        let wanted = head.wanted_protocol().map(|p| String::from_utf8_lossy(p).into_owned());
        head.strip_request();
        assert!(!head.has(Known::Upgrade) && head.named("http2-settings").next().is_none(), "{fields}");
        wanted
    };
    let websocket = Some("WebSocket".to_owned());
    assert_eq!(wish("connection: Keep-Alive,UPGRADE\r\nupgrade: WebSocket\r\n"), websocket);
    assert_eq!(wish("connection: close\r\nconnection: upgrade\r\nupgrade:  WebSocket \r\n"), websocket);
    for none in [
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
        "connection: upgraded\r\nupgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: websocket, h2c\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nupgrade: h2c\r\nhttp2-settings: x\r\n",
    ] {
        assert_eq!(wish(none), None, "{none}");
    }
}

#[test]
fn of_two_framings_in_a_response_the_length_goes_and_of_equal_lengths_one_stays() {
    let read = |text: &str| {
        let mut head = Head::default();
        read::response(text.as_bytes(), LIMITS, &mut head).expect("sound").expect("whole");
        head.strip_response();
        head.keep_one_length();
        lines(&head)
    };
    let two = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\nserver: x\r\n\r\n";
    assert_eq!(read(two), one("server", "x"));
    let equal = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n";
    assert_eq!(read(equal), one("content-length", "3"));
    assert!(read("HTTP/1.1 204 No\r\ncontent-length: 3\r\n\r\n").is_empty());
}
