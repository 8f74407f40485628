//! Why a use case refuses.

use std::sync::Arc;

use hotswap_core::{Reason, Violations};
use hotswap_rollout::RolloutId;
use hotswap_store::StoreError;

/// A refusal, with what the caller needs to mend it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input breaks the contract. Fields are named as in the engine's drafts.
    #[error("the input is not valid: {0}")]
    Invalid(Violations),
    /// There is no such rollout, policy or subject.
    #[error("{name} does not exist")]
    NotFound {
        /// The name.
        name: String,
    },
    /// The subject has no such revision.
    #[error("{subject} has no revision {revision}")]
    RevisionNotFound {
        /// The subject.
        subject: String,
        /// The revision asked for.
        revision: i64,
    },
    /// Nothing of the subject is live.
    #[error("{subject} has no live revision to start from: write it live once")]
    NothingLive {
        /// The subject.
        subject: String,
    },
    /// The draft was made from another revision than what is live.
    #[error(
        "revision {draft} of {subject} was drafted from revision {base}, and {live} is live: draft it again, or name \
         {live} as the baseline to undo what came between"
    )]
    DraftOutdated {
        /// The subject.
        subject: String,
        /// The draft.
        draft: i64,
        /// What it was made from.
        base: i64,
        /// What is live.
        live: i64,
    },
    /// The baseline asked for is not what is live.
    #[error("{subject} is at revision {live}, not at the baseline asked for")]
    BaselineMoved {
        /// The subject.
        subject: String,
        /// What is live.
        live: i64,
    },
    /// The subject has an active rollout.
    #[error("{rollout} of {subject} is under way")]
    Active {
        /// The subject.
        subject: String,
        /// The rollout.
        rollout: RolloutId,
    },
    /// The global switch is on.
    #[error("rollouts are frozen{}", said(.why))]
    Frozen {
        /// Why, as told by who turned it.
        why: String,
    },
    /// The policy asks for more than a write that is live at once.
    #[error("{policy} asks for steps or approvals for {subject}: write a draft and roll it out")]
    LiveNotAllowed {
        /// The subject.
        subject: String,
        /// The policy's name.
        policy: String,
    },
    /// The engine refused a command.
    #[error("{why}")]
    Refused {
        /// The rollout.
        rollout: RolloutId,
        /// Why.
        why: String,
    },
    /// What is to be approved is not what was looked at.
    #[error("the content of {rollout} was changed after it was looked at: it is {current} now")]
    ContentChanged {
        /// The rollout.
        rollout: RolloutId,
        /// The hash of what is there.
        current: String,
    },
    /// Nobody asks for the counts that were reported.
    #[error("{rollout} is not judged by counts that clients report")]
    NothingCounted {
        /// The rollout.
        rollout: RolloutId,
    },
    /// Another policy is of the same subjects.
    #[error("{policy} is of the same subjects")]
    PolicyExists {
        /// Its name.
        policy: String,
    },
    /// The etag is of an older state.
    #[error("{name} has moved on since it was read: its etag is {current} now; read it again")]
    StaleEtag {
        /// The name.
        name: String,
        /// The current etag.
        current: String,
    },
    /// The request id was used for something else.
    #[error("the request_id {request_id} was used for another request")]
    RequestIdReused {
        /// The id.
        request_id: String,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] Arc<StoreError>),
}

fn said(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

impl Error {
    /// The reason that the caller is told, and the audit log.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::InvalidInput,
            Self::NotFound { .. } => Reason::NotFound,
            Self::RevisionNotFound { .. } => Reason::RevisionNotFound,
            Self::NothingLive { .. } => Reason::NothingLive,
            Self::BaselineMoved { .. } | Self::DraftOutdated { .. } => Reason::BaselineMoved,
            Self::Active { .. } => Reason::RolloutActive,
            Self::Frozen { .. } => Reason::RolloutsFrozen,
            Self::LiveNotAllowed { .. } => Reason::LiveNotAllowed,
            Self::Refused { .. } => Reason::CommandRefused,
            Self::ContentChanged { .. } => Reason::ContentChanged,
            Self::NothingCounted { .. } => Reason::NothingCounted,
            Self::PolicyExists { .. } => Reason::AlreadyExists,
            Self::StaleEtag { .. } => Reason::StaleEtag,
            Self::RequestIdReused { .. } => Reason::RequestIdReused,
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
