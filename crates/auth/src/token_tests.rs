use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hotswap_core::SequentialIds;

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn key() -> (tempfile::TempDir, Arc<LocalKey>) {
    let dir = tempfile::tempdir().expect("dir");
    let key = LocalKey::load_or_create(dir.path()).expect("key");
    (dir, Arc::new(key))
}

fn request() -> TokenRequest {
    TokenRequest {
        subject: "me".into(),
        roles: vec![Role::Operator],
        tenant: Some("acme".into()),
        ttl: Duration::from_secs(60),
    }
}

fn mint(key: &LocalKey) -> String {
    key.mint(&request(), NOW, &SequentialIds::default()).expect("token")
}

/// The token with one part put in place of its own.
fn with_part(token: &str, part: usize, json: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[part] = URL_SAFE_NO_PAD.encode(json);
    parts.join(".")
}

#[test]
fn a_minted_token_gives_back_its_principal_also_after_a_restart() {
    let (dir, key) = key();
    let token = mint(&key);
    let again = Arc::new(LocalKey::load_or_create(dir.path()).expect("again"));
    let principal = Verifier::new(again).verify(&token, NOW).expect("valid");
    assert_eq!(
        principal,
        Principal {
            subject: "me".into(),
            roles: vec![Role::Operator],
            tenant: Some("acme".into()),
            expires: NOW.plus_micros(60_000_000),
        }
    );
}

#[test]
fn a_token_ends_at_its_second() {
    let (_dir, key) = key();
    let token = mint(&key);
    let verifier = Verifier::new(key);
    assert!(verifier.verify(&token, NOW.plus_micros(59_999_999)).is_ok());
    assert_eq!(verifier.verify(&token, NOW.plus_micros(60_000_000)), Err(AuthError::TokenExpired));
}

#[test]
fn a_token_of_another_key_is_refused() {
    let (_dir, mine) = key();
    let (_other_dir, other) = key();
    assert_eq!(Verifier::new(mine).verify(&mint(&other), NOW), Err(AuthError::TokenSignature));
}

#[test]
fn an_altered_token_is_refused() {
    let (_dir, key) = key();
    let token = mint(&key);
    let body = r#"{"iss":"hotswap","aud":"hotswap","sub":"me","roles":["admin"],"iat":0,"exp":9999999999,"jti":"00000000-0000-7000-8000-000000000001"}"#;
    let verifier = Verifier::new(key);
    assert_eq!(verifier.verify(&with_part(&token, 1, body), NOW), Err(AuthError::TokenSignature));
    // Nor does it gain from the one that was verified before it.
    assert!(verifier.verify(&token, NOW).is_ok());
    assert_eq!(verifier.verify(&with_part(&token, 1, body), NOW), Err(AuthError::TokenSignature));
}

#[test]
fn a_token_is_verified_once_and_many_of_them_do_not_pile_up() {
    let (_dir, key) = key();
    let verifier = Verifier::new(Arc::clone(&key));
    let remembered = || verifier.known.read().expect("sound").len();
    let ids = SequentialIds::default();
    let tokens: Vec<_> = (0..3).map(|_| key.mint(&request(), NOW, &ids).expect("token")).collect();
    for token in tokens.iter().chain(&tokens) {
        verifier.verify(token, NOW).expect("valid");
    }
    assert_eq!(remembered(), 3);
    let known = verifier.known.read().expect("sound").values().next().expect("some").clone();
    let full = (0..REMEMBERED as u64).map(|i| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&i.to_le_bytes());
        (hash, known.clone())
    });
    let full: Vec<_> = full.collect();
    verifier.known.write().expect("sound").extend(full);
    verifier.verify(&key.mint(&request(), NOW, &ids).expect("token"), NOW).expect("valid");
    assert_eq!(remembered(), 1);
}

