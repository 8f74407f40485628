//! Tokens that nobody should take: whatever header and claims, signed with whatever key.

use std::fs;
use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Makes tokens with the signing key of a data folder, without any of the checks of those who mint good ones.
#[derive(Debug)]
pub struct Forge {
    pair: Ed25519KeyPair,
}

impl Forge {
    /// With the key in `dir`.
    ///
    /// # Panics
    /// Where there is none.
    pub fn of(dir: &Path) -> Self {
        let text = fs::read_to_string(dir.join("signing-key.pem")).expect("a key");
        let pem = pem::parse(text).expect("PEM");
        Self { pair: Ed25519KeyPair::from_pkcs8(pem.contents()).expect("an Ed25519 key") }
    }

    /// Header and claims, which are JSON, signed with Ed25519 whatever the header says.
    pub fn signed(&self, header: &str, claims: &str) -> String {
        let text = parts(header, claims);
        let signature = self.pair.sign(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The same, with the public key as the secret of an HMAC: what a verifier falls for that lets a token choose its
    /// algorithm (RFC 8725 section 2.1).
    pub fn confused(&self, header: &str, claims: &str) -> String {
        let text = parts(header, claims);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.pair.public_key().as_ref());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes())))
    }

    /// The same, without a signature.
    pub fn unsigned(header: &str, claims: &str) -> String {
        format!("{}.", parts(header, claims))
    }
}

fn parts(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}
