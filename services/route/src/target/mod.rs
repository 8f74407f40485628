//! Routes and pools as what is rolled out.
//!
//! ```text
//!   engine ──act──► place   one transaction: the stored fence, the candidate as it is to be, the change log
//!                     │ commit
//!                     ▼
//!                   hold    has every connected proxy taken it? ── Done │ Retry, naming who lags │ Refused, by whom
//!
//!   proxies ──counts, checks──► store ──► measure
//! ```
//!
//! An act is done once, whoever asks for it again: what it finds as it should be it leaves so, and only waits for the
//! proxies. A fence lower than one seen before is refused, also after the candidate is gone.

mod hold;
mod measure;
mod place;
mod subjects;

use std::time::Duration;

use hotswap_core::{PoolName, ResourceName as _, RouteName};
use hotswap_matcher::{PoolDraft, RouteDraft};
use hotswap_rollout::{
    Act, ActResult, Exposure, MetricSource, Millis, PortError, Powers, Rollout, Target, TargetContext, Watch,
    judge::Reading,
};
use hotswap_store::StoreError;

use crate::app::{App, Fleet};
use crate::domain::Content;
use place::{No, Want};
pub(crate) use subjects::{DOMAIN, RouteSubjects};

/// How soon an act is asked for again that has not taken hold everywhere.
const AGAIN: Millis = Millis(200);
/// How long an act waits for proxies before it says so.
const WAITS: Duration = Duration::from_secs(1);

/// The target of rollouts of routes and pools; and where their counts come from. Cheap to clone.
#[derive(Clone)]
pub struct RouteTarget {
    app: App,
    fleet: Fleet,
}

impl std::fmt::Debug for RouteTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteTarget").finish_non_exhaustive()
    }
}

impl RouteTarget {
    pub(crate) fn new(app: App, fleet: Fleet) -> Self {
        Self { app, fleet }
    }

    async fn act_on<C: Content>(&self, rollout: &Rollout, context: &TargetContext, want: Want) -> ActResult {
        let placed = match self.place::<C>(rollout, context.fence, &want).await {
            Ok(placed) => placed,
            Err(No::Refused(why)) => return ActResult::Refused(why),
            Err(No::Store(error)) => return later(&error),
        };
        let within = WAITS.min(Duration::from_millis(context.timeout.0) / 2);
        self.taken(&hold::Demand::new(rollout, &want, context.back, placed), within).await
    }

    async fn found<C: Content>(&self, rollout: &Rollout) -> Result<Exposure, PortError> {
        let found = self.exposure::<C>(rollout).await;
        found.map_err(|error| PortError::Unavailable(error.to_string()))
    }
}

impl Target for RouteTarget {
    fn powers(&self, _subject: &str) -> Powers {
        POWERS
    }

    async fn act(&self, rollout: &Rollout, context: &TargetContext, act: &Act) -> ActResult {
        let want = match Want::of(act, context) {
            Ok(want) => want,
            Err(why) => return ActResult::Refused(why),
        };
        match kind(&rollout.subject) {
            Some(Kind::Route) => self.act_on::<RouteDraft>(rollout, context, want).await,
            Some(Kind::Pool) => self.act_on::<PoolDraft>(rollout, context, want).await,
            None => ActResult::Refused(format!("{} is neither a route nor a pool", rollout.subject)),
        }
    }

    async fn actual(&self, rollout: &Rollout) -> Result<Exposure, PortError> {
        match kind(&rollout.subject) {
            Some(Kind::Route) => self.found::<RouteDraft>(rollout).await,
            Some(Kind::Pool) => self.found::<PoolDraft>(rollout).await,
            None => Ok(Exposure::None),
        }
    }
}

impl MetricSource for RouteTarget {
    async fn measure(&self, rollout: &Rollout, watch: &Watch) -> Reading {
        let reading = match kind(&rollout.subject) {
            Some(Kind::Route) => self.reading::<RouteDraft>(rollout, watch.slow_over_us).await,
            Some(Kind::Pool) => self.reading::<PoolDraft>(rollout, watch.slow_over_us).await,
            None => Ok(Reading::NoData),
        };
        reading.unwrap_or_else(|error| Reading::Broken(error.to_string()))
    }

    async fn baseline_p95_us(&self, rollout: &Rollout) -> Option<u64> {
        self.p95_us(rollout).await.ok().flatten()
    }
}

/// What routes and pools can do.
pub(crate) const POWERS: Powers = Powers::ALL;

/// What a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Route,
    Pool,
}

/// What a resource of this name is, where it is the service's.
pub(crate) fn kind(subject: &str) -> Option<Kind> {
    if RouteName::parse(subject).is_ok() {
        Some(Kind::Route)
    } else {
        PoolName::parse(subject).is_ok().then_some(Kind::Pool)
    }
}

/// The store could not do it now.
fn later(error: &StoreError) -> ActResult {
    ActResult::Retry { after: AGAIN, detail: error.to_string() }
}
