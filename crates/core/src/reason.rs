//! Why a call fails: the stable reasons that stand in `google.rpc.ErrorInfo`, in the audit log, and on the page
//! `docs/reference/errors.md`, which is printed from here.

use std::fmt;

/// The status code of gRPC that a reason comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum StatusCode {
    /// The caller took the call back.
    Cancelled = 1,
    /// The request breaks the contract, whatever state the server is in.
    InvalidArgument = 3,
    /// It took too long.
    DeadlineExceeded = 4,
    /// What the request names is not there.
    NotFound = 5,
    /// What the request would make is there.
    AlreadyExists = 6,
    /// The caller is known, and may not.
    PermissionDenied = 7,
    /// The caller asks for more than its share.
    ResourceExhausted = 8,
    /// What the request names is not in a state for it.
    FailedPrecondition = 9,
    /// Somebody else was faster.
    Aborted = 10,
    /// The request is out of bounds.
    OutOfRange = 11,
    /// The server does not have it.
    Unimplemented = 12,
    /// A fault of the server.
    Internal = 13,
    /// The server, or what it builds on, is away.
    Unavailable = 14,
    /// What is kept is damaged.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl StatusCode {
    /// Its number on the wire.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// Its name in gRPC, as "NOT_FOUND".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

macro_rules! reasons {
    ($( $variant:ident = $name:literal, $code:ident, $meaning:literal, $remedy:literal; )+) => {
        /// Why a call fails. A reason is part of the contract: it keeps its name, its status code and its sense.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $( #[doc = $meaning] $variant, )+
        }

        impl Reason {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Self] = &[$( Self::$variant, )+];

            /// The stable name, as "STALE_ETAG".
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }

            /// The status code that it comes with, always the same.
            pub const fn code(self) -> StatusCode {
                match self { $( Self::$variant => StatusCode::$code, )+ }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$variant => $meaning, )+ }
            }

            /// What to do about it, in a sentence.
            pub const fn remedy(self) -> &'static str {
                match self { $( Self::$variant => $remedy, )+ }
            }
        }
    };
}

