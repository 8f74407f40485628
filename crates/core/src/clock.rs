//! Time and identity as parameters. Production passes [`SystemClock`] and [`SystemIds`]; tests pass
//! [`ManualClock`] and [`SequentialIds`].

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The part below a second, in nanoseconds: 0 to 999,999,000.
    pub fn subsec_nanos(self) -> i32 {
        i32::try_from(self.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0)
    }

    /// This moment and so many microseconds; it stops at the ends of the range.
    pub fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

/// Tells the time. Only for what people read and for expiry; order comes from revisions.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `at`.
    pub fn at(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.0))
    }

    /// Moves it by so many microseconds.
    pub fn advance_micros(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Makes identities.
pub trait Ids: Send + Sync + 'static {
    /// A new UUIDv7.
    fn uuid(&self) -> Uuid;
}

/// Identities from the machine's clock and randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn uuid(&self) -> Uuid {
        #[expect(clippy::disallowed_methods, reason = "the one place that makes identities")]
        Uuid::now_v7()
    }
}

/// Identities that count up from 1, for tests whose output must not change.
#[derive(Debug, Default)]
pub struct SequentialIds(AtomicU64);

impl Ids for SequentialIds {
    fn uuid(&self) -> Uuid {
        let n = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000 | u128::from(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_before_the_epoch_splits_into_floor_and_positive_rest() {
        let t = Timestamp(-1);
        assert_eq!((t.seconds(), t.subsec_nanos()), (-1, 999_999_000));
    }

    #[test]
    fn a_manual_clock_moves_only_when_moved() {
        let clock = ManualClock::at(Timestamp(5));
        assert_eq!(clock.now(), Timestamp(5));
        clock.advance_micros(7);
        assert_eq!(clock.now(), Timestamp(12));
    }
}
