//! The time that all cores agree on.

use std::sync::LazyLock;
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// When the process first asked for the time; what [`now_ms`] counts from.
pub fn start() -> Instant {
    *START
}

/// Milliseconds since the start of the process, at least 1; the same on every core. A core asks its own timers
/// instead, which know it to 25 ms for nothing.
pub fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Nanoseconds since the start of the process, at least 1; the same on every core.
pub fn now_ns() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}
