//! Which requests are copied to a route's mirror, and what came of the copies. The engine makes and sends them.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use hotswap_matcher::{Mirror, RequestHead};
use http::HeaderName;

use super::admitted::Admitted;
use crate::dice::Dice;

/// Says to a backend that nobody gets its answer. A request that comes with it is not copied: mirrors that lead back to
/// their own gateway would never end.
pub const COPY: &str = "x-hotswap-mirror";
const NAME: HeaderName = HeaderName::from_static(COPY);

/// What came of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyEnd {
    /// It was answered, with a status below 500.
    Sent,
    /// It was not, or with such a status.
    Failed,
    /// It never went out.
    Skipped,
}

/// Copies of a route's requests, by what came of them.
#[derive(Debug, Default)]
pub struct Copies([AtomicU64; 3]);

impl Copies {
    const ALL: [CopyEnd; 3] = [CopyEnd::Sent, CopyEnd::Failed, CopyEnd::Skipped];

    /// Counts one.
    pub fn count(&self, copy: CopyEnd) {
        let [sent, failed, skipped] = &self.0;
        let count = match copy {
            CopyEnd::Sent => sent,
            CopyEnd::Failed => failed,
            CopyEnd::Skipped => skipped,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were of each kind.
    pub fn counts(&self) -> impl Iterator<Item = (CopyEnd, u64)> {
        Self::ALL.into_iter().zip(&self.0).map(|(copy, count)| (copy, count.load(Ordering::Relaxed)))
    }
}

impl CopyEnd {
    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

pub(super) fn pass(mirror: &Mirror, head: &impl RequestHead, dice: &RefCell<Dice>, admitted: &mut Admitted) {
    let drawn = || dice.borrow_mut().next() % 10_000 < u64::from(mirror.share_bps);
    if !is_copy(head) && drawn() {
        admitted.mirror();
    }
}

/// Whether the request is a copy itself.
pub(super) fn is_copy(head: &impl RequestHead) -> bool {
    let mut there = false;
    head.header(&NAME, &mut |_| there = true);
    there
}
