//! What an answer tells when it is an error: its reason, and where it has none, one is put to it. So the promise that
//! every error has a reason holds for what tonic itself refuses, too: bytes that are no message, methods that do not
//! exist.

use hotswap_audit::Attempts;
use hotswap_auth::{OpContext, Row};
use hotswap_core::Reason;
use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::WireError;
use crate::audit::caller_of;

/// Where the services of the contract lie.
const OURS: &str = "/hotswap.";

/// The error that an answer begins with; `None`: it is good, or a stream that has begun.
pub(crate) fn error_of(response: &Response<Body>) -> Option<Status> {
    Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok)
}

/// The same error with a reason, where it has none and there is one for it.
pub(crate) fn completed(status: &Status, row: Option<&Row>) -> Option<Status> {
    if status.get_details_error_info().is_some() {
        return None;
    }
    let ours = row.is_some_and(|row| row.path.starts_with(OURS));
    let reason = match status.code() {
        // Our methods say why they fail, so it is not one of them that speaks.
        Code::Internal | Code::InvalidArgument if ours => Reason::MessageMalformed,
        Code::OutOfRange if ours => Reason::MessageTooLarge,
        Code::Unimplemented if row.is_some() => Reason::EncodingUnknown,
        Code::Unimplemented => Reason::MethodUnknown,
        // Health and reflection.
        Code::NotFound => Reason::NotFound,
        Code::InvalidArgument => Reason::InvalidInput,
        Code::Internal => Reason::Internal,
        _ => return None,
    };
    let message = match (reason, status.message()) {
        (Reason::MethodUnknown, "") => "there is no such method",
        (_, message) => message,
    };
    Some(WireError::new(reason, message).into())
}

/// Tells the audit log of a call that was let through and answered with an error: every denial, and else every call
/// that would have changed something.
pub(crate) fn note(attempts: &Attempts, ctx: &OpContext, row: Option<&Row>, status: &Status) {
    let info = status.get_details_error_info();
    // What is not known here is a fault of ours.
    let reason = info.and_then(|info| Reason::parse(&info.reason)).unwrap_or(Reason::Internal);
    let aim = ctx.aim();
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => attempts.denied(caller_of(ctx), reason),
        // What was only to be checked was no attempt to change.
        _ if !row.is_some_and(|row| row.writes) || aim.is_some_and(|aim| aim.only_checks) => {}
        _ => attempts.failed(caller_of(ctx), aim.map_or("", |aim| &aim.resource), reason),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tonic's own errors have no reason: that is what is tested")]
mod tests {
    use hotswap_auth::row;

    use super::*;
    use crate::ClientError;

    fn reason(status: Status, path: &str) -> Option<(Code, String)> {
        let done = completed(&status, row(path))?;
        Some((done.code(), ClientError::from(&done).reason))
    }

    #[test]
    fn what_tonic_refuses_gets_a_reason() {
        const CREATE: &str = "/hotswap.route.v1.RouteService/CreateRoute";
        let of = |code: Code, path: &str| reason(Status::new(code, "m"), path);
        let is = |code: Code, name: &str| Some((code, name.to_owned()));
        assert_eq!(of(Code::Internal, CREATE), is(Code::InvalidArgument, "MESSAGE_MALFORMED"));
        assert_eq!(of(Code::OutOfRange, CREATE), is(Code::OutOfRange, "MESSAGE_TOO_LARGE"));
        assert_eq!(of(Code::Unimplemented, CREATE), is(Code::Unimplemented, "ENCODING_UNKNOWN"));
        assert_eq!(of(Code::Unimplemented, "/a.B/C"), is(Code::Unimplemented, "METHOD_UNKNOWN"));
        assert_eq!(of(Code::NotFound, "/grpc.health.v1.Health/Check"), is(Code::NotFound, "NOT_FOUND"));
        assert_eq!(of(Code::DeadlineExceeded, CREATE), None);
    }

    #[test]
    fn what_has_a_reason_keeps_it() {
        let status = Status::from(WireError::new(Reason::Internal, "m"));
        assert!(completed(&status, row("/hotswap.route.v1.RouteService/CreateRoute")).is_none());
    }
}
