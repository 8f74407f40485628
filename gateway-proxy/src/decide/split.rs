//! Which pool of a split a request goes to. All its tries stay there.

use hotswap_matcher::RequestHead;

use super::Caller;
use crate::config::{Compiled, RouteEntry, SplitPools};

/// The slot of the pool: the one under a rollout that is tested, or that the client's cookie is of, or the one that is
/// drawn. `None`: the route splits nothing.
pub(super) fn choose(
    config: &Compiled,
    route: &RouteEntry,
    head: &impl RequestHead,
    caller: &Caller<'_>,
) -> Option<usize> {
    let split = route.split()?;
    let tested = || tested(config, split, caller);
    let drawn = || split.drawn(caller.dice.borrow_mut().next());
    tested().or_else(|| split.kept(config, head)).or_else(drawn)
}

/// The pool whose candidate the request tests, whatever its weight.
fn tested(config: &Compiled, split: SplitPools<'_>, caller: &Caller<'_>) -> Option<usize> {
    let forced = caller.forced?;
    let is_meant = |slot: usize| {
        let part = config.pool(slot).and_then(|entry| entry.part());
        let rollout = part.and_then(|part| config.rollout(part.rollout));
        rollout.is_some_and(|rollout| forced.is_of(rollout.name()))
    };
    split.iter().map(|(slot, _)| slot).find(|slot| is_meant(*slot))
}
