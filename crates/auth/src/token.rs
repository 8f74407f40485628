//! Tokens.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hotswap_core::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{AUDIENCE, AuthError, LocalKey, Provider, Role};

/// What a token of ours says.
#[derive(Debug, Serialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) roles: Vec<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// What is read of a token that is presented. Others than we may have made it.
#[derive(Debug, Deserialize)]
struct Presented {
    #[serde(default)]
    iss: String,
    sub: String,
    /// Those that we do not know give nothing.
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    nbf: i64,
    exp: i64,
}

/// Verifies tokens of the local key, and of an identity provider where one is trusted. Clones share both, and what
/// they have verified.
#[derive(Clone, Debug)]
pub struct Verifier {
    local: Arc<LocalKey>,
    provider: Arc<RwLock<Option<Provider>>>,
    /// Principals of tokens that were verified, by the tokens' hashes: a signature costs some 40 µs, a hash one.
    known: Arc<RwLock<HashMap<[u8; 32], Known>>>,
}

/// A token that was verified.
#[derive(Clone, Debug)]
struct Known {
    principal: Principal,
    not_before: Timestamp,
}

/// Most tokens that are remembered. Where there are more, all are forgotten: simpler than to choose, and rare.
const REMEMBERED: usize = 10_000;

impl Verifier {
    /// Accepts tokens of this key.
    pub fn new(local: Arc<LocalKey>) -> Self {
        Self { local, provider: Arc::default(), known: Arc::default() }
    }

    /// Accepts tokens of a provider, too, and no longer those of the one before; so keys are rotated.
    pub fn trust(&self, provider: Provider) {
        let mut trusted = self.provider.write().unwrap_or_else(PoisonError::into_inner);
        *trusted = Some(provider);
        // While no token can be verified: one of a key that is gone must not be remembered behind this.
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The principal of a token that is valid at `now`.
    ///
    /// # Errors
    /// [`AuthError`], with the reason.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, AuthError> {
        let hash = <[u8; 32]>::from(Sha256::digest(token.as_bytes()));
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        let Known { principal, not_before } = match known {
            Some(known) => known,
            None => self.verified(token, hash)?,
        };
        if principal.expires <= now {
            return Err(AuthError::TokenExpired);
        }
        if not_before > now {
            return Err(AuthError::TokenNotYetValid);
        }
        Ok(principal)
    }

    /// A token whose signature and claims are good, though its time may be up. It is remembered.
    fn verified(&self, token: &str, hash: [u8; 32]) -> Result<Known, AuthError> {
        let header = jsonwebtoken::decode_header(token).map_err(|e| refusal(e.kind()))?;
        let id = header.kid.as_deref();
        let provider = self.provider.read().unwrap_or_else(PoisonError::into_inner);
        let foreign = match &*provider {
            Some(provider) if id != Some(self.local.id()) => {
                provider.key(id).map(|key| (key, provider.issuer()))
            }
            _ => None,
        };
        let claims = match foreign {
            Some((key, issuer)) => {
                let claims = decode(token, &key.key, key.algorithm)?;
                if claims.iss != issuer {
                    return Err(AuthError::TokenIssuer);
                }
                claims
            }
            None => decode(token, self.local.verifying(), Algorithm::EdDSA)?,
        };
        let known = known(claims)?;
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(hash, known.clone());
        Ok(known)
    }
}

/// The claims of a token with a good signature.
fn decode(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Presented, AuthError> {
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "aud", "sub"]);
    // The library would read the clock; `verify` compares with the time it is given.
    validation.validate_exp = false;
    let data = jsonwebtoken::decode::<Presented>(token, key, &validation).map_err(|e| refusal(e.kind()))?;
    Ok(data.claims)
}

fn known(claims: Presented) -> Result<Known, AuthError> {
    if claims.sub.is_empty() {
        return Err(AuthError::TokenMalformed("its sub is empty"));
    }
    let seconds = |s: i64| Timestamp(s.saturating_mul(1_000_000));
    let principal = Principal {
        subject: claims.sub,
        roles: claims.roles.iter().filter_map(|role| role.parse().ok()).collect(),
        tenant: claims.tenant,
        expires: seconds(claims.exp),
    };
    Ok(Known { principal, not_before: seconds(claims.nbf) })
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
