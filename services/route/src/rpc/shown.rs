//! What reads show beside what was written: the state of each backend, and what its weight comes to.

use std::collections::HashMap;

use hotswap_api::route::v1::{Backend, BackendState, LoadBalancing};

/// Fills in the state and the share of each.
pub(super) fn backends(all: &mut [Backend], load_balancing: i32) {
    let mut sums: HashMap<u32, u64> = HashMap::new();
    for backend in &*all {
        *sums.entry(backend.priority).or_default() += weight(backend, load_balancing);
    }
    for backend in all {
        let sum = sums.get(&backend.priority).copied().unwrap_or_default();
        backend.share_percent = percent(weight(backend, load_balancing), sum);
        if backend.state == i32::from(BackendState::Unspecified) {
            backend.state = BackendState::Enabled.into();
        }
    }
}

/// What counts of its weight.
fn weight(backend: &Backend, load_balancing: i32) -> u64 {
    let out = [BackendState::Drained, BackendState::ForcedOpen].map(i32::from).contains(&backend.state);
    let weight = u64::from(backend.weight.unwrap_or(1));
    match LoadBalancing::try_from(load_balancing) {
        _ if out => 0,
        Ok(LoadBalancing::Unspecified | LoadBalancing::RoundRobin) => weight.min(1),
        Ok(LoadBalancing::Header) | Err(_) => 0,
        Ok(
            LoadBalancing::WeightedRoundRobin
            | LoadBalancing::LeastConnections
            | LoadBalancing::IpHash
            | LoadBalancing::PowerOfTwo
            | LoadBalancing::Hash,
        ) => weight,
    }
}

/// To a hundredth, as a number that people write.
fn percent(part: u64, sum: u64) -> f64 {
    if sum == 0 {
        return 0.0;
    }
    // 1,000 weights of 1,000,000 stay far below what a u64 holds.
    let hundredths = (part * 10_000 + sum / 2) / sum;
    u32::try_from(hundredths).map_or(0.0, |h| f64::from(h) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(load_balancing: LoadBalancing, all: &[(u32, u32, BackendState)]) -> Vec<f64> {
        let backend = |(weight, priority, state): &(u32, u32, BackendState)| Backend {
            weight: Some(*weight),
            priority: *priority,
            state: (*state).into(),
            ..Backend::default()
        };
        let mut all: Vec<_> = all.iter().map(backend).collect();
        backends(&mut all, load_balancing.into());
        all.iter().map(|b| b.share_percent).collect()
    }

    #[test]
    fn weights_are_shown_as_percentages_of_those_that_take_requests() {
        use BackendState::{Drained, Unspecified as Free};
        let all = [(5, 0, Free), (2, 0, Free), (1, 0, Free), (4, 0, Drained), (0, 0, Free), (7, 1, Free)];
        let weighted = shares(LoadBalancing::WeightedRoundRobin, &all);
        assert_eq!(weighted, [62.5, 25.0, 12.5, 0.0, 0.0, 100.0]);
        assert_eq!(shares(LoadBalancing::RoundRobin, &all), [33.33, 33.33, 33.33, 0.0, 0.0, 100.0]);
        assert_eq!(shares(LoadBalancing::Header, &all), [0.0; 6]);
        assert_eq!(shares(LoadBalancing::IpHash, &[(0, 0, Free)]), [0.0]);
    }
}
