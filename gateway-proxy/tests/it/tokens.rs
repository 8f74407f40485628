//! Tokens that routes want, on real sockets, by every way that a request can come and go.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hotswap_matcher::{ClaimHeaderDraft, JwtDraft, RateLimitDraft, TrafficDraft};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::*;
use crate::ways::{WAYS, Way};

/// Somebody who signs.
pub struct Signer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    public: Value,
}

impl Signer {
    pub fn new(id: &'static str, algorithm: Algorithm) -> Self {
        let rng = SystemRandom::new();
        let (key, mut public) = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => {
                let (rules, curve, half) = match algorithm {
                    Algorithm::ES256 => (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", 32),
                    _ => (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", 48),
                };
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(rules, &rng).expect("a key");
                let pair = EcdsaKeyPair::from_pkcs8(rules, pkcs8.as_ref()).expect("a pair");
                // 4, x, y.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(half);
                let jwk = json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) });
                (EncodingKey::from_ec_der(pkcs8.as_ref()), jwk)
            }
            Algorithm::EdDSA => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&rng).expect("a key");
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a pair");
                let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) });
                (EncodingKey::from_ed_der(pkcs8.as_ref()), jwk)
            }
            _ => rsa(&RSA),
        };
        public["kid"] = id.into();
        public["use"] = "sig".into();
        Self { id, algorithm, key, public }
    }

    pub fn public(&self) -> Value {
        self.public.clone()
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(Some(self.id), self.algorithm, claims)
    }

    /// Another key's name in the token, or none; and another algorithm.
    fn sign_as(&self, id: Option<&str>, algorithm: Algorithm, claims: &Value) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("a token")
    }
}

/// The key of all who sign with RSA: to make one takes a while.
static RSA: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).expect("a key"));

/// What signs, and the key that verifies it.
fn rsa(pair: &KeyPair) -> (EncodingKey, Value) {
    let pkcs8: Pkcs8V1Der = pair.as_der().expect("a key");
    let public = pair.public_key();
    let [n, e] = [public.modulus(), public.exponent()].map(|n| text(n.big_endian_without_leading_zero()));
    // The key of PKCS #1 stands at the end of it, behind 26 bytes for this size.
    (EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]), json!({ "kty": "RSA", "n": n, "e": e }))
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[expect(clippy::disallowed_methods, reason = "tokens end by the clock of the machine")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

pub fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": ["shop", "other"], "sub": "alice", "exp": now() + 600,
        "realm": { "roles": ["a", "b"] }, "odd": "line\nbreak", "map": {},
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = claims();
    change(&mut claims);
    claims
}

/// What a route wants whose tokens one of these signs.
pub fn jwt(signers: &[&Signer]) -> JwtDraft {
    let claim = |claim: &str, header: &str| ClaimHeaderDraft { claim: claim.into(), header: header.into() };
    JwtDraft {
        jwks: json!({ "keys": signers.iter().map(|s| s.public()).collect::<Vec<_>>() }).to_string(),
        algorithms: signers.iter().map(|s| format!("{:?}", s.algorithm)).collect(),
        issuer: "https://id.example".into(),
        audiences: vec!["shop".into()],
        claim_headers: vec![
            claim("sub", "x-user"),
            claim("realm.roles", "x-roles"),
            claim("odd", "x-odd"),
            claim("map", "x-map"),
        ],
        ..JwtDraft::default()
    }
}

async fn gateway(way: Way, backend: SocketAddr, jwt: JwtDraft) -> Gateway {
    let traffic = TrafficDraft { jwt: Some(jwt), ..TrafficDraft::default() };
    way.before(backend, &[], |route| route.traffic = Some(Box::new(traffic))).await
}

fn get(headers: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: h\r\n{headers}\r\n")
}

pub fn bearer(token: &str) -> String {
    get(&format!("authorization: Bearer {token}\r\n"))
}

/// Every algorithm that a route may take, and a key for each.
const ALL: [(&str, Algorithm); 9] = [
    ("ed", Algorithm::EdDSA),
    ("ec", Algorithm::ES256),
    ("ec-384", Algorithm::ES384),
    ("rs", Algorithm::RS256),
    ("rs-384", Algorithm::RS384),
    ("rs-512", Algorithm::RS512),
    ("ps", Algorithm::PS256),
    ("ps-384", Algorithm::PS384),
    ("ps-512", Algorithm::PS512),
];

