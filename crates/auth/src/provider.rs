//! Keys of an identity provider: a JSON Web Key Set (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

/// Why a key set is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It is no key set.
    #[error("it is not a JSON Web Key Set: {0}")]
    Malformed(serde_json::Error),
    /// No key in it can verify a token.
    #[error("it has no key for signatures with EdDSA (Ed25519), ES256 (P-256) or RS256")]
    NoKey,
}

/// Whom else than the local key to trust: an identity provider, by its issuer and its keys.
#[derive(Clone)]
pub struct Provider {
    issuer: String,
    keys: Vec<TrustedKey>,
}

/// A key, which fixes the algorithm (RFC 8725 section 3.1).
#[derive(Clone)]
pub(crate) struct TrustedKey {
    id: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.issuer).field("keys", &self.keys.len()).finish()
    }
}

impl Provider {
    /// Trusts tokens whose `iss` is `issuer` and whose signature is by a key of the set. Keys of other kinds, for
    /// encryption, and secret ones are passed over.
    ///
    /// # Errors
    /// Where it is no key set, or none of its keys is of use.
    pub fn new(issuer: &str, key_set: &[u8]) -> Result<Self, ProviderError> {
        let set: JwkSet = serde_json::from_slice(key_set).map_err(ProviderError::Malformed)?;
        let keys: Vec<_> = set.keys.iter().filter_map(TrustedKey::from_jwk).collect();
        if keys.is_empty() { Err(ProviderError::NoKey) } else { Ok(Self { issuer: issuer.to_owned(), keys }) }
    }

    /// How many keys of the set are trusted.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The key that a token names; one that names none can only mean the only one.
    pub(crate) fn key(&self, id: Option<&str>) -> Option<&TrustedKey> {
        match (id, self.keys.as_slice()) {
            (Some(id), keys) => keys.iter().find(|k| k.id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

impl TrustedKey {
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        if jwk.common.public_key_use.as_ref().is_some_and(|of| *of != PublicKeyUse::Signature) {
            return None;
        }
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            // A secret in a key set is no secret.
            _ => return None,
        };
        if jwk.common.key_algorithm.is_some_and(|other| other != named) {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { id: jwk.common.key_id.clone(), algorithm, key })
    }
}