#[test]
fn other_algorithms_and_none_are_refused() {
    let (_dir, key) = key();
    let token = mint(&key);
    let verifier = Verifier::new(key);
    for alg in ["none", "None", "HS256", "RS256", "ES256"] {
        let forged = with_part(&token, 0, &format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
        let refused = verifier.verify(&forged, NOW).expect_err(alg);
        assert!(
            matches!(refused, AuthError::TokenAlgorithm | AuthError::TokenMalformed(_)),
            "{alg}: {refused}"
        );
        let unsigned = format!("{}.", forged.rsplit_once('.').expect("parts").0);
        assert!(verifier.verify(&unsigned, NOW).is_err(), "{alg} unsigned");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let (_dir, key) = key();
    let verifier = Verifier::new(key);
    for text in ["", "a", "a.b.c", "Bearer x", "\u{0}"] {
        assert!(matches!(verifier.verify(text, NOW), Err(AuthError::TokenMalformed(_))), "{text:?}");
    }
}

#[test]
fn a_token_for_another_audience_is_refused() {
    let (_dir, key) = key();
    let claims = serde_json::json!({
        "iss": "x", "aud": "other", "sub": "me", "roles": [], "iat": 0, "exp": 9_999_999_999i64,
        "jti": "00000000-0000-7000-8000-000000000001",
    });
    let token = key.sign_raw(&claims);
    assert_eq!(Verifier::new(key).verify(&token, NOW), Err(AuthError::TokenAudience));
}

#[test]
fn a_key_signs_and_derives_the_same_after_a_restart_and_for_each_purpose_another() {
    let (dir, key) = key();
    let again = LocalKey::load(dir.path()).expect("again");
    let (_other_dir, other) = self::key();
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ED25519,
        again.public().expect("there"),
    );
    let signature = key.sign(b"message").expect("signs");
    assert!(public.verify(b"message", &signature).is_ok());
    assert!(public.verify(b"another", &signature).is_err());
    assert_eq!(key.derive("a"), again.derive("a"));
    assert_ne!(key.derive("a"), key.derive("b"));
    assert_ne!(key.derive("a"), other.derive("a"));
}

#[test]
fn a_key_that_others_can_read_or_that_is_damaged_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, _) = key();
    let file = dir.path().join("signing-key.pem");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    assert!(matches!(LocalKey::load_or_create(dir.path()), Err(crate::KeyError::Exposed { .. })));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    std::fs::write(&file, "x").expect("write");
    assert!(matches!(LocalKey::load_or_create(dir.path()), Err(crate::KeyError::Damaged { .. })));
}

mod of_a_provider {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://id.example";

    /// A provider's P-256 key, as it signs, and as its key set shows it.
    fn p256(id: &str) -> (EncodingKey, Value) {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let der = der.expect("key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref()).expect("key");
        // An uncompressed point: 0x04, x, y.
        let point = pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let shown =
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig", "alg": "ES256"});
        (EncodingKey::from_ec_der(der.as_ref()), shown)
    }

    /// The same of RSA.
    fn rsa(id: &str) -> (EncodingKey, Value) {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).expect("key");
        let der: Pkcs8V1Der = pair.as_der().expect("key");
        let public = pair.public_key();
        let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        let n = text(public.modulus().big_endian_without_leading_zero());
        let e = text(public.exponent().big_endian_without_leading_zero());
        let shown = json!({"kty": "RSA", "n": n, "e": e, "kid": id, "use": "sig", "alg": "RS256"});
        // The key of PKCS #1 stands at the end, behind 26 bytes for this size.
        (EncodingKey::from_rsa_der(&der.as_ref()[26..]), shown)
    }

    fn provider(keys: &[&Value]) -> Provider {
        let set = json!({ "keys": keys }).to_string();
        Provider::new(ISSUER, set.as_bytes()).expect("keys")
    }

    fn claims() -> Value {
        json!({
            "iss": ISSUER, "aud": ["other", "hotswap"], "sub": "them", "roles": ["viewer", "offline_access"],
            "exp": NOW.seconds() + 60,
        })
    }

