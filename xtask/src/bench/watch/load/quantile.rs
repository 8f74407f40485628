//! Quantiles of times.

use std::time::Duration;

/// The smallest of these times that the share `q` of them does not exceed, in ms; 0 where there are none.
pub(crate) fn quantile_ms(times: &[Duration], q: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |t| t.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_times() {
        let times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile_ms(&times, 0.5), 100.0);
        assert_eq!(quantile_ms(&times, 0.99), 198.0);
        assert_eq!(quantile_ms(&times, 1.0), 200.0);
        assert_eq!(quantile_ms(&times[..1], 0.01), 200.0);
        assert_eq!(quantile_ms(&[], 0.5), 0.0);
    }
}
