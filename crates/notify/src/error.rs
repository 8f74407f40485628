//! What can go wrong.

use hotswap_core::Violations;
use hotswap_store::StoreError;

/// Why notifications can't be set up, put or read. None of these holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// A message or the configuration is not valid.
    #[error("the input is not valid: {0}")]
    Invalid(Violations),
    /// The configuration is no TOML of the right shape. The text itself is not shown: somebody may have put a password
    /// into it.
    #[error("the configuration does not parse: {what}")]
    Syntax {
        /// What is wrong, and in which line.
        what: String,
    },
    /// There is no such delivery that was given up.
    #[error("no delivery of {dedupe_key} to {channel} was given up")]
    NotDead {
        /// Of which message.
        dedupe_key: String,
        /// Over which channel.
        channel: String,
    },
    /// What is counted can't be declared.
    #[error("the metrics of notifications can't be declared")]
    Metrics(#[from] prometheus::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl From<Violations> for NotifyError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}
