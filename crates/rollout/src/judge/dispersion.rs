//! How much requests of one arm are alike.
//!
//! A client that fails does so again and again: a hundred of its requests say less than a hundred clients' one. Each
//! client falls into one hash bucket, so what is alike shows as buckets that differ more than chance allows. The ratio
//! of the two (Pearson's X² over its degrees of freedom, weighted by size) divides the counts: Rao and Scott, 1992.

use super::counts::Arm;
use super::{Aspect, Tally};

/// Fewer buckets with requests tell nothing of how alike they are.
pub(crate) const FEWEST_BUCKETS: usize = 8;

/// Counts of an arm, made smaller by as much as its requests are alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Effective {
    /// Requests.
    pub(crate) requests: f64,
    /// Those that count against it.
    pub(crate) bad: f64,
    /// What both were divided by.
    pub(crate) dispersion: f64,
}

impl Effective {
    fn of(all: Tally, aspect: Aspect, dispersion: f64) -> Self {
        let (requests, bad) = (count(all.requests), count(aspect.of(all).min(all.requests)));
        Self { requests: requests / dispersion, bad: bad / dispersion, dispersion }
    }

    /// The share that counts against it.
    pub(crate) fn share(&self) -> f64 {
        if self.requests > 0.0 { self.bad / self.requests } else { 0.0 }
    }
}

/// Effective counts of the candidate and the baseline; `None` where sticky requests come from too few buckets.
pub(crate) fn effective(candidate: &Arm, baseline: &Arm, aspect: Aspect) -> Option<(Effective, Effective)> {
    if candidate.buckets.is_empty() && baseline.buckets.is_empty() {
        let plain = |arm: &Arm| Effective::of(arm.all, aspect, 1.0);
        return Some((plain(candidate), plain(baseline)));
    }
    // Clients are drawn for an arm as a whole, so both arms have the same kind of them; the baseline has more.
    let (own, other) = (overdispersion(candidate, aspect)?, overdispersion(baseline, aspect)?);
    let candidate = Effective::of(candidate.all, aspect, own.max(other));
    Some((candidate, Effective::of(baseline.all, aspect, other)))
}

/// How much more buckets differ than chance allows; 1 where they don't. A bit more than what is seen, since that
/// is an estimate from so many buckets.
fn overdispersion(arm: &Arm, aspect: Aspect) -> Option<f64> {
    let filled = arm.buckets.iter().filter(|bucket| bucket.requests > 0).count();
    if filled < FEWEST_BUCKETS {
        return None;
    }
    let requests: f64 = arm.buckets.iter().map(|b| count(b.requests)).sum();
    let bad: f64 = arm.buckets.iter().map(|b| count(aspect.of(*b))).sum();
    let share = bad / requests;
    if share <= 0.0 || share >= 1.0 {
        return Some(1.0);
    }
    let off = |bucket: &Tally| (count(aspect.of(*bucket)) - share * count(bucket.requests)).powi(2);
    let seen: f64 = arm.buckets.iter().map(off).sum();
    let freedom = f64::from(u32::try_from(filled - 1).unwrap_or(u32::MAX));
    let ratio = seen * (1.0 + 1.0 / freedom) / (requests * share * (1.0 - share));
    Some((ratio * (1.0 + MARGIN * (2.0 / freedom).sqrt())).max(1.0))
}

/// So many standard errors more than what is seen.
const MARGIN: f64 = 1.0;

/// A count as a number to reckon with; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(crate) fn count(n: u64) -> f64 {
    n as f64
}
