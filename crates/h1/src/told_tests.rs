use proptest::prelude::*;

use super::*;
use crate::framing::{self, Framing};
use crate::read;

const LIMITS: HeadLimits = HeadLimits { bytes: 1_024, headers: 10 };
const GET: Told<'_> =
    Told { method: "GET", protocol: None, authority: Some("Shop:81"), target: "/a?b", has_body: false };

fn told(told: Told<'_>, fields: &[(&str, &[u8])]) -> Result<Head, Refused> {
    let mut head = Head::default();
    request(&told, fields.iter().copied(), LIMITS, &mut head).map(|()| head)
}

fn refused(what: Told<'_>, fields: &[(&str, &[u8])]) -> Option<Refused> {
    told(what, fields).err()
}

fn written(head: &Head) -> String {
    let mut out = Vec::new();
    head.write_request(None, &mut out);
    String::from_utf8(out).expect("text")
}

#[test]
fn a_request_becomes_what_http_1_1_would_have_brought() {
    let head = told(GET, &[("x-a", b"1"), ("cookie", b"a=1"), ("te", b"trailers"), ("cookie", b"b=2")]);
    let head = head.expect("sound");
    assert_eq!((head.path(), head.query(), head.host()), ("/a", Some("b"), Some(&b"Shop:81"[..])));
    assert_eq!(
        written(&head),
        "GET /a?b HTTP/1.1\r\nhost: Shop:81\r\nx-a: 1\r\nte: trailers\r\ncookie: a=1; b=2\r\n\r\n"
    );
    assert_eq!(framing::of_request(&head), Ok(Framing::None));
    assert!(!head.is_old());
}

#[test]
fn a_part_of_a_cookie_that_is_empty_leaves_nothing_behind() {
    let parts: [(&str, &[u8]); 4] = [("cookie", b""), ("cookie", b"a=1"), ("cookie", b""), ("x-a", b"1")];
    let head = told(GET, &parts).expect("sound");
    assert_eq!(written(&head), "GET /a?b HTTP/1.1\r\nhost: Shop:81\r\nx-a: 1\r\ncookie: a=1\r\n\r\n");
}

#[test]
fn a_body_without_a_length_goes_on_in_chunks() {
    let post = Told { method: "POST", has_body: true, ..GET };
    assert_eq!(framing::of_request(&told(post, &[]).expect("sound")), Ok(Framing::Chunked));
    let with = told(post, &[("content-length", b"5")]).expect("sound");
    assert_eq!(framing::of_request(&with), Ok(Framing::Length(5)));
    let two = told(post, &[("content-length", b"5"), ("content-length", b"5")]).expect("a head");
    assert_eq!(framing::of_request(&two), Err(Refused::Malformed));
}

#[test]
fn the_host_is_told_once_or_twice_alike() {
    let bare = Told { authority: None, ..GET };
    assert_eq!(
        told(GET, &[("host", b"shop:81")]).expect("the same").only(Known::Host),
        Some(&b"Shop:81"[..])
    );
    assert_eq!(told(bare, &[("host", b"h")]).expect("sound").host(), Some(&b"h"[..]));
    assert_eq!(refused(GET, &[("host", b"other")]), Some(Refused::Malformed));
    assert_eq!(refused(bare, &[]), Some(Refused::Malformed));
    assert_eq!(refused(bare, &[("host", b"a"), ("host", b"a")]), Some(Refused::Malformed));
    assert_eq!(refused(Told { authority: Some("u@h"), ..GET }, &[]), Some(Refused::Malformed));
}

#[test]
fn nothing_that_would_be_another_message_in_http_1_1_passes() {
    let bad: [(&str, &[u8]); 22] = [
        ("connection", b"close"),
        ("keep-alive", b"1"),
        ("proxy-connection", b"close"),
        ("transfer-encoding", b"chunked"),
        ("upgrade", b"h2c"),
        ("te", b"gzip"),
        ("te", b"trailers, gzip"),
        ("X-Upper", b"1"),
        ("x a", b"1"),
        ("x:a", b"1"),
        ("x\r\na", b"1"),
        ("x\0", b"1"),
        ("", b"1"),
        (":path", b"/"),
        ("x-a", b"1\r\nx-b: 2"),
        ("x-a", b"1\n"),
        ("x-a", b"1\r"),
        ("x-a", b"1\0"),
        ("x-a", b"\x7f"),
        ("x-a", b" 1"),
        ("x-a", b"1\t"),
        ("x-\u{e4}", b"1"),
    ];
    for field in bad {
        assert_eq!(refused(GET, &[field]), Some(Refused::Malformed), "{field:?}");
        let mut head = Head::default();
        if field.0 != "te" {
            assert!(trailers([field].into_iter(), &mut head).is_err(), "{field:?}");
        }
    }
    for target in ["", "*", "a", "//h /x", "/a b", "/a\r\nx: 1", "/\0", "http://h/", "/#f", "/\u{e4}"] {
        assert_eq!(refused(Told { target, ..GET }, &[]), Some(Refused::Malformed), "{target:?}");
    }
    for method in ["", "G ET", "GET\r\n", "G\0"] {
        assert_eq!(refused(Told { method, ..GET }, &[]), Some(Refused::Malformed), "{method:?}");
    }
    assert!(told(Told { method: "OPTIONS", target: "*", ..GET }, &[]).is_ok());
}

