//! How a command ends: its exit code, and what it says of a failure.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::process::ExitCode;

use hotswap_core::Reason;
use hotswap_rpc::ClientError;
use hotswap_runtime::StartError;
use tonic::{Code, Status};

use crate::client;

/// The exit codes, which the README documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something that has no code of its own.
    Other = 1,
    /// A command line or an input that breaks the rules.
    Usage = 2,
    /// A conflict with what is there: stale, taken or in the wrong state.
    Conflict = 3,
    /// What was asked for is not there.
    NotFound = 4,
    /// The control plane can't be reached, or did not answer in time.
    Unavailable = 5,
    /// No token, a bad one, or one without the role.
    Denied = 6,
    /// A rollout that was waited for was rolled back, rejected or never began.
    NotPromoted = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure as people read it. Its parts beyond the message are printed each on a line of their own.
/// Boxed, so that results stay small.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    exit: Exit,
    message: String,
    reason: Option<String>,
    violations: Vec<(String, String)>,
    hint: Option<String>,
    request_id: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            exit,
            message: message.into(),
            reason: None,
            violations: Vec::new(),
            hint: None,
            request_id: None,
        }))
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// What went wrong, without the rest.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The same with another exit code.
    pub(crate) fn with_exit(mut self, exit: Exit) -> Self {
        self.0.exit = exit;
        self
    }

    /// An input that breaks the rules.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something that has no code of its own.
    pub(crate) fn other(message: impl fmt::Display) -> Self {
        Self::new(Exit::Other, message.to_string())
    }

    /// What to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// A fault of one field.
    pub(crate) fn violation(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.0.violations.push((field.into(), message.into()));
        self
    }

    /// Says first what it is about, as "routes/shop", unless the message does.
    pub(crate) fn about(mut self, what: impl fmt::Display) -> Self {
        let what = what.to_string();
        if !self.0.message.starts_with(&what) {
            self.0.message = format!("{what}: {}", self.0.message);
        }
        self
    }

    /// Whether anything can be said of fields.
    pub(crate) fn has_violations(&self) -> bool {
        !self.0.violations.is_empty()
    }

    /// Whether nothing is wrong but these fields.
    pub(crate) fn is_only_about(&self, fields: &[Cow<'static, str>]) -> bool {
        self.has_violations() && self.0.violations.iter().all(|(f, _)| fields.iter().any(|field| field == f))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.0.message))?;
        if let Some(reason) = &self.0.reason {
            write!(f, "\n  reason: {reason}")?;
        }
        for (field, message) in &self.0.violations {
            let field = if field.is_empty() { "(whole)" } else { field };
            write!(f, "\n  {field}: {}", one_line(message))?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "\n  hint: {}", one_line(hint))?;
        }
        if let Some(id) = &self.0.request_id {
            write!(f, "\n  request id: {id}")?;
        }
        Ok(())
    }
}

/// A text of somebody else's on one line, without control characters that could drive a terminal.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' | '\t' => out.push(' '),
            c if c.is_control() => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if let Some(broken) = client::broken(&status) {
            return broken;
        }
        if let Some(why) = no_answer(&status) {
            let hint = "is --server the address of a control plane? `hotswap up` prints it; one with TLS has https://";
            let what = "the connection broke, or no control plane is there";
            return Self::new(Exit::Unavailable, format!("{what}: {why}")).hint(hint);
        }
        let error = ClientError::from(&status);
        // The message repeats the violations, which get lines of their own here.
        let message = error.message.strip_suffix(&error.violations.to_string()).unwrap_or(&error.message);
        let message = message.trim_end_matches([':', ' ']);
        let message = if message.is_empty() { error.code.description() } else { message };
        let retry = error.retry_after.map(|after| format!("try again in {} ms", after.as_millis()));
        Self(Box::new(Parts {
            exit: exit_of(error.code),
            message: message.to_owned(),
            violations: error.violations.iter().map(|v| (v.field.clone(), v.message.clone())).collect(),
            hint: retry.or_else(|| hint_for(error.code, &error.reason)),
            reason: some(error.reason),
            request_id: some(error.request_id),
        }))
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let exit = if matches!(error, StartError::Option(_)) { Exit::Usage } else { Exit::Other };
        Self::new(exit, error.to_string())
    }
}

/// Why an answer did not come from a control plane, where that is so: the status is one that the client made.
fn no_answer(status: &Status) -> Option<String> {
    match status.message() {
        "transport error" => {
            let mut last: &dyn std::error::Error = status;
            while let Some(source) = last.source() {
                last = source;
            }
            Some(last.to_string())
        }
        foreign if foreign.starts_with("grpc-status header missing") => {
            Some("the answer is not gRPC".to_owned())
        }
        _ => None,
    }
}

