//! Windows: for the judges that look at one after another.

use hotswap_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::dispersion::count;
use super::{Aspect, Tally};
use crate::Millis;

/// So many are kept; with more the oldest go.
const KEPT: usize = 500;

/// What came in a window, both arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) candidate: Tally,
    pub(crate) baseline: Tally,
}

impl Window {
    /// The shares of both arms; `None` where one of them had no request.
    pub(crate) fn shares(&self, aspect: Aspect) -> Option<(f64, f64)> {
        let share = |tally: Tally| count(aspect.of(tally)) / count(tally.requests);
        let both = self.candidate.requests > 0 && self.baseline.requests > 0;
        both.then(|| (share(self.candidate), share(self.baseline)))
    }
}

/// The windows of an exposure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Windows {
    pub(crate) closed: Vec<Window>,
    /// Where the open one began, and what had been counted by then.
    from: Option<Timestamp>,
    before: Option<Window>,
}

impl Windows {
    /// Takes counts. Gives the window that they close.
    pub(crate) fn take(
        &mut self,
        counts: &Counts,
        at: Timestamp,
        since: Timestamp,
        length: Millis,
    ) -> Option<Window> {
        let now = Window { candidate: counts.candidate.all, baseline: counts.baseline.all };
        if at < length.after(self.from.unwrap_or(since)) {
            return None;
        }
        let earlier = self
            .before
            .replace(now)
            .unwrap_or_else(|| Window { candidate: Tally::default(), baseline: Tally::default() });
        self.from = Some(at);
        let closed = Window {
            candidate: now.candidate.since(earlier.candidate),
            baseline: now.baseline.since(earlier.baseline),
        };
        if self.closed.len() >= KEPT {
            self.closed.remove(0);
        }
        self.closed.push(closed);
        Some(closed)
    }
}
