//! Routes and pools as what rollouts are created of.

use hotswap_core::{Revision, Violations};
use hotswap_rollout::{
    Act, CohortKey, Content, ContentHash, Exposure, Powers, Principal, Rollout, Step, StickyKey,
};
use hotswap_rollout_host::{Answer, Subjects};
use hotswap_store::Tx;
use sha2::{Digest as _, Sha256};

use super::{POWERS, kind};
use crate::store;

/// The domain, in rollouts.
pub(crate) const DOMAIN: &str = "route";

/// Tells the host of rollouts of routes and pools.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteSubjects;

impl Subjects for RouteSubjects {
    fn domain(&self) -> &'static str {
        DOMAIN
    }

    fn owns(&self, subject: &str) -> bool {
        kind(subject).is_some()
    }

    fn scope(&self) -> &'static str {
        store::SCOPE
    }

    fn powers(&self, _subject: &str) -> Powers {
        POWERS
    }

    fn check(&self, rollout: &Rollout) -> Result<(), Violations> {
        let mut v = Violations::new();
        if rollout.sticky == Some(StickyKey::Targeting) {
            v.add("sticky.targeting", NO_TARGETING);
        }
        if rollout.plan.steps().iter().any(asks_for_targeting) {
            v.add("strategy.ab.cohort.key", NO_TARGETING);
        }
        v.into_result()
    }

    fn live<'a>(&'a self, tx: &'a mut Tx, subject: &'a str) -> Answer<'a, Option<Revision>> {
        Box::pin(store::live(tx, subject))
    }

    fn base<'a>(
        &'a self,
        tx: &'a mut Tx,
        subject: &'a str,
        revision: Revision,
    ) -> Answer<'a, Option<Revision>> {
        Box::pin(store::base(tx, subject, revision))
    }

    fn content<'a>(
        &'a self,
        tx: &'a mut Tx,
        subject: &'a str,
        revision: Revision,
    ) -> Answer<'a, Option<Content>> {
        Box::pin(async move {
            let written = store::written(tx, subject, revision).await?;
            Ok(written.map(|written| {
                let text = format!("{subject}\n{}\n{}", written.uid, written.spec);
                let hash = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
                Content { hash: ContentHash(hash), authors: vec![Principal(written.actor)] }
            }))
        })
    }
}

const NO_TARGETING: &str = "requests of a gateway have no targeting key: take a header or a cookie";

fn asks_for_targeting(step: &Step) -> bool {
    let Step::Act(Act::Expose(Exposure::Cohort(cohort))) = step else { return false };
    matches!(cohort.key(), CohortKey::Targeting(_))
}

#[cfg(test)]
mod tests {
    use hotswap_core::Timestamp;
    use hotswap_rollout::{CohortDraft, CountSource, Millis, Plan, PlanDraft, RolloutId, StrategyDraft};

    use super::*;

    fn faults(key: CohortKey, sticky: StickyKey) -> Vec<String> {
        let cohort = CohortDraft { key, values: vec!["1".into()] };
        let plan = PlanDraft::new(StrategyDraft::Ab { cohort, bake_ms: Millis(0) });
        let rollout = Rollout {
            id: RolloutId(uuid::Uuid::nil()),
            domain: DOMAIN.into(),
            subject: "routes/r".into(),
            from: None,
            to: Revision(1),
            author: Principal("ann".into()),
            created_at: Timestamp(0),
            plan: Plan::parse(&plan, POWERS).expect("a plan"),
            sticky: Some(sticky),
            source: CountSource::Target,
            reason: String::new(),
        };
        let faults = RouteSubjects.check(&rollout).err().unwrap_or_default();
        faults.iter().map(|fault| fault.field.clone()).collect()
    }

    #[test]
    fn the_targeting_key_of_clients_means_nothing_to_a_gateway() {
        let targeting = CohortKey::Targeting("tenant".into());
        assert_eq!(faults(targeting, StickyKey::Targeting), ["sticky.targeting", "strategy.ab.cohort.key"]);
        assert!(faults(CohortKey::Header("x".into()), StickyKey::ClientAddress).is_empty());
    }

    #[test]
    fn routes_and_pools_are_rolled_out_and_nothing_else() {
        let owned = ["routes/r", "pools/p", "plugins/p", "routes/", "routes/R"];
        assert_eq!(owned.map(|name| RouteSubjects.owns(name)), [true, true, false, false, false]);
    }
}
