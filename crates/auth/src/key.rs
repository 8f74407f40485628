//! The local signing key.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};

use crate::token::Claims;
use crate::{AUDIENCE, TokenRequest};
use hotswap_core::{Ids, Timestamp};

const FILE: &str = "signing-key.pem";
const LABEL: &str = "PRIVATE KEY";

/// Why the local key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read or written.
    #[error("cannot use the signing key {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("the signing key {path} can be read by others; run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no Ed25519 key.
    #[error("the signing key {path} is not an Ed25519 key in PKCS#8 PEM form")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Making a key or signing failed.
    #[error("the cryptographic library failed to {0}")]
    Crypto(&'static str),
}

/// An Ed25519 key that signs tokens.
pub struct LocalKey {
    id: String,
    pair: Ed25519KeyPair,
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl std::fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl LocalKey {
    /// Reads `signing-key.pem` in `dir`, or makes it (mode 0600).
    ///
    /// # Errors
    /// [`KeyError`], each with the file's name and what to do.
    pub fn load_or_create(dir: &Path) -> Result<Self, KeyError> {
        let path = dir.join(FILE);
        if path.exists() { Self::load(dir) } else { Self::create(&path) }
    }

    /// Reads `signing-key.pem` in `dir`.
    ///
    /// # Errors
    /// [`KeyError`], also where it is not there.
    pub fn load(dir: &Path) -> Result<Self, KeyError> {
        let path = dir.join(FILE);
        let file = |source| KeyError::File { path: path.clone(), source };
        let mode = fs::metadata(&path).map_err(file)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path });
        }
        let text = fs::read_to_string(&path).map_err(file)?;
        let damaged = || KeyError::Damaged { path: path.clone() };
        let pem = pem::parse(text).map_err(|_| damaged())?;
        let pair = Ed25519KeyPair::from_pkcs8(pem.contents()).map_err(|_| damaged())?;
        Self::from_pair(pair)
    }

    fn create(path: &Path) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Crypto("make a key"))?;
        let der = pair.to_pkcs8v1().map_err(|_| KeyError::Crypto("encode a key"))?;
        let text = pem::encode(&pem::Pem::new(LABEL, der.as_ref()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|source| KeyError::File { path: path.to_owned(), source })?;
        Self::from_pair(pair)
    }

    fn from_pair(pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref();
        let hash = digest::digest(&digest::SHA256, public);
        let id = hash.as_ref().iter().take(8).map(|b| format!("{b:02x}")).collect();
        let der = pair.to_pkcs8v1().map_err(|_| KeyError::Crypto("encode a key"))?;
        let verifying = DecodingKey::from_ed_der(public);
        Ok(Self { id, signing: EncodingKey::from_ed_der(der.as_ref()), verifying, pair })
    }

    /// The id that tokens name in `kid`: the beginning of the public key's SHA-256.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key as a JSON Web Key Set (RFC 7517, RFC 8037), for others to verify tokens of this key.
    pub fn key_set(&self) -> String {
        let key = serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.id,
            "x": base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.pair.public_key()),
        });
        serde_json::json!({ "keys": [key] }).to_string()
    }

    /// The public half.
    pub fn public(&self) -> Option<[u8; 32]> {
        self.pair.public_key().as_ref().try_into().ok()
    }

    /// Signs a message, as of the audit log. What is signed so must not have the form of a token.
    pub fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        self.pair.sign(message).as_ref().try_into().ok()
    }

    /// A secret for one purpose, the same for the same key; it tells nothing of the key or of those for others.
    pub fn derive(&self, purpose: &str) -> Option<[u8; 32]> {
        let seed = self.pair.seed().ok()?.as_be_bytes().ok()?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed.as_ref()), purpose.as_bytes());
        tag.as_ref().try_into().ok()
    }

    pub(crate) fn verifying(&self) -> &DecodingKey {
        &self.verifying
    }

    /// A token for `request`, from `now` on.
    ///
    /// # Errors
    /// [`KeyError::Crypto`] where signing fails.
    pub fn mint(&self, request: &TokenRequest, now: Timestamp, ids: &dyn Ids) -> Result<String, KeyError> {
        let ttl = i64::try_from(request.ttl.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            iss: "hotswap".into(),
            aud: AUDIENCE.into(),
            sub: request.subject.clone(),
            roles: request.roles.clone(),
            tenant: request.tenant.clone(),
            iat: now.seconds(),
            exp: now.seconds().saturating_add(ttl),
            jti: ids.uuid(),
        };
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &self.signing).map_err(|_| KeyError::Crypto("sign a token"))
    }
}

#[cfg(test)]
impl LocalKey {
    /// Signs any claims, so that tests can make what `mint` never would.
    pub(crate) fn sign_raw(&self, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &self.signing).expect("signs")
    }
}
