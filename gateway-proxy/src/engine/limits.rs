//! The limits of one exchange, and which of them a deadline stands for.

use std::time::Duration;

use hotswap_matcher::Timeouts;

use crate::reason::Reason;

/// What the deadline guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// The client's next request, or its head.
    Client,
    /// The head of the response.
    FirstByte,
    /// One try, to the head of the response.
    Try,
    /// The whole exchange.
    Total,
    /// The same, where the caller has set it.
    Deadline,
    /// A body that stands still.
    Idle,
    /// The backend's word on a body that the client keeps back.
    Continue,
}

/// Limits of one exchange, in ms.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExchangeLimits {
    pub(super) first_byte: u64,
    pub(super) total: Option<u64>,
    /// The caller has set that.
    pub(super) by_caller: bool,
    pub(super) idle: u64,
    /// For one try.
    pub(super) per_try: Option<u64>,
}

impl Limit {
    /// Why an exchange ends that went beyond it.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::FirstByte | Self::Try => Reason::FirstByteTimeout,
            Self::Total => Reason::TotalTimeout,
            Self::Deadline => Reason::DeadlinePassed,
            Self::Idle | Self::Continue => Reason::IdleTimeout,
            Self::Client => Reason::ClientTimeout,
        }
    }
}

impl ExchangeLimits {
    pub(super) fn of(timeouts: &Timeouts) -> Self {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            first_byte: millis(timeouts.first_byte),
            total: timeouts.total.map(millis),
            idle: millis(timeouts.idle),
            per_try: None,
            by_caller: false,
        }
    }

    /// The same, with the deadline that the caller sets, in ms, where the route allows no less.
    pub(super) fn until(self, deadline: Option<u64>) -> Self {
        match deadline {
            Some(ms) if self.total.is_none_or(|total| ms <= total) => {
                Self { total: Some(ms), by_caller: true, ..self }
            }
            _ => self,
        }
    }
}
