//! Tokens.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hotswap_core::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{AUDIENCE, AuthError, LocalKey, Role};

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) roles: Vec<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: Uuid,
}

/// Somebody whose token was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who: a person or a service.
    pub subject: String,
    /// What they are trusted with.
    pub roles: Vec<Role>,
    /// The tenant that they act for; `None`: the platform.
    pub tenant: Option<String>,
    /// When the token ends, and with it every stream opened with it.
    pub expires: Timestamp,
}

/// A token to be minted.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Who.
    pub subject: String,
    /// Their roles.
    pub roles: Vec<Role>,
    /// Their tenant.
    pub tenant: Option<String>,
    /// How long it is valid; whole seconds.
    pub ttl: Duration,
}

/// Verifies tokens of the local key; clones share what they have verified.
#[derive(Clone, Debug)]
pub struct Verifier {
    key: Arc<LocalKey>,
    validation: Validation,
    /// Principals of tokens that were verified, by the tokens' hashes: a signature costs some 40 µs, a hash one.
    known: Arc<RwLock<HashMap<[u8; 32], Principal>>>,
}

/// Most tokens that are remembered. Where there are more, all are forgotten: simpler than to choose, and rare.
const REMEMBERED: usize = 10_000;

impl Verifier {
    /// Accepts tokens of this key.
    pub fn new(key: Arc<LocalKey>) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        // The library would read the clock; `verify` compares with the time it is given.
        validation.validate_exp = false;
        Self { key, validation, known: Arc::default() }
    }

    /// The principal of a token that is valid at `now`.
    ///
    /// # Errors
    /// [`AuthError`], with the reason.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, AuthError> {
        let hash = <[u8; 32]>::from(Sha256::digest(token.as_bytes()));
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        let principal = match known {
            Some(principal) => principal,
            None => self.verified(token, hash)?,
        };
        if principal.expires <= now {
            return Err(AuthError::TokenExpired);
        }
        Ok(principal)
    }

    /// The principal of a token whose signature and claims are good, which it remembers, though its time may be up.
    fn verified(&self, token: &str, hash: [u8; 32]) -> Result<Principal, AuthError> {
        let data = jsonwebtoken::decode::<Claims>(token, self.key.verifying(), &self.validation)
            .map_err(|e| refusal(e.kind()))?;
        let claims = data.claims;
        if claims.sub.is_empty() {
            return Err(AuthError::TokenMalformed("its sub is empty"));
        }
        let principal = Principal {
            subject: claims.sub,
            roles: claims.roles,
            tenant: claims.tenant,
            expires: Timestamp(claims.exp.saturating_mul(1_000_000)),
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(hash, principal.clone());
        Ok(principal)
    }
}

fn refusal(kind: &ErrorKind) -> AuthError {
    if matches!(kind, ErrorKind::InvalidAudience) {
        AuthError::TokenAudience
    } else if matches!(kind, ErrorKind::InvalidSignature) {
        AuthError::TokenSignature
    } else if matches!(
        kind,
        ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm | ErrorKind::UnsupportedAlgorithm
    ) {
        AuthError::TokenAlgorithm
    } else if matches!(kind, ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_)) {
        // "none" is no algorithm that the library knows, so it fails as JSON too.
        AuthError::TokenMalformed("a claim or the header is missing or of the wrong kind")
    } else {
        AuthError::TokenMalformed("it is not a signed JWT")
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