fn some(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}

fn exit_of(code: Code) -> Exit {
    match code {
        Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
        Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition => Exit::Conflict,
        Code::NotFound => Exit::NotFound,
        Code::Unavailable | Code::DeadlineExceeded => Exit::Unavailable,
        Code::PermissionDenied | Code::Unauthenticated => Exit::Denied,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::ResourceExhausted
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => Exit::Other,
    }
}

/// What to do about a failure of this kind: what this program offers against it, or else what the reason says itself.
/// `None`: it is told already, or nobody knows.
fn hint_for(code: Code, reason: &str) -> Option<String> {
    let hint = match (code, Reason::parse(reason)) {
        // Each field that is wrong says what would be right.
        (_, Some(Reason::InvalidInput)) => return None,
        (_, Some(Reason::NotFound)) => {
            "`hotswap get`, `rollout list`, `fleet list` and `audit hold list` show what is there"
        }
        (_, Some(Reason::RevisionNotFound)) => "`hotswap history` shows the revisions that it has",
        (_, Some(Reason::StaleEtag)) => {
            "look at what has changed with `hotswap get` or `hotswap history`, and try again"
        }
        (_, Some(Reason::RoleMissing)) => {
            "use the token of somebody who may; `hotswap token --role` makes one"
        }
        (_, Some(Reason::TokenMissing | Reason::TokenMalformed | Reason::TokenExpired))
        | (Code::Unauthenticated, None) => {
            "give a valid token with --token-file or HOTSWAP_TOKEN; `hotswap token` makes one"
        }
        (_, Some(Reason::MethodNotBuilt | Reason::FeatureNotBuilt)) => {
            "a later release of the control plane has it"
        }
        (_, Some(reason)) => return Some(fragment(reason.remedy())),
        (Code::Unavailable, None) => {
            "is the control plane running? `hotswap up` starts it; --server says where it is"
        }
        (Code::DeadlineExceeded, None) => "--timeout allows it more time",
        (_, None) => return None,
    };
    Some(hint.to_owned())
}

/// A sentence as a hint: without its capital and its full stop.
fn fragment(sentence: &str) -> String {
    let mut chars = sentence.trim_end_matches('.').chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "answers of others have no reason")]
mod tests {
    use hotswap_core::Violations;
    use hotswap_rpc::WireError;

    use super::*;

    #[test]
    fn every_violation_stands_on_its_own_line_and_only_there() {
        let mut violations = Violations::one("route.hosts[0]", "must be a host name");
        violations.add("route.priority", "must be at most 1,000,000");
        let mut status = Status::from(WireError::invalid(violations));
        status.metadata_mut().insert("x-request-id", "0190-1".parse().expect("ASCII"));
        let failure = Failure::from(status).about("routes/shop");
        assert_eq!(failure.exit(), Exit::Usage);
        assert_eq!(
            failure.to_string(),
            "routes/shop: the request is not valid\n  reason: INVALID_INPUT\n  \
             route.hosts[0]: must be a host name\n  route.priority: must be at most 1,000,000\n  \
             request id: 0190-1"
        );
    }

    #[test]
    fn every_reason_has_a_hint_unless_its_fields_say_it_all() {
        for reason in Reason::ALL {
            let failure = Failure::from(Status::from(WireError::new(*reason, "m"))).to_string();
            let hint = failure.lines().find_map(|line| line.strip_prefix("  hint: "));
            assert_eq!(hint.is_none(), *reason == Reason::InvalidInput, "{failure}");
            assert!(
                hint.is_none_or(|h| !h.ends_with('.') && !h.starts_with(char::is_uppercase)),
                "{failure}"
            );
        }
    }

    #[test]
    fn what_no_control_plane_answered_is_told_as_that() {
        let status = Status::unknown("grpc-status header missing, mapped from HTTP status code 404");
        let failure = Failure::from(status);
        assert_eq!(failure.exit(), Exit::Unavailable);
        assert!(
            failure.message().ends_with("no control plane is there: the answer is not gRPC"),
            "{failure}"
        );
        assert_eq!(Failure::from(Status::unknown("transport error")).exit(), Exit::Unavailable);
    }

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        let failure = Failure::from(Status::not_found("no \u{1b}[31mred\nline"));
        assert_eq!(failure.to_string(), "no \\u{1b}[31mred line");
        assert_eq!(failure.exit(), Exit::NotFound);
    }
}
