//! The caller's side: a token on each call, and errors read back.

use std::collections::BTreeMap;
use std::time::Duration;

use hotswap_core::{Violation, Violations};
use hotswap_telemetry::trace;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// Puts a token on each call, and the context of the current span.
#[derive(Clone)]
pub struct BearerToken(MetadataValue<Ascii>);

impl std::fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BearerToken")
    }
}

impl BearerToken {
    /// A token, without white space around it; `None` where it can't stand in a header.
    pub fn new(token: &str) -> Option<Self> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim()).parse().ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

impl Interceptor for BearerToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        if let Some(context) = trace::current().and_then(|c| c.to_string().parse().ok()) {
            request.metadata_mut().insert("traceparent", context);
        }
        Ok(request)
    }
}

/// An error of a call, with its details read.
#[derive(Clone, Debug)]
pub struct ClientError {
    /// The status code.
    pub code: Code,
    /// The stable reason; empty where the server gave none.
    pub reason: String,
    /// For people.
    pub message: String,
    /// What the server said beside it.
    pub metadata: BTreeMap<String, String>,
    /// Faults of the input.
    pub violations: Violations,
    /// When the same call may succeed.
    pub retry_after: Option<Duration>,
    /// The request's id in the server's log; empty where the call did not reach it.
    pub request_id: String,
}

impl From<&Status> for ClientError {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let mut violations = Violations::new();
        for v in details.bad_request().map(|b| b.field_violations.as_slice()).unwrap_or_default() {
            let Violation { field, message } =
                Violation { field: v.field.clone(), message: v.description.clone() };
            violations.add(field, message);
        }
        let id = status.metadata().get("x-request-id").and_then(|v| v.to_str().ok());
        Self {
            code: status.code(),
            reason: info.map(|i| i.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            metadata: info.map(|i| i.metadata.clone().into_iter().collect()).unwrap_or_default(),
            violations,
            retry_after: details.retry_info().and_then(|r| r.retry_delay),
            request_id: id.unwrap_or_default().to_owned(),
        }
    }
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?}", self.message, self.code)?;
        if !self.reason.is_empty() {
            write!(f, ", {}", self.reason)?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for ClientError {}
