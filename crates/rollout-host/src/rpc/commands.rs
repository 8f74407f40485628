//! Commands: what people ask of a rollout that is under way.

use hotswap_api::rollout::v1 as wire;
use hotswap_auth::OpContext;
use hotswap_core::Violations;
use hotswap_rollout::{ContentHash, Order};
use tonic::Status;

use super::status::status;
use super::{RolloutRpc, full_name, invalid, request_id, show};
use crate::SendCommand;

/// What every command has beside what it asks for.
pub(super) struct Said {
    pub(super) name: String,
    pub(super) etag: String,
    pub(super) reason: String,
    pub(super) request_id: String,
}

macro_rules! said {
    ($($request:ident),+) => {
        $(impl From<&wire::$request> for Said {
            fn from(m: &wire::$request) -> Self {
                Self {
                    name: m.name.clone(),
                    etag: m.etag.clone(),
                    reason: m.reason.clone(),
                    request_id: m.request_id.clone(),
                }
            }
        })+
    };
}

said!(
    PromoteRolloutRequest,
    PauseRolloutRequest,
    ResumeRolloutRequest,
    RollbackRolloutRequest,
    ApproveRolloutRequest,
    RejectRolloutRequest
);

impl RolloutRpc {
    /// Sends a command, and gives the rollout as it is once it was answered.
    pub(super) async fn send(
        &self,
        ctx: &OpContext,
        said: Said,
        order: Result<Order, Violations>,
    ) -> Result<Option<wire::Rollout>, Status> {
        ctx.aims_at(full_name("rollouts", &said.name), false);
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &said.request_id);
        let order = order.map_err(|faults| v.nest("", faults)).ok();
        let Some(order) = order.filter(|_| v.is_empty()) else { return Err(invalid(v)) };
        let command = SendCommand { name: said.name, etag: said.etag, order, why: said.reason, request_id };
        let view = self.rollouts.send(ctx, command).await.map_err(status)?;
        Ok(Some(show::rollout(&view)))
    }
}

pub(super) fn promote(m: &wire::PromoteRolloutRequest) -> Result<Order, Violations> {
    let step = match usize::try_from(m.step) {
        Ok(0) => None,
        // People count from 1, the engine from 0.
        Ok(step) => Some(step - 1),
        Err(_) => return Err(Violations::one("step", "must not be negative")),
    };
    Ok(Order::Promote { step, full: m.full })
}

pub(super) fn approve(m: &wire::ApproveRolloutRequest) -> Result<Order, Violations> {
    if m.content_hash.is_empty() {
        return Err(Violations::one(
            "content_hash",
            "must be that of the rollout that was looked at: an approval is bound to what was seen",
        ));
    }
    Ok(Order::Approve { content: ContentHash(m.content_hash.clone()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promotion_may_name_the_step_that_was_seen() {
        let order = |step, full| promote(&wire::PromoteRolloutRequest { step, full, ..Default::default() });
        assert_eq!(order(0, false), Ok(Order::Promote { step: None, full: false }));
        assert_eq!(order(3, true), Ok(Order::Promote { step: Some(2), full: true }));
        assert!(order(-1, false).is_err());
    }

    #[test]
    fn an_approval_of_nothing_is_refused() {
        let order = |hash: &str| {
            approve(&wire::ApproveRolloutRequest { content_hash: hash.into(), ..Default::default() })
        };
        assert_eq!(order("h"), Ok(Order::Approve { content: ContentHash("h".into()) }));
        assert!(order("").is_err());
    }
}