    fn sign(key: &EncodingKey, id: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, key).expect("signs")
    }

    fn verifier() -> (tempfile::TempDir, Verifier, Arc<LocalKey>) {
        let (dir, local) = key();
        (dir, Verifier::new(Arc::clone(&local)), local)
    }

    #[test]
    fn its_tokens_are_good_beside_ours_and_unknown_roles_give_nothing() {
        let (_dir, verifier, local) = verifier();
        let (signing, shown) = p256("one");
        let token = sign(&signing, Some("one"), &claims());
        assert_eq!(verifier.verify(&token, NOW), Err(AuthError::TokenAlgorithm), "nobody trusts it yet");
        verifier.trust(provider(&[&shown]));
        let principal = verifier.verify(&token, NOW).expect("valid");
        assert_eq!((principal.subject.as_str(), principal.roles), ("them", vec![Role::Viewer]));
        assert!(
            verifier.verify(&sign(&signing, None, &claims()), NOW).is_ok(),
            "the only key need not be named"
        );
        assert!(verifier.verify(&mint(&local), NOW).is_ok());
    }

    #[test]
    fn its_keys_may_be_of_rsa_and_beside_ones_of_other_kinds() {
        let (_dir, verifier, _local) = verifier();
        let ((signing, shown), (stranger, _)) = (rsa("one"), rsa("one"));
        let other = "A".repeat(43);
        let others = [
            json!({"kty": "EC", "crv": "P-521", "kid": "a", "alg": "ES512", "x": other, "y": other}),
            json!({"kty": "EC", "crv": "secp256k1", "kid": "b", "alg": "ES256K", "x": other, "y": other}),
            json!({"kty": "AKP", "kid": "c", "alg": "ML-DSA-65", "pub": other}),
            json!({"kty": "RSA", "kid": "d", "alg": "PS256", "n": shown["n"], "e": "AQAB"}),
        ];
        let mut unnamed = shown.clone();
        _ = unnamed.as_object_mut().expect("a map").remove("kid");
        let by = |key: &EncodingKey, id: Option<&str>, algorithm| {
            let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
            let token = jsonwebtoken::encode(&header, &claims(), key).expect("signs");
            verifier.verify(&token, NOW).map(|principal| principal.subject)
        };
        for (key, id) in [(&shown, Some("one")), (&shown, None), (&unnamed, None)] {
            verifier.trust(provider(&others.iter().chain([key]).collect::<Vec<_>>()));
            assert_eq!(by(&signing, id, Algorithm::RS256), Ok("them".into()), "{key} {id:?}");
            assert_eq!(by(&stranger, id, Algorithm::RS256), Err(AuthError::TokenSignature));
            for other in [Algorithm::PS256, Algorithm::RS384, Algorithm::RS512] {
                assert_eq!(by(&signing, id, other), Err(AuthError::TokenAlgorithm), "{other:?}");
            }
        }
        // Nobody said which key that would be.
        assert_eq!(by(&signing, Some("two"), Algorithm::RS256), Err(AuthError::TokenAlgorithm));
    }

    #[test]
    fn a_key_that_was_rotated_out_is_good_no_more_also_for_tokens_that_were_seen() {
        let (_dir, verifier, _local) = verifier();
        let ((old, old_shown), (new, new_shown)) = (p256("old"), p256("new"));
        let (with_old, with_new) = (sign(&old, Some("old"), &claims()), sign(&new, Some("new"), &claims()));
        verifier.trust(provider(&[&old_shown]));
        assert!(verifier.verify(&with_old, NOW).is_ok());
        assert!(verifier.verify(&with_new, NOW).is_err());
        verifier.trust(provider(&[&old_shown, &new_shown]));
        assert!(verifier.verify(&with_old, NOW).is_ok() && verifier.verify(&with_new, NOW).is_ok());
        verifier.trust(provider(&[&new_shown]));
        assert!(verifier.verify(&with_old, NOW).is_err());
        assert!(verifier.verify(&with_new, NOW).is_ok());
    }

    #[test]
    fn another_issuer_another_key_and_times_are_told_apart() {
        let (_dir, verifier, _local) = verifier();
        let ((signing, shown), (other, _)) = (p256("one"), p256("one"));
        verifier.trust(provider(&[&shown]));
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            verifier.verify(&sign(&signing, Some("one"), &claims), NOW)
        };
        assert_eq!(with("iss", json!("https://evil.example")), Err(AuthError::TokenIssuer));
        assert_eq!(with("aud", json!("other")), Err(AuthError::TokenAudience));
        assert_eq!(with("exp", json!(NOW.seconds())), Err(AuthError::TokenExpired));
        assert_eq!(with("nbf", json!(NOW.seconds() + 1)), Err(AuthError::TokenNotYetValid));
        assert!(with("nbf", json!(NOW.seconds())).is_ok());
        assert_eq!(
            verifier.verify(&sign(&other, Some("one"), &claims()), NOW),
            Err(AuthError::TokenSignature)
        );
        // Its issuer's name in a token of its own making gives nobody its key.
        let named_as_ours = sign(&signing, Some(verifier.local.id()), &claims());
        assert_eq!(verifier.verify(&named_as_ours, NOW), Err(AuthError::TokenAlgorithm));
    }

    #[test]
    fn the_key_set_of_a_local_key_lets_others_verify_its_tokens() {
        let (_dir, verifier, _local) = verifier();
        let (_other_dir, other) = key();
        let token = mint(&other);
        assert_eq!(verifier.verify(&token, NOW), Err(AuthError::TokenSignature));
        verifier.trust(Provider::new("hotswap", other.key_set().as_bytes()).expect("keys"));
        assert_eq!(verifier.verify(&token, NOW).expect("valid").subject, "me");
    }

    #[test]
    fn a_key_of_the_set_can_not_be_used_as_a_secret() {
        let (_dir, verifier, _local) = verifier();
        let (_, shown) = p256("one");
        verifier.trust(provider(&[&shown]));
        let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) };
        let secret = EncodingKey::from_secret(shown["x"].as_str().expect("text").as_bytes());
        let forged = jsonwebtoken::encode(&header, &claims(), &secret).expect("signs");
        assert_eq!(verifier.verify(&forged, NOW), Err(AuthError::TokenAlgorithm));
    }

    #[test]
    fn sets_without_a_usable_key_are_refused() {
        let (_, mut shown) = p256("one");
        shown["use"] = json!("enc");
        let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "s"});
        for keys in [json!([]), json!([shown]), json!([secret])] {
            let set = json!({ "keys": keys }).to_string();
            assert!(
                matches!(Provider::new(ISSUER, set.as_bytes()), Err(crate::ProviderError::NoKey)),
                "{set}"
            );
        }
        assert!(matches!(Provider::new(ISSUER, b"{}"), Err(crate::ProviderError::Malformed(_))));
    }
}
