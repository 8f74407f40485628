//! What can go wrong.

use hotswap_core::Violations;
use hotswap_store::StoreError;

use crate::Chain;

/// Why a call of the audit log fails.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The input is not valid.
    #[error("the input is not valid: {0}")]
    Invalid(Violations),
    /// A caller of one tenant asks for the log of another, or of the platform.
    #[error("the log of {chain} is not that of the caller's tenant")]
    OtherTenant {
        /// The chain asked for.
        chain: Chain,
    },
    /// An event in the store is not as it was written.
    #[error("event {sequence} of {chain} is damaged: {what}")]
    Damaged {
        /// The chain.
        chain: Chain,
        /// The event.
        sequence: i64,
        /// What is wrong.
        what: String,
    },
    /// Retention dropped events while they were read.
    #[error("retention dropped events of {chain} meanwhile; begin again")]
    Moved {
        /// The chain.
        chain: Chain,
    },
    /// As many verifications and exports run as may.
    #[error("too many verifications and exports at a time")]
    Busy,
    /// There is no such legal hold.
    #[error("{name} does not exist")]
    HoldNotFound {
        /// Its name.
        name: String,
    },
    /// The legal hold is released already.
    #[error("{name} is released already")]
    HoldReleased {
        /// Its name.
        name: String,
    },
    /// The key does not sign.
    #[error("the audit key does not sign")]
    Key,
    /// The anchors can't be read or written.
    #[error("the anchors can't be used")]
    Anchors(#[source] std::io::Error),
    /// What is counted can't be declared.
    #[error("the metrics of the audit log can't be declared")]
    Metrics(#[from] prometheus::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl From<Violations> for AuditError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl AuditError {
    /// Whether it is the database that does not answer, so that the same may succeed later.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unavailable(_)))
    }
}
