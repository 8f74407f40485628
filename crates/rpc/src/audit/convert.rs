//! Between the contract and the log.

use std::time::Duration;

use hotswap_api::audit::v1 as wire;
use hotswap_audit::{AuditError, ChainReport, Fault, Hash, LegalHold, Outcome, Sealed};
use hotswap_core::{Reason, Timestamp};
use tonic::Status;

use crate::WireError;

const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A verification that is in the way may take so long.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(10);

fn time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.seconds(), nanos: at.subsec_nanos() }
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn bytes(hash: Hash) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(hash.bytes())
}

pub(super) fn event(sealed: Sealed) -> wire::Event {
    let Sealed { event, previous, hash } = sealed;
    let outcome = match event.outcome {
        Outcome::Done => wire::event::Outcome::Done,
        Outcome::Denied => wire::event::Outcome::Denied,
        Outcome::Failed => wire::event::Outcome::Failed,
    };
    let changes = event.changes.into_iter().map(|change| wire::Change {
        path: change.path,
        old_json: change.old_json.unwrap_or_default(),
        new_json: change.new_json.unwrap_or_default(),
    });
    wire::Event {
        id: event.id.to_string(),
        chain: event.chain.to_string(),
        sequence: event.sequence,
        time: Some(time(event.at)),
        actor: event.caller.actor,
        roles: event.caller.roles,
        tenant: event.caller.tenant,
        method: event.caller.method,
        resource: event.resource,
        revision: event.revision.0,
        outcome: outcome.into(),
        reason: event.reason,
        request_id: event.caller.request_id.to_string(),
        source_address: event.caller.source,
        before_hash: event.before.map(bytes).unwrap_or_default(),
        after_hash: event.after.map(bytes).unwrap_or_default(),
        changes: changes.collect(),
        attempts: event.attempts,
        previous_hash: bytes(previous),
        hash: bytes(hash),
    }
}

pub(super) fn verification(report: ChainReport) -> wire::ChainVerification {
    let fault = |fault: &Fault| wire::Fault {
        sequence: fault.sequence,
        kind: fault.kind.to_string(),
        message: fault.message.clone(),
    };
    wire::ChainVerification {
        intact: report.is_intact(),
        chain: report.chain.to_string(),
        floor: report.floor,
        head: report.head,
        events: count(report.events),
        checkpoints: count(report.checkpoints),
        anchors: report.anchors.map(count),
        anchored: report.anchored,
        faults: report.faults.list().iter().map(fault).collect(),
        fault_count: count(report.faults.count()),
    }
}

pub(super) fn hold(hold: LegalHold) -> wire::LegalHold {
    let (released_by, release_time) = hold.released.unzip();
    wire::LegalHold {
        name: hold.name,
        chain: hold.chain.to_string(),
        reason: hold.reason,
        placed_by: hold.placed_by,
        place_time: Some(time(hold.placed_at)),
        released_by: released_by.unwrap_or_default(),
        release_time: release_time.map(time),
    }
}

pub(super) fn status(error: AuditError) -> Status {
    let message = error.to_string();
    let unavailable = error.is_unavailable();
    let wire = match error {
        AuditError::Invalid(violations) => WireError::invalid(violations),
        AuditError::OtherTenant { chain } => {
            WireError::new(Reason::OtherTenant, message).with("chain", chain.to_string())
        }
        AuditError::Damaged { chain, sequence, .. } => WireError::new(Reason::AuditLogDamaged, message)
            .with("chain", chain.to_string())
            .with("sequence", sequence.to_string()),
        AuditError::Moved { chain } => {
            WireError::new(Reason::AuditLogMoved, message).with("chain", chain.to_string())
        }
        AuditError::Busy => WireError::new(Reason::AuditLogBusy, message).retry_after(RETRY_WHEN_BUSY),
        AuditError::HoldNotFound { name } => WireError::new(Reason::NotFound, message).with("name", name),
        AuditError::HoldReleased { name } => WireError::new(Reason::HoldReleased, message).with("name", name),
        AuditError::Store(_) if unavailable => {
            WireError::unavailable("the database is not available", RETRY_AFTER)
        }
        AuditError::Key | AuditError::Anchors(_) | AuditError::Metrics(_) | AuditError::Store(_) => {
            WireError::internal(&error)
        }
    };
    wire.into()
}
