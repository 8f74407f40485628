//! Mann and Whitney's rank test over the shares in windows, as Kayenta does: the candidate fails where it is higher by
//! more than a tolerance, a part of the baseline's mean. The Hodges-Lehmann estimate is the median of all differences.
//!
//! H. Mann, D. Whitney, *On a test of whether one of two random variables is stochastically larger than the other*,
//! 1947; J. Hodges, E. Lehmann, *Estimates of location based on rank tests*, 1963.

use super::windows::Windows;
use super::{Aspect, Verdict};

/// Settings of the test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) min_windows: u32,
    pub(crate) tolerance_percent: u32,
    pub(crate) level_bp: u32,
}

/// What the windows say.
pub(crate) fn verdict(windows: &Windows, aspects: &[Aspect], settings: Settings) -> Verdict {
    let mut all = Verdict::Pass;
    for aspect in aspects {
        let shares: Vec<_> = windows.closed.iter().filter_map(|window| window.shares(*aspect)).collect();
        if shares.len() < usize::try_from(settings.min_windows).unwrap_or(usize::MAX) {
            all = Verdict::Inconclusive;
            continue;
        }
        let (candidate, baseline): (Vec<f64>, Vec<f64>) = shares.into_iter().unzip();
        if is_higher(&candidate, &baseline, settings) {
            return Verdict::Fail;
        }
    }
    all
}

/// Whether the candidate's shares, less the tolerance, rank higher than the baseline's.
fn is_higher(candidate: &[f64], baseline: &[f64], settings: Settings) -> bool {
    let tolerance = mean(baseline) * f64::from(settings.tolerance_percent) / 100.0;
    let shifted: Vec<f64> = candidate.iter().map(|share| share - tolerance).collect();
    // Two-sided at the level, of which the upper half counts.
    let level = f64::from(settings.level_bp) / 10_000.0 / 2.0;
    z_score(&shifted, baseline).is_some_and(|z| upper_tail(z) < level)
        && hodges_lehmann(candidate, baseline) > tolerance
}

/// The standardized rank sum of the first, with midranks for ties; `None` where all are equal.
fn z_score(first: &[f64], second: &[f64]) -> Option<f64> {
    let mut all: Vec<(f64, bool)> =
        first.iter().map(|x| (*x, true)).chain(second.iter().map(|x| (*x, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut ties, mut start) = (0.0, 0.0, 0);
    while start < all.len() {
        let value = all.get(start)?.0;
        let group = all.iter().skip(start).take_while(|(x, _)| x.total_cmp(&value).is_eq()).count();
        let middle = number(start) + (number(group) + 1.0) / 2.0;
        let ours = all.iter().skip(start).take(group).filter(|(_, is_first)| *is_first).count();
        ranks += middle * number(ours);
        ties += number(group).powi(3) - number(group);
        start += group;
    }
    let (m, n) = (number(first.len()), number(second.len()));
    let variance = m * n / 12.0 * ((m + n + 1.0) - ties / ((m + n) * (m + n - 1.0)));
    let off = ranks - m * (m + 1.0) / 2.0 - m * n / 2.0;
    (variance > 0.0).then(|| (off - 0.5 * off.signum()) / variance.sqrt())
}

/// The median of all differences.
fn hodges_lehmann(first: &[f64], second: &[f64]) -> f64 {
    let mut differences: Vec<f64> = first.iter().flat_map(|x| second.iter().map(move |y| x - y)).collect();
    let middle = differences.len() / 2;
    if differences.is_empty() {
        return 0.0;
    }
    *differences.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The chance that a standard normal variable is above `z`: Abramowitz and Stegun 26.2.17, error below 1e-7.
fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let factors = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let series = factors.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    series * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / number(values.len()) }
}

fn number(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_tell_higher_from_equal() {
        let low: Vec<f64> = (0..20).map(f64::from).collect();
        let high: Vec<f64> = low.iter().map(|x| x + 15.0).collect();
        assert!(z_score(&high, &low).is_some_and(|z| z > 4.0));
        assert!(z_score(&low, &low).is_some_and(|z| z.abs() < 0.1));
        assert_eq!(z_score(&[1.0, 1.0], &[1.0, 1.0]), None);
        assert!((hodges_lehmann(&high, &low) - 15.0).abs() < 1e-9);
    }

    #[test]
    fn tails_of_the_normal_distribution_are_right() {
        for (z, expected) in [(0.0, 0.5), (1.644_854, 0.05), (2.326_348, 0.01), (-1.0, 0.841_344_7)] {
            assert!((upper_tail(z) - expected).abs() < 1e-6, "{z}");
        }
    }

    #[test]
    fn the_tolerance_is_a_part_of_the_baseline() {
        let baseline: Vec<f64> = (0..40).map(|i| 100.0 + f64::from(i % 5)).collect();
        let candidate: Vec<f64> = baseline.iter().map(|x| x + 20.0).collect();
        let settings = |tolerance_percent| Settings { min_windows: 10, tolerance_percent, level_bp: 200 };
        assert!(is_higher(&candidate, &baseline, settings(10)));
        assert!(!is_higher(&candidate, &baseline, settings(25)));
    }
}
