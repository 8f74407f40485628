//! Somebody who signs tokens.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::Outcome;

/// In s since 1970, long from now.
const EXPIRES: u64 = 9_999_999_999;

pub struct Signer {
    key: EncodingKey,
    public: Vec<u8>,
}

impl Signer {
    pub fn new() -> Outcome<Self> {
        let rules = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(rules, &SystemRandom::new())?;
        let pair = EcdsaKeyPair::from_pkcs8(rules, pkcs8.as_ref())?;
        let public = pair.public_key().as_ref().to_vec();
        Ok(Self { key: EncodingKey::from_ec_der(pkcs8.as_ref()), public })
    }

    /// The public key, as a route has it.
    pub fn jwks(&self) -> String {
        // 4, x, y.
        let (x, y) = self.public.get(1..).unwrap_or_default().split_at(32);
        let text = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        let key = json!({
            "kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "x": text(x), "y": text(y),
        });
        json!({ "keys": [key] }).to_string()
    }

    /// The header with a token, each number another.
    pub fn token(&self, number: usize) -> Outcome<String> {
        let header = Header { kid: Some("k".into()), ..Header::new(Algorithm::ES256) };
        let claims = json!({ "exp": EXPIRES, "sub": "somebody", "jti": number });
        Ok(format!("Bearer {}", jsonwebtoken::encode(&header, &claims, &self.key)?))
    }
}
