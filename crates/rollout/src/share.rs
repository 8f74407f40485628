//! Shares in basis points, and spans of time.

use std::fmt;

use hotswap_core::Timestamp;
use serde::{Deserialize, Serialize};

/// A share of requests in basis points: 1 is 0.01 %, 10,000 is all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Share(u16);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Every second request.
    pub(crate) const HALF: Self = Self(5_000);
    /// Everything.
    pub const ALL: Self = Self(10_000);

    /// From basis points.
    ///
    /// # Errors
    /// More than 10,000.
    pub fn from_bp(bp: u32) -> Result<Self, InvalidShare> {
        match u16::try_from(bp) {
            Ok(bp) if bp <= 10_000 => Ok(Self(bp)),
            _ => Err(InvalidShare),
        }
    }

    /// The basis points.
    pub fn bp(self) -> u16 {
        self.0
    }

    /// This share as a part of one.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// `part` of `parts` of this share, rounded down.
    pub(crate) fn part(self, part: u32, parts: u32) -> Self {
        let bp = u64::from(self.0) * u64::from(part.min(parts)) / u64::from(parts.max(1));
        Self(u16::try_from(bp).unwrap_or(self.0))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match rest {
            0 => write!(f, "{whole} %"),
            _ if rest % 10 == 0 => write!(f, "{whole}.{} %", rest / 10),
            _ => write!(f, "{whole}.{rest:02} %"),
        }
    }
}

/// More than all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 0 to 10,000 basis points (10,000 is 100 %)")]
pub struct InvalidShare;

impl TryFrom<u32> for Share {
    type Error = InvalidShare;

    fn try_from(bp: u32) -> Result<Self, InvalidShare> {
        Self::from_bp(bp)
    }
}

impl From<Share> for u32 {
    fn from(share: Share) -> u32 {
        share.0.into()
    }
}

/// A span of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Millis(pub u64);

impl Millis {
    /// So many minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self(minutes * 60_000)
    }

    /// So many hours.
    pub const fn hours(hours: u64) -> Self {
        Self::minutes(hours * 60)
    }

    /// The moment this long after `start`; it stops at the end of the range.
    pub fn after(self, start: Timestamp) -> Timestamp {
        start.plus_micros(i64::try_from(self.0.saturating_mul(1_000)).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms >= 3_600_000 && ms % 3_600_000 == 0 => write!(f, "{} h", ms / 3_600_000),
            ms if ms >= 60_000 && ms % 60_000 == 0 => write!(f, "{} min", ms / 60_000),
            ms if ms % 1_000 == 0 => write!(f, "{} s", ms / 1_000),
            ms => write!(f, "{ms} ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_all_is_refused() {
        assert_eq!(Share::from_bp(10_000), Ok(Share::ALL));
        assert_eq!(Share::from_bp(10_001), Err(InvalidShare));
        assert_eq!(Share::from_bp(u32::MAX), Err(InvalidShare));
        assert!(serde_json::from_str::<Share>("10001").is_err());
    }

    #[test]
    fn shares_and_spans_read_well() {
        let shown = |bp| Share::from_bp(bp).expect("valid").to_string();
        assert_eq!([shown(1_000), shown(1_250), shown(1), shown(0)], ["10 %", "12.5 %", "0.01 %", "0 %"]);
        let shown = |ms| Millis(ms).to_string();
        assert_eq!(
            [shown(7_200_000), shown(90_000), shown(60_000), shown(5)],
            ["2 h", "90 s", "1 min", "5 ms"]
        );
    }
}
