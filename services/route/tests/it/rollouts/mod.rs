//! Rollouts of routes and pools: drafts, candidates, what proxies get and say, and the acts of the engine.

mod acts;
mod candidates;
mod checks;
mod counts;
mod drafts;
mod driven;
mod edge;
mod emergency;
mod landing;
mod mirrors;
mod shared;
mod splits;
mod survival;

use std::time::Duration;

use hotswap_api::rollout::v1::Landing;
use hotswap_api::route::v1 as wire;
use hotswap_core::{Revision, Timestamp};
use hotswap_rollout::{
    Act, ActResult, CountSource, Exposure, Millis, Plan, PlanDraft, Powers, Principal, Rollout, RolloutId,
    Share, StickyKey, StrategyDraft, Target as _, TargetContext,
};
use hotswap_route::RouteTarget;
use uuid::Uuid;

use crate::harness::{Server, route, with_route};

/// A rollout of "routes/r" to a draft of it, as the engine drives it.
pub(crate) struct Driven {
    pub(crate) target: RouteTarget,
    pub(crate) rollout: Rollout,
    pub(crate) fence: i64,
}

impl Driven {
    pub(crate) fn new(server: &Server, subject: &str, to: i64) -> Self {
        Self { target: server.route.target(), rollout: rollout(subject, to), fence: 1 }
    }

    /// Asks once. The ticket of an act is the same each time it is asked for.
    pub(crate) async fn once(&self, act: &Act) -> ActResult {
        self.asked(act, 1).await
    }

    pub(crate) async fn asked(&self, act: &Act, ticket: u64) -> ActResult {
        self.target.act(&self.rollout, &self.context(ticket), act).await
    }

    fn context(&self, ticket: u64) -> TargetContext {
        TargetContext {
            rollout: self.rollout.id,
            fence: self.fence,
            ticket: Some(ticket),
            timeout: Millis(400),
            back: false,
        }
    }

    /// Asks once, as on a way back.
    pub(crate) async fn back(&self, act: &Act) -> ActResult {
        let context = TargetContext { back: true, ..self.context(1) };
        self.target.act(&self.rollout, &context, act).await
    }

    /// Asks until it is done or refused.
    pub(crate) async fn act(&self, act: &Act) -> ActResult {
        loop {
            match self.once(act).await {
                ActResult::Retry { after, .. } | ActResult::Lagging { after, .. } => {
                    tokio::time::sleep(Duration::from_millis(after.0)).await
                }
                result => return result,
            }
        }
    }

    pub(crate) async fn done(&self, act: Act) {
        assert_eq!(self.act(&act).await, ActResult::Done, "{act}");
    }

    pub(crate) async fn out(&self) -> Exposure {
        self.target.actual(&self.rollout).await.expect("the store answers")
    }
}

pub(crate) fn rollout(subject: &str, to: i64) -> Rollout {
    let draft = PlanDraft::new(StrategyDraft::Canary { steps: Vec::new() });
    Rollout {
        id: RolloutId(Uuid::now_v7()),
        domain: "route".into(),
        subject: subject.to_owned(),
        from: Some(Revision(2)),
        to: Revision(to),
        author: Principal("ann".into()),
        created_at: Timestamp(0),
        plan: Plan::parse(&draft, Powers::ALL).expect("a plan"),
        sticky: None,
        source: CountSource::Target,
        reason: String::new(),
    }
}

pub(crate) fn sticky(driven: &mut Driven) {
    driven.rollout.sticky = Some(StickyKey::ClientAddress);
}

pub(crate) fn weight(bp: u32) -> Exposure {
    Exposure::of(Share::from_bp(bp).expect("valid"))
}

/// A draft of "routes/r" with another prefix; gives its revision.
pub(crate) async fn draft(server: &Server, prefix: &str) -> i64 {
    let changed = wire::Route { name: "routes/r".into(), ..route("pools/p", prefix) };
    let update = wire::UpdateRouteRequest {
        route: Some(changed),
        landing: Landing::Draft.into(),
        ..Default::default()
    };
    let made = server.routes().await.update_route(update).await.expect("a draft").into_inner();
    made.route.expect("route").revision
}

/// A server with "routes/r", live at revision 2, and a rollout of a draft of it at revision 3.
pub(crate) async fn with_draft(dir: &std::path::Path) -> (Server, Driven) {
    let (server, _) = with_route(dir).await;
    let to = draft(&server, "/next").await;
    assert_eq!(to, 3);
    server.route.distributed(Revision(3)).await;
    let driven = Driven::new(&server, "routes/r", to);
    (server, driven)
}

pub(crate) async fn live(server: &Server) -> wire::Route {
    let get = wire::GetRouteRequest { name: "routes/r".into() };
    server.routes().await.get_route(get).await.expect("there").into_inner().route.expect("route")
}

/// The prefix that a route matches.
pub(crate) fn prefix(route: &wire::Route) -> &str {
    match route.matches[0].path.as_ref().and_then(|p| p.kind.as_ref()) {
        Some(wire::path_match::Kind::Prefix(prefix)) => prefix,
        _ => "",
    }
}
