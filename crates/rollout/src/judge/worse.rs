//! Is the candidate worse than the baseline?
//!
//! Each request is drawn for the candidate with the chance r, and fails with some chance that may change from one
//! moment to the next. If the candidate is no worse, then for any two shares p (baseline) and q > p (candidate), with
//! m = r·q + (1 − r)·p, the product over requests of
//!
//! | | failed | did not |
//! |---|---|---|
//! | candidate | q / m | (1 − q) / (1 − m) |
//! | baseline | p / m | (1 − p) / (1 − m) |
//!
//! has an expectation of at most 1: given the past, a request that fails with chance x contributes
//! x·(r·q + (1 − r)·p)/m + (1 − x)·(…)/(1 − m) = 1 where the arm makes no difference, and less where the candidate is
//! better. So does a mixture of them, and by Ville's inequality the chance that it ever exceeds 1/α is at most α. It
//! depends on the four counts alone. (Turner, Ly and Grünwald; that the failure rate may drift follows from the draw.)

use super::dispersion::Effective;

/// The baseline's share, in the alternatives. Its place matters little: the ratio to the candidate's does.
const BASELINE: [f64; 6] = [0.000_5, 0.003, 0.01, 0.03, 0.1, 0.3];
/// How many times the limit the candidate is worse, and the weight of each.
const TIMES: [(f64, f64); 5] = [(1.0, 0.15), (1.5, 0.2), (2.5, 0.35), (5.0, 0.2), (12.0, 0.1)];

/// The natural logarithm of the e-value for "worse", tuned to find those beyond `above`, a difference of shares.
pub(crate) fn ln_e(candidate: &Effective, baseline: &Effective, drawn: Option<f64>, above: f64) -> f64 {
    let all = candidate.requests + baseline.requests;
    if all <= 0.0 || above <= 0.0 {
        return 0.0;
    }
    let share = drawn.unwrap_or(candidate.requests / all).clamp(1e-4, 1.0 - 1e-4);
    let mut terms = Vec::with_capacity(BASELINE.len() * TIMES.len());
    for p in BASELINE {
        for (times, weight) in TIMES {
            let q = (p + above * times).min(0.5 * (1.0 + p)).max(p + 1e-6);
            let weight = weight / count_of(BASELINE.len());
            terms.push(weight.ln() + ln_ratio(candidate, baseline, share, p, q));
        }
    }
    ln_sum(&terms)
}

fn ln_ratio(candidate: &Effective, baseline: &Effective, share: f64, p: f64, q: f64) -> f64 {
    let m = share * q + (1.0 - share) * p;
    candidate.bad * (q / m).ln()
        + (candidate.requests - candidate.bad) * ((1.0 - q) / (1.0 - m)).ln()
        + baseline.bad * (p / m).ln()
        + (baseline.requests - baseline.bad) * ((1.0 - p) / (1.0 - m)).ln()
}

fn count_of(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

/// The logarithm of a sum of exponentials.
fn ln_sum(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + terms.iter().map(|term| (term - largest).exp()).sum::<f64>().ln()
}
