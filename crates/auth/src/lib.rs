//! Who calls, and what they may do.
//!
//! ```text
//!   "authorization: Bearer …" ──► Verifier ──► Principal ──► authorize(path) ──► OpContext ──► use case
//!                                 key, aud,                  permission table     who, and under
//!                                 exp, alg                   a row for each RPC   which request id
//! ```
//! Tokens are JWTs (RFC 7519) signed with Ed25519 by the local key, which `hotswap up` makes in its data
//! folder, or by a key of an identity provider ([`Provider`]: Ed25519, P-256 or RSA). The key fixes the algorithm; a token that names another, or none, is refused before its signature
//! is looked at (RFC 8725 section 3.1). Time is a parameter: nothing here reads the clock.

mod context;
mod error;
mod key;
mod provider;
mod role;
mod table;
mod token;

pub use context::{Aim, OpContext};
pub use error::AuthError;
pub use key::{KeyError, LocalKey};
pub use provider::{Provider, ProviderError};
pub use role::{Role, UnknownRole};
pub use table::{Access, Row, TABLE, authorize, row};
pub use token::{Principal, TokenRequest, Verifier};

/// The audience of every token.
pub const AUDIENCE: &str = "hotswap";
