//! The audit log at the edge: who calls, as an event has it; the key that signs; and AuditService.

mod convert;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;

use hotswap_audit::{AuditKey, Caller, PublicKey};
use hotswap_auth::{KeyError, LocalKey, OpContext, Principal};
use uuid::Uuid;

pub use service::AuditRpc;

/// What the secret for masking is derived for.
const MASKING: &str = "hotswap.audit masking v1";

/// The local key, as the audit log signs with it.
pub struct SigningKey {
    key: Arc<LocalKey>,
    public: PublicKey,
    masking: [u8; 32],
}

impl SigningKey {
    /// With this key.
    ///
    /// # Errors
    /// [`KeyError::Crypto`] where it is not an Ed25519 key after all.
    pub fn new(key: Arc<LocalKey>) -> Result<Self, KeyError> {
        let public = key.public().map(PublicKey::new).ok_or(KeyError::Crypto("read a public key"))?;
        let masking = key.derive(MASKING).ok_or(KeyError::Crypto("derive a key"))?;
        Ok(Self { key, public, masking })
    }
}

impl AuditKey for SigningKey {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        self.key.sign(message)
    }

    fn masking_key(&self) -> [u8; 32] {
        self.masking
    }
}

/// Who calls; `None` for the principal: nobody that is known.
pub(crate) fn caller(
    principal: Option<&Principal>,
    method: &str,
    request_id: Uuid,
    source: Option<SocketAddr>,
) -> Caller {
    let roles = principal.map(|p| p.roles.iter().map(|role| role.as_str().to_owned()).collect());
    Caller {
        actor: principal.map_or(Caller::NOBODY, |p| &p.subject).to_owned(),
        roles: roles.unwrap_or_default(),
        tenant: principal.and_then(|p| p.tenant.clone()).unwrap_or_default(),
        method: method.trim_start_matches('/').to_owned(),
        request_id,
        source: source.map(|at| at.ip().to_string()).unwrap_or_default(),
    }
}

/// Who calls a use case.
pub(crate) fn caller_of(ctx: &OpContext) -> Caller {
    caller(Some(&ctx.principal), ctx.method, ctx.request_id, ctx.source)
}
