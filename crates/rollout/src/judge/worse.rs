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

/// The baseline's share in the alternatives, and the weight of each: most services fail one request in a hundred or
/// fewer. Any weights are sound; these find soonest what is common.
const BASELINE: [(f64, f64); 6] =
    [(0.000_5, 0.1), (0.003, 0.25), (0.01, 0.35), (0.03, 0.2), (0.1, 0.06), (0.3, 0.04)];
/// How many times the limit the candidate is worse, and the weight of each.
const TIMES: [(f64, f64); 4] = [(1.0, 0.15), (2.0, 0.5), (4.0, 0.25), (10.0, 0.1)];

/// The natural logarithm of the e-value for "worse", tuned to find those beyond `above`, a difference of shares.
pub(crate) fn ln_e(candidate: &Effective, baseline: &Effective, drawn: Option<f64>, above: f64) -> f64 {
    let all = candidate.requests + baseline.requests;
    if all <= 0.0 || above <= 0.0 {
        return 0.0;
    }
    let share = drawn.unwrap_or(candidate.requests / all).clamp(1e-4, 1.0 - 1e-4);
    let mut terms = Vec::with_capacity(BASELINE.len() * TIMES.len());
    for (p, of_p) in BASELINE {
        for (times, weight) in TIMES {
            let q = (p + above * times).min(0.5 * (1.0 + p)).max(p + 1e-6);
            terms.push((weight * of_p).ln() + ln_ratio(candidate, baseline, share, p, q));
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

/// The logarithm of a sum of exponentials.
fn ln_sum(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + terms.iter().map(|term| (term - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(bad: f64, requests: f64) -> Effective {
        Effective { requests, bad, dispersion: 1.0 }
    }

    #[test]
    fn the_weights_are_a_distribution() {
        let times: f64 = TIMES.iter().map(|(_, weight)| weight).sum();
        let baseline: f64 = BASELINE.iter().map(|(_, weight)| weight).sum();
        assert!((times - 1.0).abs() < 1e-12 && (baseline - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_expectation_is_one_where_the_arm_makes_no_difference() {
        // All outcomes of three requests, drawn at 10 %, each of which fails with another chance.
        let (share, chances) = (0.1, [0.3, 0.02, 0.7]);
        let mut expected = 0.0;
        for outcome in 0..4_u32.pow(3) {
            let (mut weight, mut candidate, mut baseline) = (1.0, arm(0.0, 0.0), arm(0.0, 0.0));
            for (i, chance) in (0..).zip(chances) {
                let digit = outcome / 4_u32.pow(i) % 4;
                let (is_candidate, fails) = (digit & 1 == 1, digit & 2 == 2);
                weight *= if is_candidate { share } else { 1.0 - share };
                weight *= if fails { chance } else { 1.0 - chance };
                let of = if is_candidate { &mut candidate } else { &mut baseline };
                of.requests += 1.0;
                of.bad += f64::from(u8::from(fails));
            }
            expected += weight * ln_e(&candidate, &baseline, Some(share), 0.05).exp();
        }
        assert!((expected - 1.0).abs() < 1e-9, "{expected}");
    }

    #[test]
    fn evidence_grows_where_it_is_worse_and_shrinks_where_it_is_not() {
        let ln_e = |bad| ln_e(&arm(bad, 1_000.0), &arm(90.0, 9_000.0), Some(0.1), 0.05);
        assert!(ln_e(110.0) > 50.0);
        assert!(ln_e(10.0) < -1.0 && ln_e(2.0) < ln_e(10.0));
    }
}