#[test]
fn a_wish_for_another_protocol_becomes_that_of_http_1_1() {
    let wish = Told { method: "CONNECT", protocol: Some("websocket"), ..GET };
    let head = told(wish, &[("x-a", b"1")]).expect("sound");
    assert_eq!(head.wanted_protocol(), Some(&b"websocket"[..]));
    assert_eq!(
        written(&head),
        "GET /a?b HTTP/1.1\r\nhost: Shop:81\r\nx-a: 1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    assert_eq!(head.came("upgrade").count(), 0, "no field of the client's");
    assert!(told(Told { protocol: Some("a/2"), ..wish }, &[]).is_ok());
    for protocol in ["", "a b", "a, b", "a/", "a\r\nx: 1", "a\0", "\u{e4}"] {
        assert_eq!(
            refused(Told { protocol: Some(protocol), ..wish }, &[]),
            Some(Refused::Malformed),
            "{protocol:?}"
        );
    }
    assert_eq!(refused(Told { method: "GET", ..wish }, &[]), Some(Refused::Malformed));
    assert_eq!(refused(Told { target: "", ..wish }, &[]), Some(Refused::Malformed));
    assert_eq!(refused(wish, &[("upgrade", b"h2c")]), Some(Refused::Malformed));
}

#[test]
fn the_limits_of_a_head_hold() {
    let long = vec![b'a'; 1_024];
    assert_eq!(refused(GET, &[("x", &long)]), Some(Refused::HeadTooLarge));
    let many = vec![("x", &b"1"[..]); 10];
    assert_eq!(refused(GET, &many), Some(Refused::HeadTooLarge));
    assert!(told(GET, &many[..9]).is_ok());
    let target = format!("/{}", "a".repeat(1_024));
    assert_eq!(refused(Told { target: &target, ..GET }, &[]), Some(Refused::HeadTooLarge));
}

/// Bytes of which many mean something in a head.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => b'a'..=b'z', 2 => prop::sample::select(&b" \t\r\n:;,\0/*@\x7f\x80"[..]), 1 => any::<u8>()];
    prop::collection::vec(byte, 0..12)
}

fn text() -> impl Strategy<Value = String> {
    bytes().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn field() -> impl Strategy<Value = (String, Vec<u8>)> {
    const KNOWN: [&str; 7] =
        ["host", "connection", "transfer-encoding", "content-length", "te", "cookie", "x-a"];
    (prop_oneof![prop::sample::select(&KNOWN[..]).prop_map(str::to_owned), text()], bytes())
}

proptest! {
    /// Whatever is told: it is refused, or it is one request in HTTP/1.1, and that one.
    #[test]
    fn what_is_taken_is_read_as_the_same_request(
        method in prop_oneof![Just("GET".to_owned()), Just("POST".to_owned()), text()],
        authority in prop::option::of(prop_oneof![Just("h".to_owned()), text()]),
        target in prop_oneof![Just("/a?b".to_owned()), text().prop_map(|t| format!("/{t}")), text()],
        protocol in prop::option::weighted(0.2, prop_oneof![Just("websocket".to_owned()), text()]),
        fields in prop::collection::vec(field(), 0..5),
        has_body: bool,
    ) {
        let method = if protocol.is_some() { "CONNECT".to_owned() } else { method };
        let (authority, protocol) = (authority.as_deref(), protocol.as_deref());
        let what = Told { method: &method, protocol, authority, target: &target, has_body };
        let mut head = Head::default();
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        if request(&what, fields, LIMITS, &mut head).is_ok()
            && head.method() != "CONNECT"
            && let Ok(framing) = framing::of_request(&head)
        {
            let mut written = Vec::new();
            head.write_request(None, &mut written);
            let mut again = Head::default();
            let limits = HeadLimits { bytes: 4 * LIMITS.bytes, ..LIMITS };
            prop_assert_eq!(read::request(&written, limits, &mut again), Ok(Some(written.len())));
            prop_assert_eq!((again.method(), again.target()), (head.method(), head.target()));
            prop_assert_eq!(again.host(), head.host());
            prop_assert_eq!(again.iter().collect::<Vec<_>>(), head.iter().collect::<Vec<_>>());
            prop_assert_eq!(framing::of_request(&again), Ok(framing));
        }
    }
}

#[test]
fn a_response_becomes_what_http_1_1_would_have_brought() {
    let told = |fields: &[(&'static str, &'static [u8])]| {
        let mut head = Head::default();
        response(http::StatusCode::NOT_FOUND, fields.iter().copied(), LIMITS, &mut head).map(|()| head)
    };
    let head = told(&[("x-a", b"1"), ("set-cookie", b"a"), ("set-cookie", b"b")]).expect("sound");
    let mut out = Vec::new();
    head.write_response(false, &mut out);
    assert_eq!(out, b"HTTP/1.1 404 Not Found\r\nx-a: 1\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n");
    assert_eq!(framing::of_response(&head, false), Some((Framing::UntilClose, false)));
    for odd in [("X-A", &b"1"[..]), ("x-a", b"1\r\nx-b: 2"), ("transfer-encoding", b"chunked"), ("", b"1")] {
        assert_eq!(told(&[odd]).err(), Some(Refused::Malformed), "{odd:?}");
    }
    assert_eq!(told(&[("x-a", &[b'a'; 2_000])]).err(), Some(Refused::HeadTooLarge));
}
