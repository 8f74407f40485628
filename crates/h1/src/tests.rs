use proptest::prelude::*;

use super::read::{self, HeadLimits};
use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 8_192, headers: 20 };

fn request(bytes: &[u8]) -> Result<Option<(usize, Head)>, Refused> {
    let mut head = Head::default();
    Ok(read::request(bytes, LIMITS, &mut head)?.map(|len| (len, head)))
}

fn whole(text: &str) -> Head {
    request(text.as_bytes()).expect("sound").expect("whole").1
}

#[test]
fn a_request_is_read_in_one_form() {
    let head = whole("GET /a/b?c=d HTTP/1.1\r\nHost: Shop:81\r\nX-A:  1 \r\nx-a: 2\r\n\r\n");
    assert_eq!((head.method(), head.target()), ("GET", "/a/b?c=d"));
    assert_eq!((head.path(), head.query()), ("/a/b", Some("c=d")));
    assert_eq!((head.host(), head.is_old()), (Some(&b"Shop:81"[..]), false));
    assert_eq!(head.named("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!((head.len(), head.first(Known::Via)), (3, None));
    assert_eq!(whole("GET /? HTTP/1.1\r\nhost:\r\n\r\n").query(), Some(""));
}

#[test]
fn an_absolute_target_decides_over_the_host() {
    let head = whole("GET http://real:81?b HTTP/1.1\r\nhost: liar\r\n\r\n");
    assert_eq!((head.target(), head.path(), head.query()), ("/?b", "/", Some("b")));
    assert_eq!(head.host(), Some(&b"real:81"[..]));
    assert_eq!(head.only(Known::Host), Some(&b"real:81"[..]));
    assert_eq!(whole("OPTIONS http://a HTTP/1.1\r\nhost: a\r\n\r\n").target(), "/");
}

#[test]
fn a_head_is_used_again_without_its_past() {
    let mut head = whole("GET http://a/b HTTP/1.0\r\nconnection: x\r\nvia: y\r\n\r\n");
    read::request(b"PUT /c HTTP/1.1\r\nhost: b\r\n\r\n", LIMITS, &mut head).expect("sound");
    assert_eq!((head.method(), head.target(), head.host()), ("PUT", "/c", Some(&b"b"[..])));
    assert!(!head.is_old() && !head.has(Known::Via) && head.len() == 1);
}

#[test]
fn what_two_parties_could_read_in_two_ways_is_refused() {
    for bad in [
        "GET / HTTP/1.1\nhost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\n\n",
        "\nGET / HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nx: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\rx: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nx: 1\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nx: 1\r\n\tfolded\r\n\r\n",
        "GET / HTTP/1.1\r\n host: h\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\ncontent-length : 5\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\ncontent-length\t: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\n: empty\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nx\0: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nx: \0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nx: \x0b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nx\u{e9}: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET  / HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET /  HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET /a b HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET a HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET * HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET / HTTP/1.2\r\nhost: h\r\n\r\n",
        "GET / HTTP/2.0\r\nhost: h\r\n\r\n",
        "GET / http/1.1\r\nhost: h\r\n\r\n",
        "GET / HTTP/1.1 \r\nhost: h\r\n\r\n",
        "GET / HTTP/01.1\r\nhost: h\r\n\r\n",
        "GET /\r\n\r\n",
        "G@T / HTTP/1.1\r\nhost: h\r\n\r\n",
        " GET / HTTP/1.1\r\nhost: h\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        assert_eq!(
            request(bad.as_bytes()).map(|r| r.map(|(len, _)| len)),
            Err(Refused::Malformed),
            "{bad:?}"
        );
    }
}

#[test]
fn empty_lines_before_a_request_are_passed_over() {
    assert_eq!(whole("\r\n\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\n").method(), "GET");
}

#[test]
fn a_head_has_a_limit_of_bytes_and_of_fields() {
    let long = |n| format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "a".repeat(n));
    let fixed = long(0).len();
    assert!(request(long(LIMITS.bytes - fixed).as_bytes()).is_ok_and(|r| r.is_some()));
    assert_eq!(request(long(LIMITS.bytes - fixed + 1).as_bytes()).err(), Some(Refused::HeadTooLarge));
    let unfinished = long(LIMITS.bytes);
    assert_eq!(request(&unfinished.as_bytes()[..LIMITS.bytes]).err(), Some(Refused::HeadTooLarge));
    assert!(request(&unfinished.as_bytes()[..LIMITS.bytes - 1]).is_ok_and(|r| r.is_none()));
    let many = |n| format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: 1\r\n".repeat(n));
    assert!(request(many(LIMITS.headers - 1).as_bytes()).is_ok());
    assert_eq!(request(many(LIMITS.headers).as_bytes()).err(), Some(Refused::HeadTooLarge));
}

