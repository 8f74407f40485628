//! Requests of a route that go to one of several pools, by weight.

use std::collections::HashSet;

use hotswap_core::{PoolName, ResourceName as _, Violations};

use super::pool::MAX_WEIGHT;
use crate::draft::WeightedPoolDraft;

const MOST_POOLS: usize = 16;

/// Pools, of which each request goes to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pools: Box<[WeightedPool]>,
    /// Of all weights; above 0.
    total: u32,
}

/// A pool of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedPool {
    /// The pool.
    pub pool: PoolName,
    /// Its share is this, of the sum of all; 0: it takes no requests.
    pub weight: u32,
}

impl Split {
    pub(super) fn parse(drafts: &[WeightedPoolDraft]) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if !(2..=MOST_POOLS).contains(&drafts.len()) {
            v.add("", format!("must have 2 to {MOST_POOLS} entries; one pool alone stands in pool"));
        }
        let mut named = HashSet::new();
        let mut pools = Vec::with_capacity(drafts.len());
        for (i, draft) in drafts.iter().enumerate() {
            let pool = v.take(&format!("[{i}].pool"), PoolName::parse(&draft.pool));
            if !named.insert(draft.pool.as_str()) {
                v.add(format!("[{i}].pool"), "is there already: a pool has one weight");
            }
            let weight = draft.weight.unwrap_or(1);
            if weight > MAX_WEIGHT {
                v.add(format!("[{i}].weight"), "must be 0 to 1,000,000");
            }
            pools.extend(pool.map(|pool| WeightedPool { pool, weight }));
        }
        let total = pools.iter().fold(0_u32, |sum, pool| sum.saturating_add(pool.weight));
        if v.is_empty() && total == 0 {
            v.add("", "must have a weight above 0");
        }
        v.into_result()?;
        Ok(Self { pools: pools.into(), total })
    }

    /// The pools, in the order of the route: 2 to 16.
    pub fn pools(&self) -> &[WeightedPool] {
        &self.pools
    }

    /// The place of the pool that a request goes to for which `number` was drawn, of all there are.
    pub fn place(&self, number: u64) -> usize {
        let mut left = number % u64::from(self.total);
        let falls = |pool: &WeightedPool| {
            let weight = u64::from(pool.weight);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        };
        // There is one: what is left is below the sum.
        self.pools.iter().position(falls).unwrap_or_default()
    }

    /// The place of the pool that takes all; `None`: several take requests.
    pub fn only(&self) -> Option<usize> {
        self.pools.iter().position(|pool| pool.weight == self.total)
    }

    /// What a weight comes to, in percent.
    pub fn percent(&self, weight: u32) -> f64 {
        100.0 * f64::from(weight) / f64::from(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pools: &[(&str, Option<u32>)]) -> Result<Split, Vec<String>> {
        let draft = |(pool, weight): &(&str, _)| WeightedPoolDraft { pool: (*pool).into(), weight: *weight };
        let drafts: Vec<_> = pools.iter().map(draft).collect();
        Split::parse(&drafts).map_err(|v| v.iter().map(|v| v.field.clone()).collect())
    }

    fn faults(pools: &[(&str, Option<u32>)]) -> Vec<String> {
        parse(pools).expect_err("faulty")
    }

    #[test]
    fn every_fault_of_a_split_is_named_at_once() {
        assert_eq!(faults(&[("pools/a", None)]), [""]);
        let many: Vec<_> = (0..17).map(|i| format!("pools/p{i}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), None)).collect();
        assert_eq!(faults(&many), [""]);
        assert!(parse(&many[..16]).is_ok());
        let odd = [("pools/a", Some(1_000_001)), ("a", None), ("pools/a", None)];
        assert_eq!(faults(&odd), ["[0].weight", "[1].pool", "[2].pool"]);
        assert_eq!(faults(&[("pools/a", Some(0)), ("pools/b", Some(0))]), [""]);
    }

    #[test]
    fn each_weight_is_met_as_often_as_it_says_and_zero_never() {
        let split = parse(&[("pools/a", Some(0)), ("pools/b", Some(3)), ("pools/c", None)]).expect("sound");
        let met = |place| (0..400).filter(|number| split.place(*number) == place).count();
        assert_eq!([met(0), met(1), met(2)], [0, 300, 100]);
        assert_eq!((split.percent(3), split.only()), (75.0, None));
        assert_eq!(split.place(u64::MAX), 2, "{} % 4 is 3", u64::MAX);
        let one = parse(&[("pools/a", Some(0)), ("pools/b", Some(1_000_000))]).expect("sound");
        assert_eq!((one.only(), one.place(u64::MAX)), (Some(1), 1));
    }
}
