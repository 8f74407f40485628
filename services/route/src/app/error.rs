//! Why a use case refuses.

use std::sync::Arc;

use hotswap_core::{Reason, Violations};
use hotswap_store::StoreError;

/// A refusal, with what the caller needs to mend it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input breaks the contract.
    #[error("the input is not valid: {0}")]
    Invalid(Violations),
    /// There is no such resource.
    #[error("{name} does not exist")]
    NotFound {
        /// The name.
        name: String,
    },
    /// The pool has no such backend.
    #[error("{pool} has no backend {address}")]
    NoSuchBackend {
        /// The pool.
        pool: String,
        /// The address asked for.
        address: String,
    },
    /// There is no such revision of the resource.
    #[error("{name} has no revision at or before {revision}")]
    RevisionNotFound {
        /// The name.
        name: String,
        /// The revision asked for.
        revision: i64,
    },
    /// The revision was not made yet.
    #[error("there is no revision {revision} yet: the newest is {newest}")]
    RevisionUnknown {
        /// The revision asked for.
        revision: i64,
        /// The newest of all.
        newest: i64,
    },
    /// The name is taken.
    #[error("{name} exists already")]
    AlreadyExists {
        /// The name.
        name: String,
    },
    /// The etag is of an older content.
    #[error("{name} was changed since it was read: its etag is {current} now; read it again")]
    StaleEtag {
        /// The name.
        name: String,
        /// The current etag.
        current: String,
    },
    /// There is nothing live that could carry the traffic beside a draft.
    #[error("{name} does not exist: its first revision is live, and a draft needs one beside it")]
    DraftOfNothing {
        /// The name.
        name: String,
    },
    /// Routes send requests or copies to the pool.
    #[error("{name} is in use by {}", users.join(", "))]
    PoolInUse {
        /// The pool.
        name: String,
        /// Up to 10 routes.
        users: Vec<String>,
    },
    /// There is nothing to seal a private key with.
    #[error("no private key can be kept: the control plane runs without --certificate-key-file")]
    CertificateKeyMissing,
    /// A private key could not be sealed.
    #[error("the private key could not be sealed")]
    NotSealed,
    /// The request id was used for something else.
    #[error("the request_id {request_id} was used for another request")]
    RequestIdReused {
        /// The id.
        request_id: String,
    },
    /// A rollout, a policy or the freeze stands in the way.
    #[error("{0}")]
    Rollout(hotswap_rollout_host::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] Arc<StoreError>),
}

impl Error {
    /// The reason that the caller is told, and the audit log.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::InvalidInput,
            Self::NotFound { .. } => Reason::NotFound,
            Self::NoSuchBackend { .. } => Reason::BackendNotFound,
            Self::RevisionNotFound { .. } | Self::RevisionUnknown { .. } => Reason::RevisionNotFound,
            Self::AlreadyExists { .. } => Reason::AlreadyExists,
            Self::StaleEtag { .. } => Reason::StaleEtag,
            Self::DraftOfNothing { .. } => Reason::NothingLive,
            Self::PoolInUse { .. } => Reason::PoolInUse,
            Self::CertificateKeyMissing => Reason::CertificateKeyMissing,
            Self::NotSealed => Reason::Internal,
            Self::RequestIdReused { .. } => Reason::RequestIdReused,
            Self::Rollout(error) => error.reason(),
            Self::Store(error) if matches!(**error, StoreError::Unavailable(_)) => Reason::Unavailable,
            Self::Store(_) => Reason::Internal,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<hotswap_rollout_host::Error> for Error {
    fn from(error: hotswap_rollout_host::Error) -> Self {
        match error {
            hotswap_rollout_host::Error::Store(error) => Self::Store(error),
            other => Self::Rollout(other),
        }
    }
}