reasons! {
    InvalidInput = "INVALID_INPUT", InvalidArgument,
        "Fields of the request break the contract; each stands in `BadRequest` with what would be right.",
        "Mend every field that is named and call again.";
    MessageMalformed = "MESSAGE_MALFORMED", InvalidArgument,
        "The bytes of the request are not the message that the method takes.",
        "Make the client from this release's contract, in `proto/`.";
    MessageTooLarge = "MESSAGE_TOO_LARGE", OutOfRange,
        "The request has more bytes than the method takes.",
        "Send less at once: writes of routes and pools take 16 MiB, other methods 4 MiB.";
    TokenMissing = "TOKEN_MISSING", Unauthenticated,
        "The call has no token.",
        "Send one as `authorization: Bearer TOKEN`; `hotswap token` makes one.";
    TokenMalformed = "TOKEN_MALFORMED", Unauthenticated,
        "The token is no JWT, or lacks a claim that HotSwap asks for.",
        "See that the token came here whole, and has `sub`, `aud` and `exp`.";
    TokenAlgorithm = "TOKEN_ALGORITHM", Unauthenticated,
        "The token names another algorithm than its key's.",
        "Have it signed with EdDSA, ES256 or RS256, as the key asks for.";
    TokenSignature = "TOKEN_SIGNATURE", Unauthenticated,
        "No key that the control plane trusts signed the token.",
        "Use a token of this control plane, or of the provider that `--jwks` and `--token-issuer` name.";
    TokenAudience = "TOKEN_AUDIENCE", Unauthenticated,
        "The token is for somebody else: `aud` does not say `hotswap`.",
        "Ask the issuer for a token with the audience `hotswap`.";
    TokenIssuer = "TOKEN_ISSUER", Unauthenticated,
        "The provider's key signed the token, and `iss` does not say so.",
        "Compare the token's `iss` with the issuer that the control plane trusts, letter by letter.";
    TokenNotYetValid = "TOKEN_NOT_YET_VALID", Unauthenticated,
        "The token's time, `nbf`, has not come.",
        "Wait, or set the clocks of issuer and control plane right.";
    TokenExpired = "TOKEN_EXPIRED", Unauthenticated,
        "The token's time, `exp`, is over; a stream ends with it, too.",
        "Get a new token and call again.";
    RoleMissing = "ROLE_MISSING", PermissionDenied,
        "The caller is known and has none of the roles that the method asks for; the message names them.",
        "Use the token of somebody who may, or ask for the role.";
    OtherTenant = "OTHER_TENANT", PermissionDenied,
        "The caller is of one tenant and asks for what belongs to another, or to the platform.",
        "Ask for what is your tenant's, or use a token without a tenant.";
    RateLimited = "RATE_LIMITED", ResourceExhausted,
        "The caller, its tenant, or the caller at this method is over its rate; `limit` and `rate` say which.",
        "Call again after the time in `RetryInfo`.";
    NotFound = "NOT_FOUND", NotFound,
        "The resource that the request names is not there.",
        "Look at the name; the List method shows what is there.";
    BackendNotFound = "BACKEND_NOT_FOUND", NotFound,
        "The pool has no backend of this address.",
        "Look at the pool: `hotswap describe POOL` lists its backends.";
    RevisionNotFound = "REVISION_NOT_FOUND", NotFound,
        "The resource was not there at the revision, or no such revision was made yet.",
        "Look at the revisions that it has: ListRouteRevisions, ListPoolRevisions, ListCertificateRevisions.";
    AlreadyExists = "ALREADY_EXISTS", AlreadyExists,
        "The name is taken.",
        "Take another name, or update what is there.";
    RequestIdReused = "REQUEST_ID_REUSED", AlreadyExists,
        "The `request_id` was used for another request in the last 24 hours.",
        "Give each request an id of its own, and the same only when it is said again unchanged.";
    StaleEtag = "STALE_ETAG", Aborted,
        "The resource was changed since it was read; `etag` in the metadata is its etag now.",
        "Read it again, look at what has changed, and write on top of that.";
    PoolInUse = "POOL_IN_USE", FailedPrecondition,
        "Routes send requests or copies to the pool, or a rollout may yet bring back a revision that does; `routes` in the metadata names up \
         to 10.",
        "Move or delete these routes first, and wait for the end of their rollouts.";
    CertificateKeyMissing = "CERTIFICATE_KEY_MISSING", FailedPrecondition,
        "The control plane has no key to seal the private keys of certificates with, so it keeps none.",
        "Start every replica with `--certificate-key-file` and the same file.";
    ProxyNotConnected = "PROXY_NOT_CONNECTED", FailedPrecondition,
        "The proxy that the request names is not connected to any replica of the control plane.",
        "Look at the gateway and its `--control-plane`; `hotswap fleet` tells since when it is away.";
    ProxyTooOld = "PROXY_TOO_OLD", FailedPrecondition,
        "The proxy's build does not know what it is to be asked.",
        "Bring the gateway up to the control plane's release.";
    ProxySilent = "PROXY_SILENT", DeadlineExceeded,
        "The proxy is connected, and did not answer in time; `replica` says which process holds its stream.",
        "Call again; if it stays so, look at the log and the load of the gateway and of that replica.";
    ProxyRefused = "PROXY_REFUSED", Unavailable,
        "The proxy could not answer; the message says why.",
        "Call again in a moment.";
    NothingLive = "NOTHING_LIVE", FailedPrecondition,
        "No revision of the resource is live, so nothing carries its traffic while a rollout exposes another one.",
        "Write it live once; later revisions can be rolled out.";
    BaselineMoved = "BASELINE_MOVED", Aborted,
        "The revision that the rollout was to start from, or that the draft was made from, is not the live one; \
         `live_revision` in the metadata is.",
        "Look at what is live now; draft it again, or name the live revision as the baseline to undo what came between.";
    RolloutActive = "ROLLOUT_ACTIVE", FailedPrecondition,
        "A rollout of the resource is under way; `rollout` in the metadata names it.",
        "Wait until it has ended, or promote it or roll it back.";
    RolloutsFrozen = "ROLLOUTS_FROZEN", FailedPrecondition,
        "The global switch is on: no rollout begins, and no write is live at once; `why` in the metadata tells why.",
        "Wait until the switch is off; the way back of rollouts under way stays open.";
    LiveNotAllowed = "LIVE_NOT_ALLOWED", FailedPrecondition,
        "The rollout policy of the resource, `policy` in the metadata, asks for steps or approvals.",
        "Write a draft, and create a rollout of it.";
    CommandRefused = "COMMAND_REFUSED", FailedPrecondition,
        "The rollout is not in a state for the command, or the caller may not decide; the message says which.",
        "Look at the rollout: `hotswap rollout describe` shows where it stands and who is asked.";
    ContentChanged = "CONTENT_CHANGED", Aborted,
        "What is to be approved is not what was looked at; `content_hash` in the metadata is what is there.",
        "Look at the content again, and approve what is there now.";
    NothingCounted = "NOTHING_COUNTED", FailedPrecondition,
        "The rollout is not judged by counts that clients report.",
        "Create it with `reported` as its source, or report nothing.";
    HoldReleased = "HOLD_RELEASED", FailedPrecondition,
        "The legal hold is released already.",
        "Nothing is left to be done; place a new one where it must hold again.";
    AuditLogBusy = "AUDIT_LOG_BUSY", ResourceExhausted,
        "As many verifications or exports run as may at a time.",
        "Call again after the time in `RetryInfo`.";
    AuditLogMoved = "AUDIT_LOG_MOVED", Aborted,
        "Retention dropped events while they were read.",
        "Begin again.";
    AuditLogDamaged = "AUDIT_LOG_DAMAGED", DataLoss,
        "An event of the audit log is not as it was written; `chain` and `sequence` say which.",
        "Keep the database and the anchors as they are, and verify the log: somebody or something changed it.";
    HelloMissing = "HELLO_MISSING", DeadlineExceeded,
        "A watch was opened, and no hello came in 10 s.",
        "Send Hello as the first message of the stream.";
    SlowReader = "SLOW_READER", DeadlineExceeded,
        "Something waited for the reader of a watch for 60 s.",
        "Connect again with the resume token, and read on while changes are taken in.";
    CallerGone = "CALLER_GONE", Cancelled,
        "The caller left before the end.",
        "Nothing: there is nobody to do it.";
    ShuttingDown = "SHUTTING_DOWN", Unavailable,
        "The control plane ends, and with it the stream.",
        "Connect again, to another replica or to its successor.";
    Unavailable = "UNAVAILABLE", Unavailable,
        "The database does not answer.",
        "Call again after the time in `RetryInfo`, with the same `request_id`; look at the database if it stays so.";
    MethodNotBuilt = "METHOD_NOT_BUILT", Unimplemented,
        "The contract has the method, and this build does not.",
        "`cargo xtask status` tells what is built; a later release has the rest.";
    FeatureNotBuilt = "FEATURE_NOT_BUILT", Unimplemented,
        "The contract has what `field` asks for, and this build does not.",
        "Leave the field out; a later release has it.";
    MethodUnknown = "METHOD_UNKNOWN", Unimplemented,
        "There is no such method.",
        "Look at the path; reflection lists the services that are there.";
    EncodingUnknown = "ENCODING_UNKNOWN", Unimplemented,
        "The message is compressed in a way that the server does not read.",
        "Send it uncompressed.";
    Internal = "INTERNAL", Internal,
        "A fault of the server; its log has the cause under the request id.",
        "Tell who runs the control plane, with the id in `x-request-id`.";
}