#[tokio::test]
async fn a_good_token_passes_and_the_backend_gets_its_claims_and_no_others() {
    let backend = Backend::echo().await;
    let signers = ALL.map(|(id, algorithm)| Signer::new(id, algorithm));
    let signers: Vec<_> = signers.iter().collect();
    for way in WAYS {
        let gateway = gateway(way, backend.address, jwt(&signers)).await;
        // The first once more: it is remembered.
        for signer in signers.iter().chain(signers.first()) {
            let token = signer.sign(&claims());
            // A client that says who it is, and one that wants the gateway's word taken out behind it.
            let forged = "x-user: admin\r\nx-user: root\r\nx-odd: 1\r\nconnection: x-user, x-roles\r\n";
            let asked = get(&format!("{forged}authorization: bearer {token}\r\n"));
            let response = way.ask(&gateway, &asked).await;
            assert_eq!(response.status, 200, "{way:?} {} {}", signer.id, response.head);
            let seen: Vec<_> = response
                .text()
                .lines()
                .filter(|l| l.starts_with("x-user") || l.starts_with("x-r"))
                .map(str::to_owned)
                .collect();
            assert_eq!(seen, ["x-user: alice", "x-roles: a,b"], "{way:?}");
            assert!(!response.text().contains("x-odd") && !response.text().contains("x-map"));
            assert!(response.text().contains(&token), "the token goes on");
        }
    }
}

#[tokio::test]
async fn a_request_without_a_good_token_is_told_why_and_reaches_nobody() {
    let backend = Backend::echo().await;
    let (ed, other) = (Signer::new("ed", Algorithm::EdDSA), Signer::new("ed", Algorithm::EdDSA));
    let unknown = Signer::new("unknown", Algorithm::EdDSA);
    let good = ed.sign(&claims());
    let (head, rest) = good.split_once('.').expect("parts");
    let none = "eyJhbGciOiJub25lIn0";
    let mut secret = Header::new(Algorithm::HS256);
    secret.kid = Some("ed".into());
    let shared = EncodingKey::from_secret(ed.public()["x"].as_str().expect("text").as_bytes());
    let hmac = jsonwebtoken::encode(&secret, &claims(), &shared).expect("a token");
    let mut odd = Header { kid: Some("ed".into()), ..Header::new(Algorithm::EdDSA) };
    odd.crit = Some(vec!["b64".into()]);
    let critical = jsonwebtoken::encode(&odd, &claims(), &ed.key).expect("a token");
    let bad = [
        (other.sign(&claims()), "the signature is wrong"),
        (unknown.sign(&claims()), "the key is not known"),
        (ed.sign(&with(|c| c["exp"] = (now() - 61).into())), "the token has expired"),
        (ed.sign(&with(|c| c["nbf"] = (now() + 120).into())), "the token is not valid yet"),
        (ed.sign(&with(|c| c["iss"] = "https://evil.example".into())), "the token is of another issuer"),
        (ed.sign(&with(|c| c["aud"] = "other".into())), "the token is for another audience"),
        (ed.sign(&with(|c| _ = c.as_object_mut().expect("a map").remove("aud"))), "a claim is missing"),
        (ed.sign(&with(|c| _ = c.as_object_mut().expect("a map").remove("exp"))), "it is not a signed JWT"),
        (hmac, "the algorithm is not allowed"),
        (critical, "the token wants an extension to be understood"),
        (format!("{none}.{rest}"), "it is not a signed JWT"),
        (format!("{none}.{}.", rest.split_once('.').expect("parts").0), "it is not a signed JWT"),
        (format!("{head}.{}", rest.replace('.', "")), "it is not a signed JWT"),
        (format!("{good}AA"), "the signature is wrong"),
        ("a".into(), "it is not a signed JWT"),
        ("a".repeat(20_000), "the token is too long"),
    ];
    for way in WAYS {
        let gateway = gateway(way, backend.address, jwt(&[&ed])).await;
        let before = backend.connections();
        for asked in [get(""), get("authorization: Basic YTpi\r\n"), get("authorization: Bearer\r\n")] {
            let response = way.ask(&gateway, &asked).await;
            let found = (response.status, response.reason(), response.header("www-authenticate"));
            assert_eq!(found, (401, Some("TOKEN_MISSING"), Some("Bearer")), "{way:?} {asked}");
        }
        for (token, why) in &bad {
            let response = way.ask(&gateway, &bearer(token)).await;
            let told = response.header("www-authenticate").unwrap_or_default().to_owned();
            assert_eq!((response.status, response.reason()), (401, Some("TOKEN_INVALID")), "{way:?} {token}");
            assert!(told.contains(why), "{way:?} {token}: {told}, not {why}");
        }
        let twice = get(&format!("authorization: Bearer {good}\r\nauthorization: Bearer {good}\r\n"));
        assert_eq!(way.ask(&gateway, &twice).await.reason(), Some("TOKEN_INVALID"));
        assert_eq!(backend.connections(), before, "no backend was asked");
    }
}

