//! Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights as in Schindelhauer and Schomaker 2005): every
//! backend draws a number from the key and its own address, and the best one wins. So each key has an order of all
//! backends of its own. One that is lost moves its own keys alone, each to the next of its order; one that comes takes
//! its share from all alike. There is no table to build or to keep, and a pick looks at every backend.
//!
//! With a limit it is consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam 2018): a backend that
//! has its fair share of the requests in flight, times the limit, is passed over.

use super::View;
use super::hash::mixed;
use super::place::Place;

pub(super) fn pick(
    members: &[usize],
    places: &[Place],
    key: u64,
    limit: Option<u32>,
    view: &impl View,
) -> Option<usize> {
    let Some(limit) = limit else { return best(members, places, key, |at, _| !view.tried(at)) };
    let (mut active, mut weights) = (0, 0);
    for at in members.iter().filter(|at| !view.tried(**at)) {
        active += u64::from(view.active(*at));
        weights += places.get(*at).map_or(0, |p| u64::from(p.weight));
    }
    // Of all that is in flight, this request included.
    let allowed = |weight: u32| {
        let share = u128::from(active + 1) * u128::from(weight) * u128::from(limit);
        share.div_ceil(u128::from(weights.max(1)) * 100)
    };
    let has_room =
        |at: usize, place: &Place| !view.tried(at) && u128::from(view.active(at)) < allowed(place.weight);
    // The rooms are more than the requests, but others may have come meanwhile.
    best(members, places, key, has_room).or_else(|| best(members, places, key, |at, _| !view.tried(at)))
}

fn best(
    members: &[usize],
    places: &[Place],
    key: u64,
    free: impl Fn(usize, &Place) -> bool,
) -> Option<usize> {
    let mut won: Option<(usize, f64)> = None;
    for at in members {
        let Some(place) = places.get(*at) else { continue };
        let limit = won.map_or(f64::INFINITY, |(_, score)| score);
        if let Some(score) = score(mixed(key ^ place.hash), place.weight, limit)
            && free(*at, place)
        {
            won = Some((*at, score));
        }
    }
    won.map(|(at, _)| at)
}

/// -ln(u) / weight, if it is below `limit`: the least wins with a chance in proportion to the weight.
fn score(drawn: u64, weight: u32, limit: f64) -> Option<f64> {
    // 53 bits, in (0, 1].
    let u = ((drawn >> 11) as f64 + 1.0) * (1.0 / 9_007_199_254_740_992.0);
    let weight = f64::from(weight);
    // 1 - u is never more than -ln(u), and costs nothing: nearly all are out by it.
    if 1.0 - u >= limit * weight {
        return None;
    }
    let score = -u.ln() / weight;
    (score < limit).then_some(score)
}
