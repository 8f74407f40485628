//! A number that a query gave.

use std::collections::BTreeMap;

use hotswap_core::Timestamp;

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The number; never NaN, and maybe infinite.
    pub value: f64,
    /// The moment that it holds for.
    pub at: Timestamp,
    /// The labels of its series; none of a scalar.
    pub labels: BTreeMap<String, String>,
    /// What the server warned of, as that a part of it did not answer. The number may then be too low.
    pub warnings: Vec<String>,
}

/// Why a number is no count.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum NotACount {
    /// It is below zero.
    #[error("{0} is below zero")]
    Negative(f64),
    /// It is infinite or NaN.
    #[error("{0} is not finite")]
    NotFinite(f64),
    /// It is more than 2^53, from where on not every whole number has a value.
    #[error("{0} is more than can be counted")]
    TooLarge(f64),
}

impl Sample {
    /// The number as a count, rounded half up: `rate` and `increase` extrapolate to the ends of their range, so that
    /// what was counted in whole numbers comes out with a fraction.
    ///
    /// # Errors
    /// Where it is none.
    pub fn count(&self) -> Result<u64, NotACount> {
        const MOST: f64 = 9_007_199_254_740_992.0;
        let value = self.value;
        if !value.is_finite() {
            return Err(NotACount::NotFinite(value));
        }
        if value < 0.0 {
            return Err(NotACount::Negative(value));
        }
        if value > MOST {
            return Err(NotACount::TooLarge(value));
        }
        // Half away from zero, which is up; adding a half and cutting off makes 1 of 0.49999999999999994.
        Ok(value.round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(value: f64) -> Result<u64, NotACount> {
        Sample { value, at: Timestamp(0), labels: BTreeMap::new(), warnings: Vec::new() }.count()
    }

    #[test]
    fn a_count_is_rounded_half_up() {
        let cases = [
            (0.0, 0),
            (-0.0, 0),
            (0.499_999_999_999_999_94, 0),
            (0.5, 1),
            (1.5, 2),
            (2.5, 3),
            (99.999, 100),
            (9_007_199_254_740_992.0, 9_007_199_254_740_992),
        ];
        for (value, whole) in cases {
            assert_eq!(count(value), Ok(whole), "{value}");
        }
    }

    #[test]
    fn what_can_not_be_counted_is_refused() {
        assert_eq!(count(-0.000_1), Err(NotACount::Negative(-0.000_1)));
        assert_eq!(count(f64::INFINITY), Err(NotACount::NotFinite(f64::INFINITY)));
        assert_eq!(count(f64::NEG_INFINITY), Err(NotACount::NotFinite(f64::NEG_INFINITY)));
        assert!(matches!(count(f64::NAN), Err(NotACount::NotFinite(_))));
        assert_eq!(count(1e300), Err(NotACount::TooLarge(1e300)));
    }
}
