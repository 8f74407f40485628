//! Each refusal of a use case as it goes over the wire, by name.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use hotswap_rpc::WireError;
use hotswap_store::StoreError;
use tonic::Status;

use crate::Error;

const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) fn status(error: Error) -> Status {
    let (message, reason) = (error.to_string(), error.reason());
    let refused = || WireError::new(reason, message);
    let wire = match error {
        Error::Invalid(faults) => WireError::invalid(faults),
        Error::NotFound { name } => refused().with("name", name),
        Error::RevisionNotFound { subject, revision } => {
            refused().with("name", subject).with("revision", revision.to_string())
        }
        Error::NothingLive { subject } => refused().with("name", subject),
        Error::BaselineMoved { subject, live } | Error::DraftOutdated { subject, live, .. } => {
            refused().with("name", subject).with("live_revision", live.to_string())
        }
        Error::Active { subject, rollout } => {
            refused().with("name", subject).with("rollout", rollout.to_string())
        }
        Error::Frozen { why } => refused().with("why", why),
        Error::LiveNotAllowed { subject, policy } => refused().with("name", subject).with("policy", policy),
        Error::Refused { rollout, why } => refused().with("name", rollout.to_string()).with("why", why),
        Error::ContentChanged { rollout, current } => {
            refused().with("name", rollout.to_string()).with("content_hash", current)
        }
        Error::NothingCounted { rollout } => refused().with("name", rollout.to_string()),
        Error::PolicyExists { policy } => refused().with("name", policy),
        Error::StaleEtag { name, current } => refused().with("name", name).with("etag", current),
        Error::RequestIdReused { request_id } => refused().with("request_id", request_id),
        Error::Store(error) => store(&error),
    };
    wire.into()
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
