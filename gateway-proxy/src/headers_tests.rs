use http::header::COOKIE;

use super::*;

fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

fn lines(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut all: Vec<_> = headers
        .iter()
        .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
        .collect();
    all.sort();
    all
}

fn stripped(sent: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
    let mut headers = map(sent);
    let seen = Seen::of(&headers);
    strip_request(&mut headers, seen);
    lines(&headers)
}

#[test]
fn headers_of_the_connection_go_and_those_that_it_names_as_well() {
    let left = stripped(&[
        ("host", "h"),
        ("connection", "keep-alive, X-Private"),
        ("connection", "x-other"),
        ("x-private", "1"),
        ("x-other", "2"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("upgrade", "websocket"),
        ("accept", "*/*"),
    ]);
    assert_eq!(left, [("accept".into(), "*/*".into()), ("host".into(), "h".into())]);
}

#[test]
fn a_peer_cannot_name_the_framing_or_the_host_away() {
    let sent = [("host", "h"), ("content-length", "5"), ("connection", "close, content-length, host")];
    let left = stripped(&sent);
    assert_eq!(left, [("content-length".into(), "5".into()), ("host".into(), "h".into())]);
}

#[test]
fn trailers_are_asked_for_only_where_the_client_takes_them() {
    assert_eq!(stripped(&[("te", "gzip;q=0.5, trailers")]), [("te".into(), "trailers".into())]);
    assert!(stripped(&[("te", "gzip")]).is_empty());
}

#[test]
fn a_chunked_request_stays_chunked_and_other_codings_are_seen() {
    let chunked = [("transfer-encoding", " Chunked ")];
    assert_eq!(stripped(&chunked), [("transfer-encoding".into(), "chunked".into())]);
    assert!(is_plain_chunked(&map(&chunked)));
    assert!(!is_plain_chunked(&map(&[("transfer-encoding", "gzip, chunked")])));
    assert!(!is_plain_chunked(&map(&[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")])));
}

#[test]
fn of_two_framings_in_a_response_the_length_goes() {
    let mut headers = map(&[("transfer-encoding", "chunked"), ("content-length", "3"), ("server", "x")]);
    let seen = Seen::of(&headers);
    strip_response(&mut headers, seen);
    assert_eq!(lines(&headers), [("server".into(), "x".into())]);
}

#[test]
fn the_chain_of_addresses_grows_and_claims_of_scheme_and_host_are_replaced() {
    let mut headers = map(&[
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "liar"),
        ("via", "1.0 before"),
    ]);
    let seen = Seen::of(&headers);
    let (client, host) = (HeaderValue::from_static("3.3.3.3"), HeaderValue::from_static("shop"));
    announce_request(&mut headers, seen, &client, Some(&host), Version::HTTP_11);
    let got = lines(&headers);
    let want = [
        ("via", "1.0 before"),
        ("via", "1.1 hotswap"),
        ("x-forwarded-for", "1.1.1.1, 2.2.2.2, 3.3.3.3"),
        ("x-forwarded-host", "shop"),
        ("x-forwarded-proto", "http"),
    ];
    assert_eq!(got, want.map(|(n, v)| (n.to_owned(), v.to_owned())));
}

#[test]
fn edits_are_applied_in_their_order() {
    let mut headers = map(&[("x-a", "1"), ("x-a", "2"), ("cookie", "c"), ("x-b", "1")]);
    let value = HeaderValue::from_static;
    let edits = HeaderEdits {
        remove: vec![COOKIE, HeaderName::from_static("x-b")],
        set: vec![(HeaderName::from_static("x-a"), value("3"))],
        add: vec![(HeaderName::from_static("x-b"), value("2")), (HeaderName::from_static("x-a"), value("4"))],
    };
    edit(&mut headers, &edits);
    let want = [("x-a", "3"), ("x-a", "4"), ("x-b", "2")];
    assert_eq!(lines(&headers), want.map(|(n, v)| (n.to_owned(), v.to_owned())));
}
