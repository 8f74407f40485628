//! Why there is no number.

use std::time::Duration;

use hotswap_core::Violations;

/// Why a query gave no number. None of these holds the token or the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The options are not valid.
    #[error("the options are not valid: {0}")]
    Invalid(Violations),
    /// The answer is empty: nothing matches, or nothing was measured then.
    #[error("no data")]
    NoData {
        /// What the server warned of; what is missing may be in a part that did not answer.
        warnings: Vec<String>,
    },
    /// The value is NaN, as where nothing was divided by nothing.
    #[error("the value is NaN")]
    Nan,
    /// Several series match; a sum is missing in the query.
    #[error("{series} series match where one is expected; sum them")]
    ManySeries {
        /// How many.
        series: usize,
    },
    /// The query gives something else than a number, as a range, a text or a native histogram.
    #[error("the query gives a {kind} and not a number")]
    WrongKind {
        /// What it gives.
        kind: String,
    },
    /// A value that should be a number is none.
    #[error("the value {text:?} is not a number")]
    NotANumber {
        /// What it is, cut off where it is long.
        text: String,
    },
    /// The query does not parse.
    #[error("the query is not valid: {message}")]
    BadQuery {
        /// What the server says.
        message: String,
    },
    /// The query parses and can't be answered: it is ambiguous, or too large.
    #[error("the query can't be answered: {message}")]
    CannotAnswer {
        /// What the server says.
        message: String,
    },
    /// The server answers with an error of HTTP.
    #[error("the server answers {status}: {message}")]
    Http {
        /// The status.
        status: u16,
        /// How the answer begins, in one line.
        message: String,
    },
    /// Nobody answers there, or with a certificate that nobody trusts.
    #[error("the server can't be reached: {message}")]
    Unreachable {
        /// Why.
        message: String,
    },
    /// There was no whole answer in time.
    #[error("no answer within {} ms", .after.as_millis())]
    TimedOut {
        /// The time it had.
        after: Duration,
    },
    /// The answer is not that of a Prometheus.
    #[error("the answer is not that of a Prometheus: {what}")]
    Malformed {
        /// What is wrong.
        what: String,
    },
    /// The token can't be read.
    #[error("the token can't be read: {what}")]
    Token {
        /// Why.
        what: String,
    },
}

impl QueryError {
    /// Whether the same query may give a number later without anybody changing anything: the server is away or busy.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::NoData { .. } | Self::Nan => true,
            Self::Http { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
            _ => false,
        }
    }

    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed { what: what.into() }
    }
}

impl From<Violations> for QueryError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}
