//! What the gateway knows of gRPC: deadlines, statuses, and how a failure of its own is told.

use std::fmt;

use hotswap_h1::Head;
use http::{HeaderName, StatusCode};

use crate::reason::{HEADER, Reason};

/// The header with a call's deadline.
pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The field with the status of a call.
pub(crate) const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
/// The longest time that the header has, in ms: 8 digits.
const LONGEST_MS: u64 = 99_999_999;

/// What statuses are called, by their numbers; then any other number, and that there was none.
pub(crate) const NAMES: [&str; 19] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
    "other",
    "none",
];
const OTHER: usize = NAMES.len() - 2;
const NONE: usize = NAMES.len() - 1;

/// A status of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grpc-status {}", self.0)
    }
}

impl Code {
    pub(crate) const OK: Self = Self(0);
    pub(crate) const UNKNOWN: Self = Self(2);
    pub(crate) const DEADLINE_EXCEEDED: Self = Self(4);
    pub(crate) const PERMISSION_DENIED: Self = Self(7);
    pub(crate) const RESOURCE_EXHAUSTED: Self = Self(8);
    pub(crate) const UNIMPLEMENTED: Self = Self(12);
    pub(crate) const INTERNAL: Self = Self(13);
    pub(crate) const UNAVAILABLE: Self = Self(14);
    pub(crate) const DATA_LOSS: Self = Self(15);
    pub(crate) const UNAUTHENTICATED: Self = Self(16);

    /// The one that a response, or what follows it, has.
    pub(crate) fn of(fields: &Head) -> Option<Self> {
        Self::read(fields.named(STATUS).next()?)
    }

    /// The one that a field says.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        std::str::from_utf8(value).ok()?.parse().ok().map(Self)
    }

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        NAMES.get(Self::place(Some(self))).copied().unwrap_or("other")
    }

    /// Where its name stands among [`NAMES`].
    pub(crate) fn place(code: Option<Self>) -> usize {
        code.map_or(NONE, |code| usize::from(code.0).min(OTHER))
    }

    /// Whether the server has failed, and not the caller: what is a status of 500 to 599 elsewhere.
    pub(crate) fn is_failure(self) -> bool {
        matches!(
            self,
            Self::UNKNOWN
                | Self::DEADLINE_EXCEEDED
                | Self::UNIMPLEMENTED
                | Self::INTERNAL
                | Self::UNAVAILABLE
                | Self::DATA_LOSS
        )
    }

    /// What it says of the backend, as a status of HTTP. A caller can bring about that a deadline passes and that a method
    /// is not there: that says nothing.
    pub(crate) fn outcome(self) -> u16 {
        match self {
            Self::UNAVAILABLE => 503,
            Self::UNKNOWN | Self::INTERNAL | Self::DATA_LOSS => 500,
            _ => 200,
        }
    }

    fn of_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 => Self::RESOURCE_EXHAUSTED,
            502..=504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }
}

/// Whether a request is a call of gRPC, by its content-type.
pub(crate) fn is_call(head: &Head) -> bool {
    head.named("content-type").next().is_some_and(is_type_of_call)
}

/// Whether a content-type is that of a call.
pub(crate) fn is_type_of_call(value: &[u8]) -> bool {
    let rest = value.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// A call's deadline, in ms, the part of one counted as a whole one; `None`: it has none that can be read.
pub(crate) fn timeout(head: &Head) -> Option<u64> {
    let value = std::str::from_utf8(head.named(TIMEOUT.as_str()).next()?).ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => n * 3_600_000,
        "M" => n * 60_000,
        "S" => n * 1_000,
        "m" => n,
        "u" => n.div_ceil(1_000),
        "n" => n.div_ceil(1_000_000),
        _ => return None,
    })
}

/// Tells the backend how long the caller waits.
pub(crate) fn set_timeout(head: &mut Head, ms: u64) {
    let text = if ms <= LONGEST_MS { format!("{ms}m") } else { format!("{}S", (ms / 1_000).min(LONGEST_MS)) };
    head.set(&TIMEOUT, text.as_bytes());
}

/// The status of a failure of the gateway's own; `status` is the one of HTTP, which a fault on purpose chooses.
pub(crate) fn code(reason: Reason, status: StatusCode) -> Code {
    match reason {
        Reason::FaultInjected => Code::of_http(status),
        reason => reason.grpc(),
    }
}

