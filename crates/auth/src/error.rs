//! Why a call is not let through.

use hotswap_core::Reason;

/// A call without a valid token, or without the role it needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no `authorization: Bearer …`.
    #[error("no token: send it as \"authorization: Bearer TOKEN\"")]
    TokenMissing,
    /// It is not a JWT with the claims that HotSwap asks for.
    #[error("the token is malformed: {0}")]
    TokenMalformed(&'static str),
    /// It names another algorithm than the key's.
    #[error("the token is signed with an algorithm that is not accepted")]
    TokenAlgorithm,
    /// Its signature is not of a known key.
    #[error("the token's signature is not of a known key")]
    TokenSignature,
    /// It is for somebody else.
    #[error("the token is not for the audience \"hotswap\"")]
    TokenAudience,
    /// Its signature is of the identity provider's key, and its issuer is not the provider.
    #[error("the token's issuer is not the one that is trusted")]
    TokenIssuer,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    TokenNotYetValid,
    /// Its time is over.
    #[error("the token has expired")]
    TokenExpired,
    /// No role of the principal may call the method.
    #[error("the method needs one of these roles: {needed}")]
    RoleMissing {
        /// The roles, joined by ", ".
        needed: String,
    },
}

impl AuthError {
    /// The reason that the caller is told, and the audit log.
    pub fn reason(&self) -> Reason {
        match self {
            Self::TokenMissing => Reason::TokenMissing,
            Self::TokenMalformed(_) => Reason::TokenMalformed,
            Self::TokenAlgorithm => Reason::TokenAlgorithm,
            Self::TokenSignature => Reason::TokenSignature,
            Self::TokenAudience => Reason::TokenAudience,
            Self::TokenIssuer => Reason::TokenIssuer,
            Self::TokenNotYetValid => Reason::TokenNotYetValid,
            Self::TokenExpired => Reason::TokenExpired,
            Self::RoleMissing { .. } => Reason::RoleMissing,
        }
    }
}
