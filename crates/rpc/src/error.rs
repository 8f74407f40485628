//! Errors on the wire.

use std::collections::HashMap;
use std::time::Duration;

use hotswap_core::{ERROR_DOMAIN, Reason, Violations};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// An error as a caller sees it. A service maps each variant of its own error to one of these, by name.
#[derive(Clone, Debug)]
pub struct WireError {
    reason: Reason,
    message: String,
    metadata: HashMap<String, String>,
    violations: Violations,
    retry_after: Option<Duration>,
}

impl WireError {
    /// An error with a reason, which brings its status code, and a sentence for people.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            metadata: HashMap::new(),
            violations: Violations::new(),
            retry_after: None,
        }
    }

    /// INVALID_ARGUMENT with every fault of the input.
    pub fn invalid(violations: Violations) -> Self {
        let message = format!("the request is not valid: {violations}");
        Self { violations, ..Self::new(Reason::InvalidInput, message) }
    }

    /// UNIMPLEMENTED: the contract has it, this build does not.
    pub fn feature_not_built(field: &str, what: &str) -> Self {
        let message = format!("{field}: {what} are not built yet");
        Self::new(Reason::FeatureNotBuilt, message).with("field", field)
    }

    /// INTERNAL: a fault of the server. The cause goes to the log, not to the caller.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = cause.to_string();
        let mut source = cause.source();
        while let Some(inner) = source {
            chain = format!("{chain}: {inner}");
            source = inner.source();
        }
        tracing::error!(cause = chain, "internal error");
        Self::new(Reason::Internal, "an internal error; the server's log has the cause")
    }

    /// UNAVAILABLE: what the server builds on does not answer; the same call may succeed after `retry_after`.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        let error = Self::new(Reason::Unavailable, message);
        Self { retry_after: Some(retry_after), ..error }
    }

    /// Says when the same call may succeed.
    pub fn retry_after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }

    /// Adds a piece of machine-readable metadata, as the name of the resource.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }
}

impl From<WireError> for Status {
    fn from(error: WireError) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(error.reason.name(), ERROR_DOMAIN, error.metadata);
        if !error.violations.is_empty() {
            let violations = error.violations.iter().map(|v| FieldViolation::new(&v.field, &v.message));
            details.set_bad_request(violations.collect::<Vec<_>>());
        }
        if error.retry_after.is_some() {
            details.set_retry_info(error.retry_after);
        }
        Status::with_error_details(code_of(error.reason), error.message, details)
    }
}

/// The status code of a reason, as tonic has it.
pub(crate) fn code_of(reason: Reason) -> Code {
    Code::from_i32(reason.code().number())
}

/// The answer of an RPC that the contract has and this build does not.
pub fn not_built(method: &str) -> Status {
    let message = format!("{method} is not built yet");
    WireError::new(Reason::MethodNotBuilt, message).with("method", method).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientError;

    #[test]
    fn every_violation_and_the_reason_reach_the_caller() {
        let mut violations = Violations::one("a", "bad");
        violations.add("b[1]", "worse");
        let status = Status::from(WireError::invalid(violations));
        let error = ClientError::from(&status);
        assert_eq!((error.code, error.reason.as_str()), (Code::InvalidArgument, "INVALID_INPUT"));
        let fields: Vec<_> = error.violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["a", "b[1]"]);
    }

    #[test]
    fn an_internal_error_keeps_its_cause_to_itself() {
        let status = Status::from(WireError::internal(&std::io::Error::other("secret")));
        assert!(!format!("{status:?}").contains("secret"));
    }

    #[test]
    fn every_reason_goes_over_the_wire_with_its_code() {
        for reason in Reason::ALL {
            let status = Status::from(WireError::new(*reason, "m"));
            let name = format!("{:?}", status.code()).to_uppercase();
            assert_eq!(name, reason.code().name().replace('_', ""), "{reason}");
            assert_eq!(ClientError::from(&status).reason, reason.name());
        }
    }

    #[test]
    fn an_unavailable_server_says_when_to_come_back() {
        let status = Status::from(WireError::unavailable("down", Duration::from_secs(2)));
        assert_eq!(ClientError::from(&status).retry_after, Some(Duration::from_secs(2)));
    }
}