/// Makes the head of a response that has nothing but a failure.
pub(crate) fn refuse(reason: Reason, code: Code, head: &mut Head) {
    head.respond(StatusCode::OK);
    head.push("content-type", b"application/grpc");
    tell(reason, code, head);
}

/// Writes a failure, into a head or behind a body.
pub(crate) fn tell(reason: Reason, code: Code, fields: &mut Head) {
    fields.push(STATUS, code.0.to_string().as_bytes());
    fields.push(MESSAGE, reason.text().trim_end().as_bytes());
    fields.push(HEADER.as_str(), reason.code().as_bytes());
}

impl Reason {
    /// The status of a call of gRPC that fails so.
    pub const fn grpc(self) -> Code {
        match self {
            Self::TokenMissing | Self::TokenInvalid => Code::UNAUTHENTICATED,
            Self::AddressDenied | Self::CorsDenied => Code::PERMISSION_DENIED,
            Self::RateLimited | Self::ConcurrencyLimit | Self::HeadTooLarge | Self::BodyTooLarge => {
                Code::RESOURCE_EXHAUSTED
            }
            Self::NoRoute | Self::Unsupported | Self::NotSwitched | Self::PoolUnsupported => {
                Code::UNIMPLEMENTED
            }
            Self::FirstByteTimeout
            | Self::TotalTimeout
            | Self::IdleTimeout
            | Self::ClientTimeout
            | Self::DeadlinePassed => Code::DEADLINE_EXCEEDED,
            Self::BadRequest
            | Self::BadPath
            | Self::UriTooLong
            | Self::TlsRequired
            | Self::BackendProtocol => Code::INTERNAL,
            _ => Code::UNAVAILABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Head {
        let mut head = Head::default();
        head.push(name, value.as_bytes());
        head
    }

    #[test]
    fn calls_are_known_by_their_type() {
        for (value, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_call(&with("content-type", value)), is, "{value}");
        }
        assert!(!is_call(&Head::default()));
    }

    #[test]
    fn a_deadline_is_read_strictly_and_written_within_8_digits() {
        for (value, ms) in [
            ("2H", Some(7_200_000)),
            ("3M", Some(180_000)),
            ("4S", Some(4_000)),
            ("5m", Some(5)),
            ("1001u", Some(2)),
            ("1n", Some(1)),
            ("0m", Some(0)),
            ("99999999H", Some(359_999_996_400_000)),
            ("123456789m", None),
            ("5", None),
            ("m", None),
            ("-5m", None),
            ("5s", None),
            ("5\u{e9}", None),
        ] {
            assert_eq!(timeout(&with("grpc-timeout", value)), ms, "{value}");
        }
        for (ms, value) in [(5, "5m"), (99_999_999, "99999999m"), (100_000_500, "100000S")] {
            let mut head = with("grpc-timeout", "1S");
            set_timeout(&mut head, ms);
            assert_eq!(head.named("grpc-timeout").collect::<Vec<_>>(), [value.as_bytes()]);
        }
    }

    #[test]
    fn a_server_that_fails_is_told_from_a_caller_that_does() {
        let failures: Vec<u16> = (0..20).filter(|n| Code(*n).is_failure()).collect();
        assert_eq!(failures, [2, 4, 12, 13, 14, 15]);
        let against: Vec<u16> = (0..20).filter(|n| Code(*n).outcome() >= 500).collect();
        assert_eq!(against, [2, 13, 14, 15]);
    }

    #[test]
    fn every_number_has_a_name() {
        let names = [(0, "OK"), (4, "DEADLINE_EXCEEDED"), (14, "UNAVAILABLE"), (16, "UNAUTHENTICATED")];
        for (number, name) in names.into_iter().chain([(17, "other"), (u16::MAX, "other")]) {
            assert_eq!(Code(number).name(), name);
        }
        assert_eq!(NAMES[Code::place(None)], "none");
    }

    #[test]
    fn messages_need_no_escape() {
        for reason in Reason::ALL {
            assert!(
                reason.text().trim_end().bytes().all(|b| matches!(b, b' '..=b'~') && b != b'%'),
                "{reason:?}"
            );
        }
    }
}