#[tokio::test]
async fn a_key_is_for_the_algorithm_that_it_names_and_a_signature_for_its_own() {
    let backend = Backend::echo().await;
    let (mut rs, mut ps) = (Signer::new("rs", Algorithm::RS256), Signer::new("ps", Algorithm::PS256));
    (rs.public["alg"], ps.public["alg"]) = ("RS256".into(), "PS256".into());
    let stranger = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let stranger = Signer { key: rsa(&stranger).0, ..Signer::new("rs", Algorithm::RS256) };
    let (by_rs, by_ps) = (rs.sign(&claims()), rs.sign_as(Some("ps"), Algorithm::PS256, &claims()));
    let (signed, _) = by_rs.rsplit_once('.').expect("parts");
    let of_ps = jsonwebtoken::crypto::sign(signed.as_bytes(), &rs.key, Algorithm::PS256).expect("signs");
    let refused = [
        (rs.sign_as(Some("rs"), Algorithm::PS256, &claims()), "the key is not known"),
        (rs.sign_as(Some("rs"), Algorithm::RS512, &claims()), "the algorithm is not allowed"),
        (stranger.sign(&claims()), "the signature is wrong"),
        // What PS256 signed is no signature of RS256, though the key is the same.
        (format!("{signed}.{of_ps}"), "the signature is wrong"),
    ];
    for way in WAYS {
        let gateway = gateway(way, backend.address, jwt(&[&rs, &ps])).await;
        for token in [&by_rs, &by_ps] {
            assert_eq!(way.ask(&gateway, &bearer(token)).await.status, 200, "{way:?}");
        }
        for (token, why) in &refused {
            let response = way.ask(&gateway, &bearer(token)).await;
            let told = response.header("www-authenticate").unwrap_or_default().to_owned();
            assert!(response.status == 401 && told.contains(why), "{way:?} {told}, not {why}");
        }
    }
}

#[tokio::test]
async fn keys_of_other_kinds_are_passed_over_and_the_only_one_need_not_be_named() {
    let backend = Backend::echo().await;
    let mut signers = [Algorithm::RS256, Algorithm::ES384].map(|algorithm| Signer::new("none", algorithm));
    for signer in &mut signers {
        _ = signer.public.as_object_mut().expect("a map").remove("kid");
    }
    let [rs, ec] = &signers;
    let (p521, other) = ("A".repeat(88), text(&[7; 32]));
    let others = [
        json!({ "kty": "EC", "crv": "P-521", "kid": "a", "alg": "ES512", "x": p521, "y": p521 }),
        json!({ "kty": "EC", "crv": "secp256k1", "kid": "b", "alg": "ES256K", "x": other, "y": other }),
        json!({ "kty": "OKP", "crv": "X25519", "kid": "c", "use": "enc", "x": other }),
        json!({ "kty": "AKP", "kid": "d", "alg": "ML-DSA-65", "pub": other }),
        json!({ "kty": "RSA", "kid": "e", "alg": "RSA-OAEP", "n": rs.public["n"], "e": "AQAB" }),
    ];
    let of = |keys: &[&Value]| {
        let keys: Vec<_> = others.iter().chain(keys.iter().copied()).collect();
        JwtDraft { jwks: json!({ "keys": keys }).to_string(), ..jwt(&[rs, ec]) }
    };
    for way in WAYS {
        let gateway = gateway(way, backend.address, of(&[&rs.public, &ec.public])).await;
        for signer in &signers {
            let token = signer.sign_as(None, signer.algorithm, &claims());
            let response = way.ask(&gateway, &bearer(&token)).await;
            assert_eq!(response.status, 200, "{way:?} {:?} {}", signer.algorithm, response.head);
            let named = signer.sign(&claims());
            assert_eq!(way.ask(&gateway, &bearer(&named)).await.reason(), Some("TOKEN_INVALID"));
        }
        // Which of two it is nobody can tell.
        let gateway = self::gateway(way, backend.address, of(&[&rs.public, &rs.public, &ec.public])).await;
        let token = rs.sign_as(None, Algorithm::RS256, &claims());
        assert_eq!(way.ask(&gateway, &bearer(&token)).await.reason(), Some("TOKEN_INVALID"));
    }
}

