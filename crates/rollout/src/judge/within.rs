//! Is the candidate within the limit? And between which bounds does the difference lie?
//!
//! For each arm the likelihood of its counts, averaged over all shares (with Jeffreys' weights), divided by that at its
//! true share, is a martingale; their product is one too, since the arms don't touch. So the pairs of shares where
//! the product is below 1/β hold the true pair at all times, but for the chance β. The candidate is within the limit
//! once no pair beyond it is left; it is enough to look along the line where the limit is just reached, since the
//! likelihood is concave. (Robbins' mixture over two arms, with Wasserman, Ramdas and Balakrishnan's maximum over the
//! null.)

use super::dispersion::Effective;

/// Where a candidate is just at a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Line {
    /// So much more than the baseline's share.
    Plus(f64),
    /// So many times the baseline's share.
    Times(f64),
}

impl Line {
    /// The candidate's share on the line, and its slope, where the baseline's is `p`.
    fn at(self, p: f64) -> (f64, f64) {
        match self {
            Self::Plus(difference) => (p + difference, 1.0),
            Self::Times(times) => (p * times, times),
        }
    }

    /// The baseline's shares for which the candidate's is between 0 and 1.
    fn range(self) -> (f64, f64) {
        match self {
            Self::Plus(difference) => ((-difference).max(0.0), (1.0 - difference).min(1.0)),
            Self::Times(times) => (0.0, (1.0 / times).min(1.0)),
        }
    }
}

/// The natural logarithm of the evidence against every pair of shares on the line.
pub(crate) fn ln_against(candidate: &Effective, baseline: &Effective, line: Line) -> f64 {
    let average = ln_average(candidate) + ln_average(baseline);
    let (low, high) = line.range();
    let (mut low, mut high) = (low + 1e-12, high - 1e-12);
    if low >= high {
        return f64::INFINITY;
    }
    // The likelihood on the line is concave: its maximum is where the slope changes its sign.
    for _ in 0..STEPS {
        let p = 0.5 * (low + high);
        let (q, slope) = line.at(p);
        let rises = ln_slope(candidate, q) * slope + ln_slope(baseline, p);
        if rises > 0.0 { low = p } else { high = p }
    }
    let p = 0.5 * (low + high);
    average - ln_likelihood(candidate, line.at(p).0) - ln_likelihood(baseline, p)
}

/// Halvings of the interval; where it matters the likelihood is flat.
const STEPS: u32 = 30;

/// The bounds of the difference of shares at `ln_needed`: all differences that are still plausible.
pub(crate) fn bounds(candidate: &Effective, baseline: &Effective, ln_needed: f64) -> (f64, f64) {
    let seen = candidate.share() - baseline.share();
    let plausible = |difference| ln_against(candidate, baseline, Line::Plus(difference)) < ln_needed;
    let edge = |mut inside: f64, mut outside: f64| {
        // To a hundredth of a point.
        for _ in 0..14 {
            let middle = 0.5 * (inside + outside);
            if plausible(middle) { inside = middle } else { outside = middle }
        }
        outside
    };
    (edge(seen, -1.0), edge(seen, 1.0))
}

fn ln_slope(arm: &Effective, p: f64) -> f64 {
    arm.bad / p - (arm.requests - arm.bad) / (1.0 - p)
}

fn ln_likelihood(arm: &Effective, p: f64) -> f64 {
    let p = p.clamp(1e-12, 1.0 - 1e-12);
    arm.bad * p.ln() + (arm.requests - arm.bad) * (1.0 - p).ln()
}

/// The logarithm of the likelihood averaged over Beta(½, ½).
fn ln_average(arm: &Effective) -> f64 {
    let good = (arm.requests - arm.bad).max(0.0);
    ln_gamma(arm.bad + 0.5) + ln_gamma(good + 0.5) - ln_gamma(arm.requests + 1.0) - std::f64::consts::PI.ln()
}

/// ln Γ(x) for x > 0: Stirling's series, from 8 on; relative error below 1e-12.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    let mut shift = 1.0;
    let mut x = x;
    while x < 8.0 {
        shift *= x;
        x += 1.0;
    }
    let (inverse, square) = (1.0 / x, 1.0 / (x * x));
    let series = inverse
        * (1.0 / 12.0
            - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0))));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - f64::ln(shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(bad: f64, requests: f64) -> Effective {
        Effective { requests, bad, dispersion: 1.0 }
    }

    #[test]
    fn ln_gamma_is_right() {
        for (x, expected) in [
            (0.5, 0.572_364_942_924_700_1),
            (1.0, 0.0),
            (10.0, 12.801_827_480_081_469),
            (1e6, 12_815_504.569_147_612),
        ] {
            let got = ln_gamma(x);
            assert!((got - expected).abs() < 1e-9 * f64::max(1.0, expected), "{x}: {got}");
        }
    }

    #[test]
    fn bounds_hold_what_was_seen_and_close_in() {
        let few = bounds(&arm(3.0, 100.0), &arm(10.0, 1_000.0), 100_f64.ln());
        let many = bounds(&arm(300.0, 10_000.0), &arm(1_000.0, 100_000.0), 100_f64.ln());
        assert!(few.0 < many.0 && many.0 < 0.02 && 0.02 < many.1 && many.1 < few.1, "{few:?} {many:?}");
        assert!(many.1 - many.0 < 0.02);
    }

    #[test]
    fn without_counts_everything_is_plausible() {
        let (low, high) = bounds(&arm(0.0, 0.0), &arm(0.0, 0.0), 100_f64.ln());
        assert!(low < -0.98 && high > 0.98, "{low} {high}");
    }

    #[test]
    fn a_relative_line_is_looked_along_too() {
        let (candidate, baseline) = (arm(100.0, 10_000.0), arm(1_000.0, 100_000.0));
        assert!(ln_against(&candidate, &baseline, Line::Times(1.05)) < 100_f64.ln());
        assert!(ln_against(&candidate, &baseline, Line::Times(2.0)) > 100_f64.ln());
    }
}
