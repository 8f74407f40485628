//! The fewest requests in flight for the weight, as HAProxy's leastconn counts it; ties in turn.

use super::View;
use super::place::Place;

/// Looks at all of them. Idle ones are equal, whatever their weight, so that each has its turn.
pub(super) fn pick(
    members: &[usize],
    places: &[Place],
    cursor: &mut usize,
    view: &impl View,
) -> Option<usize> {
    let start = if *cursor < members.len() { *cursor } else { 0 };
    let (before, from) = members.split_at_checked(start)?;
    let turn = from.iter().zip(start..).chain(before.iter().zip(0..));
    let mut best: Option<(usize, usize, Load)> = None;
    for (at, index) in turn {
        if view.tried(*at) {
            continue;
        }
        let Some(place) = places.get(*at) else { continue };
        let load = Load { active: u64::from(view.active(*at)), weight: place.effective(true) };
        if best.as_ref().is_none_or(|(_, _, least)| load.is_less(least)) {
            best = Some((*at, index, load));
        }
    }
    let (at, index, _) = best?;
    *cursor = index + 1;
    Some(at)
}

struct Load {
    active: u64,
    weight: u64,
}

impl Load {
    /// With the request that is to come, unless both would be idle.
    fn is_less(&self, other: &Self) -> bool {
        match (self.active, other.active) {
            (0, 0) => false,
            (0, _) => true,
            (_, 0) => false,
            // At most 2^24 requests and a weight of 2^30.
            (mine, its) => (mine + 1) * other.weight < (its + 1) * self.weight,
        }
    }
}
