//! Smooth weighted round robin, as in nginx (`ngx_http_upstream_round_robin.c`): every round each backend gains its
//! weight, the one that has the most is chosen and pays the sum. Over a full round each gets exactly its share, evenly
//! spread.

use super::place::Place;

/// Who is not `free` neither gains nor pays. Not `weighted`: all weigh the same, but for their slow start.
pub(super) fn pick(
    members: &[usize],
    places: &mut [Place],
    weighted: bool,
    free: impl Fn(usize) -> bool,
) -> Option<usize> {
    let mut sum = 0;
    let mut best: Option<(usize, i64)> = None;
    for at in members {
        let Some(place) = places.get_mut(*at) else { continue };
        if !free(*at) {
            continue;
        }
        let weight = place.effective(weighted) as i64;
        sum += weight;
        place.gained += weight;
        if best.is_none_or(|(_, most)| place.gained > most) {
            best = Some((*at, place.gained));
        }
    }
    let (at, _) = best?;
    places.get_mut(at)?.gained -= sum;
    Some(at)
}
