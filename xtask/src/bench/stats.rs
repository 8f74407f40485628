//! Medians and spreads.

/// A figure over several rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    /// The middle value; of an even number of rounds the mean of the two in the middle.
    pub(crate) median: f64,
    /// The smallest value.
    pub(crate) min: f64,
    /// The largest value.
    pub(crate) max: f64,
}

impl Figure {
    /// The figure of these values; `None` when there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let upper = *values.get(values.len() / 2)?;
        let median =
            if values.len() % 2 == 1 { upper } else { (values.get(values.len() / 2 - 1)? + upper) / 2.0 };
        Some(Self { median, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_count_has_its_middle_value() {
        assert_eq!(Figure::of([3.0, 9.0, 1.0]), Some(Figure { median: 3.0, min: 1.0, max: 9.0 }));
    }

    #[test]
    fn an_even_count_has_the_mean_of_the_middle_two() {
        assert_eq!(Figure::of([4.0, 1.0, 2.0, 9.0]), Some(Figure { median: 3.0, min: 1.0, max: 9.0 }));
    }

    #[test]
    fn one_round_is_its_own_spread_and_none_has_no_figure() {
        assert_eq!(Figure::of([7.0]), Some(Figure { median: 7.0, min: 7.0, max: 7.0 }));
        assert_eq!(Figure::of([]), None);
    }
}
