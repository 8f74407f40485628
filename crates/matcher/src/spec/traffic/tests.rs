use super::*;
use crate::draft::{
    AccessDraft, AccessLogDraft, AccessLogModeDraft, BackendDraft, BackendsDraft, ClaimHeaderDraft,
    CompressionDraft, ConcurrencyDraft, CorsDraft, FaultAbortDraft, FaultDelayDraft, FaultDraft, JwtDraft,
    MirrorDraft, RateLimitDraft, RequestLimitsDraft,
};
use crate::spec::Target;

fn faults(draft: &TrafficDraft) -> Vec<String> {
    let parsed = TrafficSpec::parse(draft);
    parsed.err().map(|v| v.iter().map(|f| f.field.clone()).collect()).unwrap_or_default()
}

fn spec(draft: &TrafficDraft) -> TrafficSpec {
    TrafficSpec::parse(draft).expect("valid").expect("something is on")
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|t| (*t).to_owned()).collect()
}

fn cors(origins: &[&str]) -> CorsDraft {
    CorsDraft { origins: texts(origins), ..CorsDraft::default() }
}

#[test]
fn nothing_asked_for_is_nothing() {
    assert_eq!(TrafficSpec::parse(&TrafficDraft::default()), Ok(None));
}

#[test]
fn every_fault_of_every_part_is_named_by_its_field() {
    let draft = TrafficDraft {
        access: Some(AccessDraft { allow: texts(&["10.0.0.0/8", "10.0.0.1/8"]), deny: texts(&["a"]) }),
        cors: Some(CorsDraft {
            origins: texts(&["https://a.example", "a.example"]),
            methods: texts(&["put"]),
            headers: texts(&["x y"]),
            expose_headers: texts(&[""]),
            credentials: true,
            max_age_s: 86_401,
        }),
        limits: Some(RequestLimitsDraft {
            max_body_bytes: u64::MAX,
            max_head_bytes: 255,
            max_headers: 1_001,
        }),
        rate_limit: Some(RateLimitDraft {
            period_ms: 86_400_001,
            burst: 1_000_001,
            header: Some("x y".into()),
            ..RateLimitDraft::default()
        }),
        concurrency: Some(ConcurrencyDraft { max_requests: 0, retry_after_s: 3_601 }),
        fault: Some(FaultDraft {
            abort: Some(FaultAbortDraft { status: 200, share_bps: 0 }),
            delay: Some(FaultDelayDraft { delay_ms: 60_001, share_bps: 10_001 }),
            header: "x y".into(),
        }),
        access_log: Some(AccessLogDraft { mode: AccessLogModeDraft::Off, share_bps: 1 }),
        ..TrafficDraft::default()
    };
    assert_eq!(
        faults(&draft),
        [
            "access.allow[1]",
            "access.deny[0]",
            "cors.origins[1]",
            "cors.methods[0]",
            "cors.headers[0]",
            "cors.expose_headers[0]",
            "cors.max_age_s",
            "limits.max_body_bytes",
            "limits.max_head_bytes",
            "limits.max_headers",
            "rate_limit.requests",
            "rate_limit.period_ms",
            "rate_limit.burst",
            "rate_limit.header",
            "concurrency.max_requests",
            "concurrency.retry_after_s",
            "fault.abort.share_bps",
            "fault.abort.status",
            "fault.delay.share_bps",
            "fault.delay.delay_ms",
            "fault.header",
            "access_log.share_bps",
        ]
    );
}

#[test]
fn faults_of_what_becomes_of_answers_and_copies_are_named_too() {
    let draft = TrafficDraft {
        compression: Some(CompressionDraft { quality: 10, ..CompressionDraft::default() }),
        mirror: Some(MirrorDraft { pool: Some("p".into()), share_bps: 10_001, ..MirrorDraft::default() }),
        ..TrafficDraft::default()
    };
    assert_eq!(faults(&draft), ["compression.quality", "mirror.pool", "mirror.share_bps"]);
}

#[test]
fn a_mirror_has_a_pool_or_backends_of_its_own() {
    let mirror = |pool: Option<&str>, inline: Option<BackendsDraft>| {
        let mirror = MirrorDraft { pool: pool.map(str::to_owned), inline, share_bps: 0 };
        TrafficDraft { mirror: Some(mirror), ..TrafficDraft::default() }
    };
    let backend = BackendDraft { address: "a:1".into(), ..BackendDraft::default() };
    let inline = BackendsDraft { backends: vec![backend], ..BackendsDraft::default() };
    assert_eq!(faults(&mirror(None, None)), ["mirror"]);
    assert_eq!(faults(&mirror(Some("pools/p"), Some(inline.clone()))), ["mirror"]);
    assert_eq!(faults(&mirror(None, Some(BackendsDraft::default()))), ["mirror.inline.backends"]);
    let parsed = spec(&mirror(None, Some(inline))).mirror.expect("on");
    assert!(matches!(parsed.target, Target::Inline(backends) if backends.backends.len() == 1));
}

#[test]
fn a_part_that_asks_for_nothing_is_a_fault() {
    let empty = TrafficDraft {
        access: Some(AccessDraft::default()),
        limits: Some(RequestLimitsDraft::default()),
        fault: Some(FaultDraft::default()),
        cors: Some(CorsDraft::default()),
        ..TrafficDraft::default()
    };
    assert_eq!(faults(&empty), ["access", "cors.origins", "limits", "fault"]);
    let one_key = RateLimitDraft { requests: 1, client_address: Some(false), ..RateLimitDraft::default() };
    let two_keys = RateLimitDraft { client_address: Some(true), header: Some("a".into()), ..one_key.clone() };
    for (draft, field) in [(one_key, "rate_limit.client_address"), (two_keys, "rate_limit")] {
        assert_eq!(faults(&TrafficDraft { rate_limit: Some(draft), ..TrafficDraft::default() }), [field]);
    }
}

