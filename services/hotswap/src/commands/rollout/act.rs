//! `hotswap rollout promote`, `pause`, `resume`, `rollback`, `approve` and `reject`.

use hotswap_api::rollout::v1::rollout::State;
use hotswap_api::rollout::v1::{
    ApproveRolloutRequest, PauseRolloutRequest, PromoteRolloutRequest, RejectRolloutRequest,
    ResumeRolloutRequest, RollbackRolloutRequest, Rollout,
};
use hotswap_core::{Ids as _, SystemIds};

use super::{get, resolved, state_words, whole};
use crate::cli::{RolloutAct, RolloutApprove, RolloutBack, RolloutPromote};
use crate::client::Api;
use crate::exit::{Failure, one_line};
use crate::output;

/// A rollout, and the way to it.
struct Place {
    api: Api,
    name: String,
    request_id: String,
}

impl Place {
    async fn of(act: &RolloutAct) -> Result<Self, Failure> {
        let api = act.client.connect().await?;
        let name = resolved(&api, &act.rollout.name).await?;
        Ok(Self { api, name, request_id: SystemIds.uuid().to_string() })
    }

    /// Tells where it stands now.
    fn end(&self, answer: Result<Option<Rollout>, tonic::Status>) -> Result<(), Failure> {
        let rollout = whole(answer.map_err(|status| Failure::from(status).about(&self.name))?)?;
        output::line(&format!("{} {}", self.name, one_line(&state_words(&rollout))))
    }
}

macro_rules! call {
    ($place:ident, $act:expr, $method:ident, $request:ident { $($field:ident: $value:expr),* }) => {{
        let request = $request {
            name: $place.name.clone(),
            etag: $act.etag.clone(),
            reason: $act.reason.clone(),
            request_id: $place.request_id.clone(),
            $($field: $value),*
        };
        $place.api.rollouts.clone().$method(request).await.map(|answer| answer.into_inner().rollout)
    }};
}

/// Of two who promote the same step at the same time the second is told that it has moved on, and does not pass over
/// the next one.
pub(super) async fn promote(args: &RolloutPromote) -> Result<(), Failure> {
    let place = Place::of(&args.act).await?;
    let full = args.full;
    let step = match args.step {
        Some(step) => step,
        // All the way, it goes on from whichever step it is at.
        None if full => 0,
        None => get(&place.api, &place.name).await?.current_step + 1,
    };
    let answer = call!(place, args.act, promote_rollout, PromoteRolloutRequest { full: full, step: step });
    place.end(answer)
}

pub(super) async fn pause(args: &RolloutAct) -> Result<(), Failure> {
    let place = Place::of(args).await?;
    let answer = call!(place, args, pause_rollout, PauseRolloutRequest {});
    place.end(answer)
}

pub(super) async fn resume(args: &RolloutAct) -> Result<(), Failure> {
    let place = Place::of(args).await?;
    let answer = call!(place, args, resume_rollout, ResumeRolloutRequest {});
    place.end(answer)
}

pub(super) async fn rollback(args: &RolloutBack) -> Result<(), Failure> {
    let place = Place::of(&args.act).await?;
    let instant = args.instant;
    let answer = call!(place, args.act, rollback_rollout, RollbackRolloutRequest { instant: instant });
    place.end(answer)
}

pub(super) async fn approve(args: &RolloutApprove) -> Result<(), Failure> {
    let place = Place::of(&args.act).await?;
    let content_hash = match &args.content_hash {
        Some(hash) => hash.clone(),
        None => seen(&place).await?,
    };
    let answer =
        call!(place, args.act, approve_rollout, ApproveRolloutRequest { content_hash: content_hash });
    place.end(answer)
}

/// The hash of what is there now; what is approved is told, since nothing else was looked at.
async fn seen(place: &Place) -> Result<String, Failure> {
    let rollout = get(&place.api, &place.name).await?;
    if rollout.state() == State::AwaitingApproval {
        let (from, to) = (rollout.baseline_revision, rollout.candidate_revision);
        output::remark(&format!(
            "{} from revision {from} to {to}; `hotswap diff {} --from {from} --to {to}` shows the change",
            rollout.subject, rollout.subject
        ));
    }
    // One that waits for no approval has none that could be meant; the server says so.
    Ok(if rollout.content_hash.is_empty() { "none".to_owned() } else { rollout.content_hash })
}

pub(super) async fn reject(args: &RolloutAct) -> Result<(), Failure> {
    let place = Place::of(args).await?;
    let answer = call!(place, args, reject_rollout, RejectRolloutRequest {});
    place.end(answer)
}