impl Reason {
    /// The reason of a name; `None`: this build does not know it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A reason is its own text where one is written, as in the audit log.
impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.name().to_owned()
    }
}

macro_rules! refusals {
    ($( $variant:ident = $name:literal, $meaning:literal, $remedy:literal; )+) => {
        /// Why a proxy refuses what the watch sends. It goes from the proxy to the control plane, and from there to
        /// whoever looks at the resource or the fleet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RefusalReason {
            $( #[doc = $meaning] $variant, )+
        }

        impl RefusalReason {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Self] = &[$( Self::$variant, )+];

            /// The stable name, as "MASS_DELETE".
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$variant => $meaning, )+ }
            }

            /// What to do about it, in a sentence.
            pub const fn remedy(self) -> &'static str {
                match self { $( Self::$variant => $remedy, )+ }
            }
        }
    };
}

refusals! {
    InvalidInput = "INVALID_INPUT",
        "A field of the resource breaks the rules that this proxy knows.",
        "Mend the field; where the control plane took it, the two are of different releases.";
    FeatureNotBuilt = "FEATURE_NOT_BUILT",
        "The resource asks for what this proxy's build does not have.",
        "Update the proxy; until then it serves the resource as it was before.";
    MassDelete = "MASS_DELETE",
        "A snapshot would take away more than half of what the proxy has, without leave to.",
        "Look at whether the control plane has lost its data; `--allow-mass-delete` gives leave where it is meant.";
    PlaceMismatch = "PLACE_MISMATCH",
        "A change does not follow what the proxy has.",
        "Nothing: the proxy starts anew with a snapshot.";
    DigestMismatch = "DIGEST_MISMATCH",
        "With the change, the proxy has other resources or revisions than the control plane.",
        "Nothing: the proxy starts anew with a snapshot.";
    Malformed = "MALFORMED",
        "A part of the message that the contract requires is not there.",
        "Compare the releases of proxy and control plane.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn is_name(name: &str) -> bool {
        !name.is_empty() && name.len() <= 63 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
    }

    /// A sentence that can stand in a cell of a table.
    fn is_sentence(text: &str) -> bool {
        text.len() > 10
            && text.ends_with('.')
            && !text.contains(['|', '\n'])
            && text.starts_with(|c: char| c.is_ascii_uppercase() || c == '`')
    }

    #[test]
    fn each_reason_has_a_name_of_its_own_a_meaning_and_a_remedy() {
        let names: BTreeSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len(), "a name is there twice");
        for reason in Reason::ALL {
            assert!(is_name(reason.name()), "{reason}");
            assert!(is_sentence(reason.meaning()), "{reason}: {}", reason.meaning());
            assert!(is_sentence(reason.remedy()), "{reason}: {}", reason.remedy());
            assert_eq!(Reason::parse(reason.name()), Some(*reason));
        }
        let meanings: BTreeSet<_> = Reason::ALL.iter().map(|r| r.meaning()).collect();
        assert_eq!(meanings.len(), Reason::ALL.len(), "two reasons mean the same");
        assert_eq!(Reason::parse("NOT_A_REASON"), None);
    }

    #[test]
    fn each_reason_to_refuse_has_a_name_of_its_own_a_meaning_and_a_remedy() {
        let names: BTreeSet<_> = RefusalReason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), RefusalReason::ALL.len(), "a name is there twice");
        for reason in RefusalReason::ALL {
            assert!(is_name(reason.name()), "{}", reason.name());
            assert!(is_sentence(reason.meaning()) && is_sentence(reason.remedy()), "{}", reason.name());
        }
    }
}