#[test]
fn what_is_not_said_has_the_defaults_of_the_contract() {
    let draft = TrafficDraft {
        rate_limit: Some(RateLimitDraft { requests: 7, ..RateLimitDraft::default() }),
        concurrency: Some(ConcurrencyDraft { max_requests: 5, retry_after_s: 0 }),
        access_log: Some(AccessLogDraft::default()),
        ..TrafficDraft::default()
    };
    let spec = spec(&draft);
    let rate = spec.rate_limit.expect("on");
    assert_eq!((rate.requests, rate.period.as_millis(), rate.burst, rate.key), (7, 1_000, 7, RateKey::Route));
    assert_eq!(spec.concurrency.map(|c| c.retry_after_s), Some(1));
    assert_eq!(spec.access_log, Some(AccessLog { mode: AccessLogMode::All, share_bps: 10_000 }));
}

#[test]
fn origins_are_read_as_browsers_write_them() {
    for bad in [
        "",
        "null",
        "https://",
        "https://a/",
        "https://a:443",
        "http://a:80",
        "https://a:0",
        "https://a:x",
        "https://*",
        "https://*.*.a",
        "https://a.*",
        "//a",
        "1://a",
        "https://u@a",
        "https://a?b",
    ] {
        assert!(
            !faults(&TrafficDraft { cors: Some(cors(&[bad])), ..TrafficDraft::default() }).is_empty(),
            "{bad}"
        );
    }
    let some = TrafficDraft {
        cors: Some(cors(&["https://Shop.example", "http://localhost:3000", "https://*.example.com:8443"])),
        ..TrafficDraft::default()
    };
    let origins = spec(&some).cors.expect("on").origins;
    for good in ["https://shop.example", "http://localhost:3000", "https://a.b.example.com:8443"] {
        assert!(origins.have(good.as_bytes()), "{good}");
    }
    for bad in [
        "null",
        "http://shop.example",
        "https://shop.example:8443",
        "https://example.com:8443",
        "https://.example.com:8443",
        "https://a.example.com",
        "https://evil/.example.com:8443",
        "https://evil.org?.example.com:8443",
        "https://aexample.com:8443",
    ] {
        assert!(!origins.have(bad.as_bytes()), "{bad}");
    }
}

#[test]
fn all_origins_stand_alone_and_without_credentials() {
    let with = |cors| TrafficDraft { cors: Some(cors), ..TrafficDraft::default() };
    assert_eq!(faults(&with(cors(&["*", "https://a"]))), ["cors.origins"]);
    assert_eq!(faults(&with(CorsDraft { credentials: true, ..cors(&["*"]) })), ["cors.credentials"]);
    assert_eq!(faults(&with(cors(&["*"]))), Vec::<String>::new());
}

/// Of RFC 8037.
const ED25519: &str =
    r#"{"kty":"OKP","crv":"Ed25519","kid":"e","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn jwt(keys: &[&str], algorithms: &[&str]) -> TrafficDraft {
    let jwks = format!("{{\"keys\":[{}]}}", keys.join(","));
    let jwt = JwtDraft { jwks, algorithms: texts(algorithms), ..JwtDraft::default() };
    TrafficDraft { jwt: Some(jwt), ..TrafficDraft::default() }
}

#[test]
fn keys_are_public_and_algorithms_have_keys() {
    let secret = r#"{"kty":"oct","kid":"s","k":"c2VjcmV0"}"#;
    let for_encryption = ED25519.replace("\"kid\"", "\"use\":\"enc\",\"kid\"");
    let for_other = ED25519.replace("\"kid\"", "\"alg\":\"ES256\",\"kid\"");
    assert_eq!(faults(&jwt(&[ED25519], &["EdDSA"])), Vec::<String>::new());
    for (draft, field) in [
        (jwt(&[], &["EdDSA"]), "jwt.jwks"),
        (jwt(&["1"], &["EdDSA"]), "jwt.jwks"),
        (jwt(&[secret], &["EdDSA"]), "jwt.jwks"),
        (jwt(&[ED25519, secret], &["EdDSA"]), "jwt.jwks"),
        (jwt(&[&for_encryption], &["EdDSA"]), "jwt.jwks"),
        (jwt(&[&for_other], &["EdDSA"]), "jwt.jwks"),
        (jwt(&[ED25519], &[]), "jwt.algorithms"),
        (jwt(&[ED25519], &["HS256"]), "jwt.algorithms[0]"),
        (jwt(&[ED25519], &["none"]), "jwt.algorithms[0]"),
        (jwt(&[ED25519], &["EdDSA", "RS256"]), "jwt.algorithms[1]"),
    ] {
        assert_eq!(faults(&draft), [field], "{draft:?}");
    }
}

#[test]
fn headers_of_claims_are_none_of_the_connection() {
    let claim = |claim: &str, header: &str| ClaimHeaderDraft { claim: claim.into(), header: header.into() };
    let mut draft = jwt(&[ED25519], &["EdDSA"]);
    if let Some(jwt) = &mut draft.jwt {
        jwt.claim_headers = vec![
            claim("sub", "x-user"),
            claim("", "x-a"),
            claim("sub", "host"),
            claim("sub", "content-length"),
        ];
        jwt.header = "x y".into();
        jwt.leeway_s = 3_601;
    }
    assert_eq!(
        faults(&draft),
        [
            "jwt.leeway_s",
            "jwt.header",
            "jwt.claim_headers[1].claim",
            "jwt.claim_headers[2].header",
            "jwt.claim_headers[3].header",
        ]
    );
}
