//! In turn.

/// The next one that is `free`. The turn goes on behind it.
pub(super) fn pick(members: &[usize], cursor: &mut usize, free: impl Fn(usize) -> bool) -> Option<usize> {
    for _ in 0..members.len() {
        if *cursor >= members.len() {
            // Another part of the pool may have had a longer turn.
            *cursor %= members.len();
        }
        let place = *members.get(*cursor)?;
        *cursor += 1;
        if *cursor == members.len() {
            *cursor = 0;
        }
        if free(place) {
            return Some(place);
        }
    }
    None
}
