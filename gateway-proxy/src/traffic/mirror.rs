//! Which requests are copied to a route's mirror, and what came of the copies. The engine makes and sends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hotswap_matcher::{Mirror, RequestHead};
use http::HeaderName;

use super::admitted::Admitted;
use crate::decide::Caller;
use crate::dice::Dice;

/// Says to a backend that nobody gets its answer, and by which gateways' copies it came, the last one last: mirrors that
/// lead back to their own gateway would never end. As `CDN-Loop` (RFC 8586) does for caches.
pub const COPY: &str = "x-hotswap-mirror";
const NAME: HeaderName = HeaderName::from_static(COPY);
/// Gateways that a copy tells, at most: the last ones. Anybody can tell more.
const MOST: usize = 8;
/// Longest word for a gateway that is handed on, in bytes.
const LONGEST: usize = 32;

/// What a gateway's copies tell of it: a word that clients can't guess, so that none can say of its own requests that
/// they are copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(Arc<str>);

impl Mark {
    /// One for this process.
    pub fn new(dice: &mut Dice) -> Self {
        Self(format!("{:016x}", dice.next()).into())
    }

    /// Whether the request is a copy that this gateway has made, or comes of one.
    pub(super) fn is_in(&self, head: &impl RequestHead) -> bool {
        let mut there = false;
        head.header(&NAME, &mut |line| there |= words(line).any(|word| word == self.0.as_bytes()));
        there
    }

    /// What a copy tells: the gateways that the request tells, and this one.
    pub fn behind<'a>(&self, told: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut all: Vec<_> = told.into_iter().flat_map(words).filter(|word| word.len() <= LONGEST).collect();
        all.push(self.0.as_bytes());
        let from = all.len().saturating_sub(MOST);
        all.get(from..).unwrap_or_default().join(&b", "[..])
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
}

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

pub(super) fn pass(mirror: &Mirror, head: &impl RequestHead, caller: &Caller<'_>, admitted: &mut Admitted) {
    let drawn = || caller.dice.borrow_mut().next() % 10_000 < u64::from(mirror.share_bps);
    if !caller.mark.is_in(head) && drawn() {
        admitted.mirror();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_tells_the_last_gateways_and_none_of_a_length_that_no_gateway_has() {
        let mark = Mark(Arc::from("own"));
        assert_eq!(mark.behind([]), b"own");
        assert_eq!(mark.behind([&b" 1,, 2 "[..], &b"3"[..]]), b"1, 2, 3, own");
        assert_eq!(mark.behind([&b"1,2,3,4,5,6,7,8,9"[..]]), b"3, 4, 5, 6, 7, 8, 9, own");
        assert_eq!(mark.behind([&[b'x'; 33][..]]), b"own");
    }
}
