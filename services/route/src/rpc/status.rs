//! Each refusal of a use case as it goes over the wire, by name.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use hotswap_core::{Reason, Violations};
use hotswap_rpc::WireError;
use hotswap_store::StoreError;
use tonic::Status;

use crate::app::Error;

const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) fn status(error: Error) -> Status {
    let (message, reason) = (error.to_string(), error.reason());
    let wire = match error {
        Error::Invalid(violations) => WireError::invalid(violations),
        Error::NotFound { name } => WireError::new(reason, message).with("name", name),
        Error::NoSuchBackend { pool, address } => {
            WireError::new(reason, message).with("name", pool).with("address", address)
        }
        Error::RevisionNotFound { name, .. } => WireError::new(reason, message).with("name", name),
        Error::RevisionUnknown { newest, .. } => {
            WireError::new(reason, message).with("newest", newest.to_string())
        }
        Error::AlreadyExists { name } => WireError::new(reason, message).with("name", name),
        Error::DraftOfNothing { name } => WireError::new(reason, message).with("name", name),
        Error::StaleEtag { name, current } => {
            WireError::new(reason, message).with("name", name).with("etag", current)
        }
        Error::PoolInUse { name, users } => {
            WireError::new(reason, message).with("name", name).with("routes", users.join(","))
        }
        Error::CertificateKeyMissing => WireError::new(reason, message),
        Error::NotSealed => WireError::internal(&error),
        Error::RequestIdReused { request_id } => {
            WireError::new(reason, message).with("request_id", request_id)
        }
        Error::Rollout(error) => held_up(reason, message, error),
        Error::Store(error) => store(&error),
    };
    wire.into()
}

/// What a rollout, a policy or the freeze says.
fn held_up(reason: Reason, message: String, error: hotswap_rollout_host::Error) -> WireError {
    use hotswap_rollout_host::Error as Refusal;
    let wire = WireError::new(reason, message);
    match error {
        Refusal::Active { subject, rollout } => {
            wire.with("name", subject).with("rollout", rollout.to_string())
        }
        Refusal::Frozen { why } => wire.with("why", why),
        Refusal::LiveNotAllowed { subject, policy } => wire.with("name", subject).with("policy", policy),
        Refusal::Invalid(violations) => WireError::invalid(violations),
        Refusal::Store(error) => store(&error),
        Refusal::NotFound { .. }
        | Refusal::RevisionNotFound { .. }
        | Refusal::NothingLive { .. }
        | Refusal::BaselineMoved { .. }
        | Refusal::DraftOutdated { .. }
        | Refusal::Refused { .. }
        | Refusal::ContentChanged { .. }
        | Refusal::NothingCounted { .. }
        | Refusal::PolicyExists { .. }
        | Refusal::StaleEtag { .. }
        | Refusal::RequestIdReused { .. } => wire,
    }
}

fn store(error: &StoreError) -> WireError {
    match error {
        StoreError::Unavailable(_) => WireError::unavailable("the database is not available", RETRY_AFTER),
        StoreError::Open { .. }
        | StoreError::Schema { .. }
        | StoreError::TooNew { .. }
        | StoreError::Copy { .. }
        | StoreError::Fenced { .. }
        | StoreError::Conflict(_)
        | StoreError::Statement(_)
        | StoreError::Inconsistent { .. }
        | StoreError::Column { .. } => WireError::internal(error),
    }
}

/// A message that can't become content; its fields lie under `prefix`.
pub(super) fn unfit(prefix: &str, unfit: Violations) -> Status {
    let mut violations = Violations::new();
    violations.nest(prefix, unfit);
    WireError::invalid(violations).into()
}
