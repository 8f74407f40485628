//! The scale that latencies are counted on: slot 0 holds what took less than 64 µs; each doubling from there has four
//! slots of equal width. Who counts and who judges must mean the same by a slot.

/// Slots of the scale.
pub const LATENCY_SLOTS: usize = 81;

/// From here on, in µs, a doubling has four slots.
const FIRST_US: u64 = 64;

/// The slot of a latency in µs: 0 to 80; the last one holds everything from 58.7 s.
pub const fn latency_slot(us: u64) -> usize {
    if us < FIRST_US {
        return 0;
    }
    let octave = (us / FIRST_US).ilog2();
    // 4 to 7: in which quarter of the doubling it lies.
    let quarter = (us / (FIRST_US / 4)) >> octave;
    let slot = 1 + 4 * octave as usize + (quarter as usize - 4);
    if slot < LATENCY_SLOTS { slot } else { LATENCY_SLOTS - 1 }
}

/// The least latency, in µs, that a slot holds. Slots beyond the last are taken for the last.
pub const fn latency_slot_from_us(slot: usize) -> u64 {
    let slot = if slot < LATENCY_SLOTS { slot } else { LATENCY_SLOTS - 1 };
    if slot == 0 {
        return 0;
    }
    let (octave, quarter) = ((slot - 1) / 4, (slot - 1) % 4);
    ((FIRST_US / 4) << octave) * (4 + quarter as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_the_one_of_the_contract() {
        let slots = [0, 63, 64, 79, 80, 96, 112, 127, 128, 160, 256].map(latency_slot);
        assert_eq!(slots, [0, 0, 1, 1, 2, 3, 4, 4, 5, 6, 9]);
        assert_eq!(
            (latency_slot(58_720_255), latency_slot(58_720_256), latency_slot(u64::MAX)),
            (79, 80, 80)
        );
        assert_eq!([0, 1, 5, 99].map(latency_slot_from_us), [0, 64, 128, 58_720_256]);
    }

    #[test]
    fn each_slot_begins_where_the_one_before_ends() {
        for slot in 1..LATENCY_SLOTS {
            let from = latency_slot_from_us(slot);
            assert_eq!((latency_slot(from - 1), latency_slot(from)), (slot - 1, slot));
        }
    }
}
