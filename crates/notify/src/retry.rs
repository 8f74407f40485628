//! When to try again.

use std::time::Duration;

use hotswap_core::Ids;

/// The pause after so many attempts: drawn anew from zero up to a ceiling that doubles with each ("full jitter", Marc
/// Brooker, *Exponential Backoff and Jitter*, 2015), and never shorter than the receiver asked for.
pub(crate) fn pause(
    attempts: u32,
    base: Duration,
    max: Duration,
    after: Option<Duration>,
    ids: &dyn Ids,
) -> Duration {
    let ceiling = base.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1))).min(max);
    let micros = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
    // The last bits of an id are random.
    let (_, random) = ids.uuid().as_u64_pair();
    let drawn = Duration::from_micros(mixed(random) % micros.saturating_add(1).max(1));
    // Those who were all told the same moment do not come at the same moment.
    after.map_or(drawn, |after| after + drawn.min(base))
}

/// Random in all bits: two of an id's are fixed (the finalizer of SplitMix64: Steele, Lea and Flood, 2014).
fn mixed(random: u64) -> u64 {
    let a = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

#[cfg(test)]
mod tests {
    use hotswap_core::SequentialIds;

    use super::*;

    const BASE: Duration = Duration::from_secs(2);
    const MAX: Duration = Duration::from_secs(60);

    #[test]
    fn pauses_fill_the_room_below_a_ceiling_that_doubles_up_to_the_highest() {
        let ids = SequentialIds::default();
        for (attempts, ceiling) in [(1, 2), (2, 4), (5, 32), (6, 60), (1_000, 60)] {
            let ceiling = Duration::from_secs(ceiling);
            let drawn: Vec<_> = (0..1_000).map(|_| pause(attempts, BASE, MAX, None, &ids)).collect();
            assert!(drawn.iter().all(|p| *p <= ceiling), "{attempts}");
            assert!(drawn.iter().any(|p| *p < ceiling / 10) && drawn.iter().any(|p| *p > ceiling * 9 / 10));
        }
    }

    #[test]
    fn nobody_comes_before_the_time_that_was_asked_for() {
        let ids = SequentialIds::default();
        let after = Duration::from_secs(100);
        for _ in 0..100 {
            let pause = pause(1, BASE, MAX, Some(after), &ids);
            assert!(pause >= after && pause <= after + BASE);
        }
    }
}