#[tokio::test]
async fn a_token_can_be_optional_elsewhere_and_kept_from_the_backend() {
    let backend = Backend::echo().await;
    let ed = Signer::new("ed", Algorithm::EdDSA);
    let token = ed.sign(&claims());
    for way in WAYS {
        let draft = JwtDraft { optional: true, strip_token: true, header: "x-token".into(), ..jwt(&[&ed]) };
        let gateway = gateway(way, backend.address, draft).await;
        let without = way.ask(&gateway, &get("x-user: admin\r\nauthorization: Basic YTpi\r\n")).await;
        assert_eq!(without.status, 200);
        assert!(!without.text().contains("x-user") && without.text().contains("Basic"), "{}", without.text());
        let with = way.ask(&gateway, &get(&format!("x-token: {token}\r\n"))).await;
        assert!(with.text().contains("x-user: alice") && !with.text().contains(&token), "{}", with.text());
        assert_eq!(way.ask(&gateway, &get("x-token: nonsense\r\n")).await.status, 401);
        // A backend that reads more loosely must not find a token that nobody looked at.
        let gateway = self::gateway(way, backend.address, JwtDraft { optional: true, ..jwt(&[&ed]) }).await;
        for odd in ["Bearer\tnonsense", "bearer \tnonsense", "BEARER,nonsense", "Bearer \"nonsense\""] {
            let asked = get(&format!("authorization: {odd}\r\n"));
            assert_eq!(way.ask(&gateway, &asked).await.reason(), Some("TOKEN_INVALID"), "{way:?} {odd}");
        }
        assert_eq!(
            way.ask(&gateway, &get("authorization: Bearers nonsense\r\n")).await.status,
            200,
            "no scheme of ours"
        );
    }
}

#[tokio::test]
async fn what_heads_may_not_say_no_trailer_says() {
    let trailers = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let came = std::sync::Arc::clone(&trailers);
    let backend = Backend::each(move |_, mut wire| {
        let came = std::sync::Arc::clone(&came);
        async move {
            while let Some((_, trailers)) = wire.request_and_trailers().await {
                *came.lock().expect("a lock") = trailers;
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let ed = Signer::new("ed", Algorithm::EdDSA);
    let token = ed.sign(&claims());
    let gateway = gateway(WAYS[0], backend.address, jwt(&[&ed])).await;
    let forged =
        ["client-cert", "x-forwarded-client-cert", "x-forwarded-for", "forwarded", "x-user", "X-User"];
    let lines: String = forged.iter().map(|name| format!("{name}: forged\r\n")).collect();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum, {}\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\n{lines}\r\n",
        forged.join(", ")
    );
    assert_eq!(gateway.ask(&request).await.status, 200);
    assert_eq!(trailers.lock().expect("a lock").trim(), "x-sum: 1");
}

#[tokio::test]
async fn keys_that_are_taken_out_count_no_more_and_limits_may_be_by_claim() {
    let backend = Backend::echo().await;
    let (old, new) = (Signer::new("old", Algorithm::EdDSA), Signer::new("new", Algorithm::ES256));
    for way in WAYS {
        let mut gateway = gateway(way, backend.address, jwt(&[&old])).await;
        let token = old.sign(&claims());
        assert_eq!(way.ask(&gateway, &bearer(&token)).await.status, 200);
        let rate_limit = Some(RateLimitDraft {
            requests: 1,
            period_ms: 3_600_000,
            header: Some("x-user".into()),
            ..RateLimitDraft::default()
        });
        let mut route = to_pool("p");
        let jwt = Some(JwtDraft { algorithms: vec!["ES256".into()], ..jwt(&[&new]) });
        route.traffic = Some(Box::new(TrafficDraft { jwt, rate_limit, ..TrafficDraft::default() }));
        gateway.route("r", &route);
        gateway.swap();
        assert_eq!(way.ask(&gateway, &bearer(&token)).await.reason(), Some("TOKEN_INVALID"));
        let of = |user: &str| new.sign(&with(|c| c["sub"] = user.into()));
        for (token, spoof, status) in
            [(of("a"), "", 200), (of("a"), "x-user: z\r\n", 429), (of("b"), "x-user: a\r\n", 200)]
        {
            let asked = get(&format!("{spoof}authorization: Bearer {token}\r\n"));
            assert_eq!(way.ask(&gateway, &asked).await.status, status, "{way:?}");
        }
    }
}
