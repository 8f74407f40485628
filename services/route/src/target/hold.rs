//! Whether what an act placed has taken hold: at every proxy that is connected. One that is away does not hold it up; it
//! catches up when it comes.

use std::time::Duration;

use hotswap_core::Revision;
use hotswap_rollout::{ActResult, Rollout, RolloutId};

use tokio::time::Instant;

use super::place::Want;
use super::{AGAIN, RouteTarget, later};
use crate::app::Hold;
use crate::domain::Refusal;
use crate::store::rollouts;

/// How often it is asked what proxies found.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Proxies that are named where several lag.
const NAMED: usize = 5;

/// What proxies must have.
pub(super) struct Demand {
    rollout: RolloutId,
    subject: String,
    version: Revision,
    /// What they refuse counts, and so does it that some know no candidates.
    onward: bool,
    /// They must know candidates.
    arms: bool,
    /// They must have looked at the candidate.
    check: Option<i64>,
}

impl Demand {
    /// `back`: what is wanted is of a way back, so nobody's objection counts, be it a step down or the end of it.
    pub(super) fn new(rollout: &Rollout, want: &Want, back: bool, version: Revision) -> Self {
        let onward = !back && !want.is_way_back();
        Self {
            rollout: rollout.id,
            subject: rollout.subject.clone(),
            version,
            onward,
            arms: onward && *want != Want::Committed,
            check: match want {
                Want::Checked(check) => Some(check.number),
                Want::Staged | Want::Exposed(_) | Want::Committed | Want::Withdrawn => None,
            },
        }
    }
}

impl RouteTarget {
    /// Waits until it has taken hold, or until that can't be, or for so long; then it says how it stands.
    pub(super) async fn taken(&self, demand: &Demand, within: Duration) -> ActResult {
        let until = Instant::now() + within;
        let mut changes = self.fleet.watch();
        loop {
            changes.mark_unchanged();
            let result = self.held(demand).await;
            if !matches!(result, ActResult::Retry { .. } | ActResult::Lagging { .. }) {
                return result;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY), if demand.check.is_some() => {}
                () = tokio::time::sleep_until(until) => return result,
            }
        }
    }

    fn hold(&self, demand: &Demand) -> Hold {
        let store_id = self.app.db.store_id().to_string();
        self.fleet.hold(&store_id, &demand.subject, demand.version.0)
    }

    async fn held(&self, demand: &Demand) -> ActResult {
        let hold = self.hold(demand);
        match (standing(demand, &hold), demand.check) {
            (ActResult::Done, Some(number)) => self.looked(demand.rollout, number, &hold).await,
            (result, _) => result,
        }
    }

    /// What proxies found.
    async fn looked(&self, rollout: RolloutId, number: i64, hold: &Hold) -> ActResult {
        let found = async {
            let mut tx = self.app.db.read().await?;
            rollouts::checks(&mut tx, rollout, number).await
        };
        let mut found = match found.await {
            Ok(found) => found,
            Err(error) => return later(&error),
        };
        found.retain(|f| hold.connected.contains(&f.proxy));
        if let Some(failed) = found.iter().find(|f| !f.passed) {
            return ActResult::Refused(format!("proxies/{}: {}", failed.proxy, failed.message));
        }
        if hold.connected.is_empty() {
            return wait("no proxy is connected that could look at it".to_owned());
        }
        let missing = hold.connected.iter().filter(|id| found.iter().all(|f| f.proxy != **id));
        match missing.cloned().collect::<Vec<_>>().as_slice() {
            [] => ActResult::Done,
            missing => wait(format!("{} must still look at it", named(missing))),
        }
    }
}

/// How proxies stand to what was placed.
fn standing(demand: &Demand, hold: &Hold) -> ActResult {
    if demand.onward
        && let Some((proxy, refusal)) = hold.refused.first()
    {
        return ActResult::Refused(refused(proxy, refusal));
    }
    if demand.arms && !hold.unable.is_empty() {
        return wait(format!("{} can't do rollouts: a newer build can", named(&hold.unable)));
    }
    match hold.lagging.as_slice() {
        [] => ActResult::Done,
        lagging => {
            ActResult::Lagging { after: AGAIN, detail: format!("{} must still take it", named(lagging)) }
        }
    }
}

fn wait(detail: String) -> ActResult {
    ActResult::Retry { after: AGAIN, detail }
}

fn refused(proxy: &str, refusal: &Refusal) -> String {
    let Refusal { name, field, reason, message, .. } = refusal;
    let field = if field.is_empty() { String::new() } else { format!(" {field}:") };
    format!("proxies/{proxy} refuses {name}:{field} {message} ({reason})")
}

/// Proxies by name; where there are many, the first of them.
fn named(proxies: &[String]) -> String {
    let names: Vec<_> = proxies.iter().take(NAMED).map(|id| format!("proxies/{id}")).collect();
    let names = names.join(", ");
    match proxies.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(onward: bool, arms: bool) -> Demand {
        let rollout = RolloutId(uuid::Uuid::nil());
        Demand { rollout, subject: "routes/r".into(), version: Revision(7), onward, arms, check: None }
    }

    fn refusal() -> Refusal {
        Refusal {
            name: "routes/r".into(),
            version: 7,
            field: "matches[0]".into(),
            reason: "REGEX".into(),
            message: "no".into(),
        }
    }

    #[test]
    fn on_the_way_back_no_refusal_and_no_old_build_stands_in_the_way() {
        let hold =
            Hold { unable: vec!["a".into()], refused: vec![("a".into(), refusal())], ..Hold::default() };
        assert_eq!(standing(&demand(false, false), &hold), ActResult::Done);
        let refused = standing(&demand(true, true), &hold);
        let ActResult::Refused(why) = refused else { panic!("{refused:?}") };
        assert_eq!(why, "proxies/a refuses routes/r: matches[0]: no (REGEX)");
        let hold = Hold { refused: Vec::new(), ..hold };
        assert!(matches!(standing(&demand(true, true), &hold), ActResult::Retry { .. }));
        assert_eq!(standing(&demand(true, false), &hold), ActResult::Done);
    }

    #[test]
    fn of_many_that_lag_the_first_are_named() {
        let hold = Hold { lagging: (0..7).map(|n| format!("p{n}")).collect(), ..Hold::default() };
        let ActResult::Lagging { detail, .. } = standing(&demand(false, false), &hold) else {
            panic!("waits")
        };
        assert!(detail.starts_with("proxies/p0, proxies/p1") && detail.contains("and 2 more"), "{detail}");
    }
}