#[test]
fn what_lies_beyond_the_limit_of_a_head_changes_no_verdict() {
    // As large as the longest target: read to its end, this one would be refused for its length instead.
    let limits = HeadLimits { bytes: 65_536, ..LIMITS };
    let target = format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "a".repeat(limits.bytes));
    for piece in [limits.bytes, limits.bytes + 1, target.len()] {
        let refused = read::request(&target.as_bytes()[..piece], limits, &mut Head::default());
        assert_eq!(refused.err(), Some(Refused::HeadTooLarge), "{piece}");
    }
}

#[test]
fn an_end_of_a_head_is_seen_wherever_it_is_cut() {
    let head = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    for had in 0..head.len() {
        assert!(read::may_end(head, had), "{had}");
        assert!(!read::may_end(&head[..head.len() - 2], had.min(head.len() - 2)), "{had}");
    }
    assert!(read::may_end(b"x\n\n", 0));
}

#[test]
fn a_response_of_another_protocol_is_none() {
    let mut head = Head::default();
    for bad in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\nx: 1\r\n\r\n",
        "HTTP/1.1 099 Odd\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: 1\r\n y\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
    ] {
        assert_eq!(read::response(bad.as_bytes(), LIMITS, &mut head), Err(read::BadResponse), "{bad:?}");
    }
    assert_eq!(read::response(b"HTTP/1.1 200\r\n\r\n", LIMITS, &mut head), Ok(Some(16)));
    assert_eq!((head.status(), head.reason()), (200, ""));
}

/// Bytes that heads are made of, and others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"host: h\r\n".to_vec()),
        Just(b"Content-Length: 5\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        prop::collection::vec(prop::sample::select(&b"\r\n :,;\t\0aZ/?#\x80"[..]), 0..6),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(came in bytes()) {
        if let Ok(Some((_, head))) = request(&came) {
            let mut out = Vec::new();
            head.write_request(None, &mut out);
            let (len, again) = request(&out).expect("sound").expect("whole");
            prop_assert_eq!(len, out.len());
            prop_assert_eq!((again.method(), again.target()), (head.method(), head.target()));
            prop_assert!(again.iter().eq(head.iter()));
        }
    }

    #[test]
    fn a_part_of_a_head_is_no_head_and_more_bytes_do_not_change_one(came in bytes(), more in bytes()) {
        if let Ok(Some((len, head))) = request(&came) {
            let (again, same) = request(&[came.clone(), more].concat()).expect("sound").expect("whole");
            prop_assert_eq!(again, len);
            prop_assert!(same.iter().eq(head.iter()));
            for cut in 0..len {
                prop_assert!(matches!(request(&came[..cut]), Ok(None)), "{cut}");
            }
        }
    }

    #[test]
    fn what_is_let_through_has_no_line_that_ends_otherwise(came in bytes()) {
        if let Ok(Some((len, _))) = request(&came) {
            let head = &came[..len];
            let bare = head.iter().enumerate().any(|(i, b)| {
                (*b == b'\n' && (i == 0 || head[i - 1] != b'\r'))
                    || (*b == b'\r' && head.get(i + 1) != Some(&b'\n'))
            });
            prop_assert!(!bare);
        }
    }
}
