//! Spans of time, limits and numbers of the contract.

use hotswap_api::rollout::v1 as wire;
use hotswap_core::Violations;
use hotswap_rollout::Millis;
use hotswap_rollout::judge::Limit;
use prost_types::Duration;

/// A span; `default` where there is none.
pub(super) fn millis(v: &mut Violations, field: &str, span: Option<&Duration>, default: Millis) -> Millis {
    let Some(span) = span else { return default };
    let whole = u64::try_from(span.seconds).ok().zip(u64::try_from(span.nanos).ok());
    let Some((seconds, nanos)) = whole.filter(|(_, nanos)| *nanos < 1_000_000_000) else {
        v.add(field, "must be 0 s or more");
        return default;
    };
    if nanos % 1_000_000 != 0 {
        v.add(field, "must be whole milliseconds");
        return default;
    }
    Millis(seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000))
}

/// A number, or its default where it is 0.
pub(super) fn or<N: Default + PartialEq>(number: N, default: N) -> N {
    if number == N::default() { default } else { number }
}

/// A choice that is made by "true" can't be unmade by "false".
pub(super) fn chosen(v: &mut Violations, field: &str, given: bool) {
    if !given {
        v.add(field, "must be true, or absent");
    }
}

/// How much worse is too much; `default` where nothing is said.
pub(super) fn limit(v: &mut Violations, field: &str, limit: Option<&wire::Limit>, default: Limit) -> Limit {
    let Some(limit) = limit else { return default };
    match limit.kind {
        Some(wire::limit::Kind::Bps(bp)) => Limit::Points(bp),
        Some(wire::limit::Kind::Percent(percent)) => Limit::Relative(percent),
        None => {
            v.add(field, "must have bps or percent");
            default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_milliseconds_from_nothing_up() {
        let read = |seconds, nanos| {
            let mut v = Violations::new();
            let span = millis(&mut v, "bake", Some(&Duration { seconds, nanos }), Millis(7));
            (span.0, v.to_string())
        };
        assert_eq!(read(90, 0), (90_000, String::new()));
        assert_eq!(read(0, 5_000_000), (5, String::new()));
        assert_eq!(read(0, 0), (0, String::new()));
        assert_eq!(read(i64::MAX, 0).0, u64::MAX);
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MIN, i32::MIN)] {
            assert_eq!(read(seconds, nanos), (7, "bake: must be 0 s or more".into()));
        }
        assert_eq!(read(0, 1).1, "bake: must be whole milliseconds");
        let mut v = Violations::new();
        assert_eq!(millis(&mut v, "bake", None, Millis(7)), Millis(7));
        assert!(v.is_empty());
    }
}
