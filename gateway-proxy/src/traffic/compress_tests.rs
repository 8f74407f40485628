use hotswap_matcher::{CompressionDraft, ForwardDraft, RouteDraft, RouteSpec, TrafficDraft};
use http::HeaderMap;
use proptest::prelude::*;

use super::*;

fn spec(codings: &[&str]) -> Arc<TrafficSpec> {
    let codings = codings.iter().map(|c| (*c).to_owned()).collect();
    let compression = Some(CompressionDraft { codings, min_length: 100, ..CompressionDraft::default() });
    let traffic = Some(Box::new(TrafficDraft { compression, ..TrafficDraft::default() }));
    let forward = Some(ForwardDraft { pool: Some("pools/p".into()), ..ForwardDraft::default() });
    let route = RouteDraft { forward, traffic, ..RouteDraft::default() };
    Arc::clone(RouteSpec::parse(&route).expect("valid").traffic().expect("on"))
}

fn taken(accept: &[&[u8]], codings: &[&str]) -> Option<&'static str> {
    let spec = spec(codings);
    let rules = spec.compression.as_ref().expect("on");
    let mut taken = Taken::default();
    accept.iter().for_each(|value| taken.read(value));
    choose(rules, &taken).map(ContentCoding::name)
}

#[test]
fn what_a_client_wants_most_is_taken_and_of_equals_what_the_route_has_first() {
    for (accept, want) in [
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip, br", Some("br")),
        ("GZIP", Some("gzip")),
        ("x-gzip", Some("gzip")),
        ("gzip;q=1.0, br;q=0.9, zstd;q=0.999", Some("gzip")),
        ("br; q=0.5 , gzip;Q=0.4", Some("br")),
        ("*", Some("zstd")),
        ("*;q=0.5, gzip", Some("gzip")),
        ("zstd;q=0, *", Some("br")),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", Some("gzip")),
        ("identity;q=0, gzip", Some("gzip")),
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("gzip;q=2", None),
        ("gzip;q=0.1234", None),
        ("gzip;q=-1", None),
        ("gzip;level=9", None),
        ("deflate, compress", None),
        ("", None),
        (",, ;q=1,gzip", Some("gzip")),
    ] {
        assert_eq!(taken(&[accept.as_bytes()], &[]), want, "{accept}");
    }
    assert_eq!(taken(&[b"br", b"gzip"], &["gzip", "br"]), Some("gzip"), "several fields are one list");
    assert_eq!(taken(&[], &[]), None);
}

proptest! {
    #[test]
    fn nothing_that_a_client_sends_is_too_odd(accept in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = taken(&[&accept], &[]);
    }
}

fn head(of: &[(&'static str, &'static str)]) -> HeaderMap {
    of.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}

fn edited(
    status: u16,
    told: Told,
    coding: Option<ContentCoding>,
    fields: &[(&'static str, &'static str)],
) -> (Option<ContentCoding>, HeaderMap) {
    let wanted = Wanted { spec: spec(&[]), coding };
    let mut head = head(fields);
    let found = wanted.edit(status, told, &mut head, Some);
    (found, head)
}

const GZIP: Option<ContentCoding> = Some(ContentCoding::Gzip);

#[test]
fn a_head_says_what_its_body_becomes() {
    let whole = &[
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "5000"),
        ("etag", "\"a\""),
        ("accept-ranges", "bytes"),
        ("vary", "origin"),
    ];
    for told in [Told::Length(5_000), Told::HeadAlone] {
        let (coding, head) = edited(200, told, GZIP, whole);
        assert_eq!(coding, GZIP.filter(|_| told != Told::HeadAlone));
        assert_eq!(
            (head["content-encoding"].as_bytes(), head["etag"].as_bytes()),
            (&b"gzip"[..], &b"W/\"a\""[..])
        );
        assert!(!head.contains_key("content-length") && !head.contains_key("accept-ranges"));
        assert!(head.get_all("vary").iter().any(|v| v == "Accept-Encoding"));
    }
    let (coding, head) = edited(200, Told::Length(5_000), None, whole);
    assert_eq!((coding, head.get_all("vary").iter().count(), head.len()), (None, 2, 6), "caches are told");
    let (coding, head) = edited(304, Told::Nothing, GZIP, &[("etag", "\"a\"")]);
    assert_eq!((coding, head["etag"].as_bytes()), (None, &b"W/\"a\""[..]));
}

#[test]
fn what_must_stay_as_it_is_does() {
    let html = ("content-type", "text/html");
    for (status, told, fields) in [
        (200, Told::Length(99), vec![html]),
        (200, Told::Nothing, vec![html]),
        (204, Told::Open, vec![html]),
        (206, Told::Length(5_000), vec![html, ("content-range", "bytes 0-4999/9999")]),
        (200, Told::Open, vec![html, ("content-encoding", "br")]),
        (200, Told::Open, vec![html, ("content-encoding", "identity")]),
        (200, Told::Open, vec![html, ("cache-control", "public, No-Transform")]),
        (200, Told::Open, vec![html, ("content-digest", "sha-256=:AAAA:")]),
        (200, Told::Open, vec![("content-type", "image/png")]),
        (200, Told::Open, vec![("content-type", "application/grpc")]),
        (200, Told::Open, vec![]),
        (200, Told::HeadAlone, vec![html, ("content-length", "10")]),
    ] {
        let (coding, after) = edited(status, told, GZIP, &fields);
        assert_eq!((coding, after), (None, head(&fields)), "{status} {told:?} {fields:?}");
    }
    let wanted = Wanted { spec: spec(&[]), coding: GZIP };
    let mut full = head(&[html]);
    let none = wanted.edit(200, Told::Open, &mut full, |_| None::<()>);
    assert_eq!(none, None, "there is no room");
    assert!(!full.contains_key("content-encoding") && full.contains_key("vary"));
}
