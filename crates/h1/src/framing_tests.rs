use super::*;
use crate::read::{self, HeadLimits};

const LIMITS: HeadLimits = HeadLimits { bytes: 65_536, headers: 100 };

fn request(version: &str, fields: &[&str]) -> Result<Framing, Refused> {
    let fields: String = fields.iter().map(|f| format!("{f}\r\n")).collect();
    let text = format!("POST / HTTP/{version}\r\nhost: h\r\n{fields}\r\n");
    let mut head = Head::default();
    read::request(text.as_bytes(), LIMITS, &mut head)?.expect("whole");
    of_request(&head)
}

fn response(to_head: bool, line: &str, fields: &[&str]) -> Option<(Framing, bool)> {
    let fields: String = fields.iter().map(|f| format!("{f}\r\n")).collect();
    let mut head = Head::default();
    read::response(format!("HTTP/{line}\r\n{fields}\r\n").as_bytes(), LIMITS, &mut head)
        .ok()?
        .expect("whole");
    of_response(&head, to_head)
}

#[test]
fn one_framing_is_taken() {
    assert_eq!(request("1.1", &[]), Ok(Framing::None));
    assert_eq!(request("1.1", &["content-length: 0"]), Ok(Framing::None));
    assert_eq!(request("1.0", &["Content-Length: 17"]), Ok(Framing::Length(17)));
    let largest = "content-length: 9999999999999999999";
    assert_eq!(request("1.1", &[largest]), Ok(Framing::Length(9_999_999_999_999_999_999)));
    assert_eq!(request("1.1", &["transfer-encoding: Chunked"]), Ok(Framing::Chunked));
}

#[test]
fn every_other_framing_of_a_request_is_refused() {
    let bad: &[&[&str]] = &[
        &["content-length: 5", "transfer-encoding: chunked"],
        &["transfer-encoding: chunked", "content-length: 5"],
        &["transfer-encoding: identity", "content-length: 5"],
        &["content-length: 5", "content-length: 5"],
        &["content-length: 5", "content-length: 6"],
        &["content-length: 5, 5"],
        &["content-length: +5"],
        &["content-length: -5"],
        &["content-length: 0x5"],
        &["content-length: 5 5"],
        &["content-length: 05"],
        &["content-length: 00"],
        &["content-length: 5.0"],
        &["content-length: "],
        &["content-length: 99999999999999999999"],
        &["content-length: 18446744073709551617"],
        &["content-length: \u{0661}"],
        &["transfer-encoding: "],
        &["transfer-encoding: identity"],
        &["transfer-encoding: xchunked"],
        &["transfer-encoding: chunked, identity"],
        &["transfer-encoding: chunked, chunked"],
        &["transfer-encoding: chunked", "transfer-encoding: chunked"],
        &["transfer-encoding: chunked", "transfer-encoding: identity"],
        &["transfer-encoding: chunked;q=1"],
        &["transfer-encoding: \"chunked\""],
        &["transfer-encoding: chunked,"],
        &["transfer-encoding: ,chunked, "],
    ];
    for fields in bad {
        assert_eq!(request("1.1", fields), Err(Refused::Malformed), "{fields:?}");
    }
    assert_eq!(request("1.0", &["transfer-encoding: chunked"]), Err(Refused::Malformed));
    for fields in [
        &["transfer-encoding: gzip, chunked"][..],
        &["transfer-encoding: gzip", "transfer-encoding: chunked"],
    ] {
        assert_eq!(request("1.1", fields), Err(Refused::Unsupported), "{fields:?}");
    }
}

#[test]
fn a_response_is_framed_by_its_status_its_request_and_its_head() {
    let chunked = "transfer-encoding: chunked";
    assert_eq!(response(false, "1.1 200 OK", &["content-length: 3"]), Some((Framing::Length(3), true)));
    assert_eq!(response(false, "1.1 200 OK", &[chunked]), Some((Framing::Chunked, true)));
    assert_eq!(response(false, "1.1 200 OK", &[]), Some((Framing::UntilClose, false)));
    assert_eq!(response(true, "1.1 200 OK", &["content-length: 3"]), Some((Framing::None, true)));
    for status in ["204", "304", "103"] {
        let line = format!("1.1 {status} X");
        assert_eq!(response(false, &line, &["content-length: 3"]), Some((Framing::None, true)));
        assert_eq!(response(false, &line, &[]), Some((Framing::None, true)));
    }
    let twice = ["content-length: 3", "content-length: 3"];
    assert_eq!(response(false, "1.1 200 OK", &twice), Some((Framing::Length(3), true)));
}

#[test]
fn a_response_that_is_framed_in_two_ways_costs_the_connection_and_a_wrong_one_is_refused() {
    let chunked = "transfer-encoding: chunked";
    assert_eq!(
        response(false, "1.1 200 OK", &[chunked, "content-length: 3"]),
        Some((Framing::Chunked, false))
    );
    let bad: &[(&str, &[&str])] = &[
        ("1.1 200 OK", &["content-length: 3", "content-length: 4"]),
        ("1.1 200 OK", &["content-length: x"]),
        ("1.1 200 OK", &["transfer-encoding: gzip, chunked"]),
        ("1.1 200 OK", &[chunked, chunked]),
        ("1.0 200 OK", &[chunked]),
    ];
    for (line, fields) in bad {
        assert_eq!(response(false, line, fields), None, "{line} {fields:?}");
    }
}

#[test]
fn a_connection_lasts_as_its_version_and_its_options_say() {
    let closes = |line, fields: &[&str]| response(true, line, fields).is_some_and(|(_, lasts)| !lasts);
    assert!(closes("1.1 200 OK", &["connection: x, Close"]));
    assert!(closes("1.1 200 OK", &["connection: keep-alive", "connection: close"]));
    assert!(closes("1.0 200 OK", &[]));
    assert!(!closes("1.0 200 OK", &["connection: Keep-Alive"]));
    assert!(closes("1.0 200 OK", &["connection: keep-alive, \u{e9}"]));
    assert!(!closes("1.1 200 OK", &["connection: closed"]));
}
