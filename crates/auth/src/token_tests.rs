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
    let full = (0..REMEMBERED as u64).map(|i| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&i.to_le_bytes());
        (hash, verifier.verify(&tokens[0], NOW).expect("valid"))
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
