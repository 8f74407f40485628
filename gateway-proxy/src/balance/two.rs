//! Power of two choices (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001): of two drawn at
//! random the one that costs less. The cost is the peak EWMA of the latency times the requests in flight, as in
//! Finagle and linkerd; `backend_state::Observed` keeps the average and adds what failures cost.

use super::View;
use super::place::Place;
use super::random::Random;

/// What an answer costs whose time nobody knows yet, in µs: one request at a time goes there to learn it.
const UNKNOWN: f64 = 1_000_000.0;
/// Draws before all are looked at in turn.
const DRAWS: usize = 4;

/// Two different ones, where there are two that were not tried.
pub(super) fn pick(
    members: &[usize],
    places: &[Place],
    random: &mut Random,
    view: &impl View,
) -> Option<usize> {
    let first = draw(members, random, |at| !view.tried(at))?;
    let Some(second) = draw(members, random, |at| at != first && !view.tried(at)) else { return Some(first) };
    let cost = |at: usize| {
        let weight = places.get(at).map_or(1, |p| p.effective(true)).max(1);
        let active = f64::from(view.active(at));
        let one = match view.latency(at) {
            Some(latency) => latency * (active + 1.0),
            None if active == 0.0 => 0.0,
            None => UNKNOWN * (active + 1.0),
        };
        one / weight as f64
    };
    Some(if cost(second) < cost(first) { second } else { first })
}

fn draw(members: &[usize], random: &mut Random, free: impl Fn(usize) -> bool) -> Option<usize> {
    for _ in 0..DRAWS {
        let at = *members.get(random.below(members.len()))?;
        if free(at) {
            return Some(at);
        }
    }
    let (before, from) = members.split_at_checked(random.below(members.len()))?;
    from.iter().chain(before).copied().find(|at| free(*at))
}
