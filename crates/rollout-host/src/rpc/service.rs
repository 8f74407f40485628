//! The methods.

use hotswap_api::rollout::v1 as wire;
use hotswap_api::rollout::v1::rollout_service_server::RolloutService;
use hotswap_core::Violations;
use hotswap_rollout::Order;
use tonic::{Request, Response};

use super::commands::{Said, approve, promote};
use super::report::{counting, report};
use super::status::status;
use super::{Answer, RolloutRpc, draft, full_name, invalid, options, page, parts, paths, show, watch};
use crate::{Error, List, Pending};

#[tonic::async_trait]
impl RolloutService for RolloutRpc {
    type WatchRolloutStream = watch::Said;

    async fn create_rollout(
        &self,
        request: Request<wire::CreateRolloutRequest>,
    ) -> Answer<wire::CreateRolloutResponse> {
        let (ctx, mut message) = parts(request)?;
        let subject = message.rollout.as_ref().map(|r| r.subject.clone());
        ctx.aims_at(subject.unwrap_or_default(), message.validate_only);
        let mut v = Violations::new();
        let id = std::mem::take(&mut message.request_id);
        let options = options(&mut v, &id, &message);
        let asked = message.rollout.ok_or_else(|| invalid(Violations::one("rollout", "must be set")))?;
        let draft = draft::rollout(&asked).map_err(|faults| v.nest("rollout", faults)).ok();
        let Some(mut draft) = draft.filter(|_| v.is_empty()) else { return Err(invalid(v)) };
        draft.options = options;
        let plan = draft.plan.clone();
        let view = self.rollouts.create(&ctx, draft).await.map_err(|error| match error {
            Error::Invalid(faults) => {
                let mut v = Violations::new();
                v.nest("rollout", paths::of_rollout(faults, &plan));
                invalid(v)
            }
            other => status(other),
        })?;
        Ok(Response::new(wire::CreateRolloutResponse { rollout: Some(show::rollout(&view)) }))
    }

    async fn get_rollout(
        &self,
        request: Request<wire::GetRolloutRequest>,
    ) -> Answer<wire::GetRolloutResponse> {
        let (ctx, m) = parts(request)?;
        let view = self.rollouts.get(&ctx, &m.name).await.map_err(status)?;
        Ok(Response::new(wire::GetRolloutResponse { rollout: Some(show::rollout(&view)) }))
    }

    async fn list_rollouts(
        &self,
        request: Request<wire::ListRolloutsRequest>,
    ) -> Answer<wire::ListRolloutsResponse> {
        let (ctx, m) = parts(request)?;
        let list = List { page: page(m.page_size, m.page_token), filter: m.filter, order_by: m.order_by };
        let (views, next_page_token) = self.rollouts.list(&ctx, &list).await.map_err(status)?;
        let rollouts = views.iter().map(show::rollout).collect();
        Ok(Response::new(wire::ListRolloutsResponse { rollouts, next_page_token }))
    }

    async fn watch_rollout(
        &self,
        request: Request<wire::WatchRolloutRequest>,
    ) -> Answer<Self::WatchRolloutStream> {
        let (ctx, m) = parts(request)?;
        let watching = self.rollouts.watch(&ctx, &m.name).await.map_err(status)?;
        Ok(Response::new(watch::stream(watching, self.shutdown.clone())))
    }

    async fn promote_rollout(
        &self,
        request: Request<wire::PromoteRolloutRequest>,
    ) -> Answer<wire::PromoteRolloutResponse> {
        let (ctx, m) = parts(request)?;
        let rollout = self.send(&ctx, Said::from(&m), promote(&m)).await?;
        Ok(Response::new(wire::PromoteRolloutResponse { rollout }))
    }

    async fn pause_rollout(
        &self,
        request: Request<wire::PauseRolloutRequest>,
    ) -> Answer<wire::PauseRolloutResponse> {
        let (ctx, m) = parts(request)?;
        let order = Order::Pause { why: m.reason.clone() };
        let rollout = self.send(&ctx, Said::from(&m), Ok(order)).await?;
        Ok(Response::new(wire::PauseRolloutResponse { rollout }))
    }

    async fn resume_rollout(
        &self,
        request: Request<wire::ResumeRolloutRequest>,
    ) -> Answer<wire::ResumeRolloutResponse> {
        let (ctx, m) = parts(request)?;
        let rollout = self.send(&ctx, Said::from(&m), Ok(Order::Resume)).await?;
        Ok(Response::new(wire::ResumeRolloutResponse { rollout }))
    }

    async fn rollback_rollout(
        &self,
        request: Request<wire::RollbackRolloutRequest>,
    ) -> Answer<wire::RollbackRolloutResponse> {
        let (ctx, m) = parts(request)?;
        let order = Order::Rollback { why: m.reason.clone(), instant: m.instant };
        let rollout = self.send(&ctx, Said::from(&m), Ok(order)).await?;
        Ok(Response::new(wire::RollbackRolloutResponse { rollout }))
    }

    async fn approve_rollout(
        &self,
        request: Request<wire::ApproveRolloutRequest>,
    ) -> Answer<wire::ApproveRolloutResponse> {
        let (ctx, m) = parts(request)?;
        let rollout = self.send(&ctx, Said::from(&m), approve(&m)).await?;
        Ok(Response::new(wire::ApproveRolloutResponse { rollout }))
    }

    async fn reject_rollout(
        &self,
        request: Request<wire::RejectRolloutRequest>,
    ) -> Answer<wire::RejectRolloutResponse> {
        let (ctx, m) = parts(request)?;
        let order = Order::Reject { why: m.reason.clone() };
        let rollout = self.send(&ctx, Said::from(&m), Ok(order)).await?;
        Ok(Response::new(wire::RejectRolloutResponse { rollout }))
    }

    async fn list_measurements(
        &self,
        request: Request<wire::ListMeasurementsRequest>,
    ) -> Answer<wire::ListMeasurementsResponse> {
        let (ctx, m) = parts(request)?;
        let page = page(m.page_size, m.page_token);
        let (found, next_page_token) =
            self.rollouts.measurements(&ctx, &m.name, &page).await.map_err(status)?;
        // An empty page does not say by itself why it is empty.
        let dropped = match found.as_slice() {
            [] => self.rollouts.measurements_dropped(&ctx, &m.name).await.map_err(status)?,
            _ => None,
        };
        let measurements = found.iter().map(show::measurement).collect();
        let drop_time = dropped.map(show::time);
        Ok(Response::new(wire::ListMeasurementsResponse { measurements, next_page_token, drop_time }))
    }

    async fn list_pending_approvals(
        &self,
        request: Request<wire::ListPendingApprovalsRequest>,
    ) -> Answer<wire::ListPendingApprovalsResponse> {
        let (ctx, m) = parts(request)?;
        let pending = Pending { page: page(m.page_size, m.page_token), mine: m.mine };
        let (found, next_page_token) = self.rollouts.pending(&ctx, &pending).await.map_err(status)?;
        let approvals = found.iter().map(show::pending).collect();
        Ok(Response::new(wire::ListPendingApprovalsResponse { approvals, next_page_token }))
    }

    async fn list_rollout_events(
        &self,
        request: Request<wire::ListRolloutEventsRequest>,
    ) -> Answer<wire::ListRolloutEventsResponse> {
        let (ctx, m) = parts(request)?;
        let page = page(m.page_size, m.page_token);
        let (found, next_page_token) = self.rollouts.events(&ctx, &m.name, &page).await.map_err(status)?;
        let events = found.iter().map(show::event).collect();
        Ok(Response::new(wire::ListRolloutEventsResponse { events, next_page_token }))
    }

    async fn report_counts(
        &self,
        request: Request<wire::ReportCountsRequest>,
    ) -> Answer<wire::ReportCountsResponse> {
        let (ctx, m) = parts(request)?;
        ctx.aims_at(full_name("rollouts", &m.name), false);
        let report = report(m)?;
        let counted = self.rollouts.report_counts(&ctx, &report).await.map_err(status)?;
        Ok(Response::new(counting(counted)))
    }

    async fn get_freeze(&self, request: Request<wire::GetFreezeRequest>) -> Answer<wire::GetFreezeResponse> {
        let (ctx, wire::GetFreezeRequest {}) = parts(request)?;
        let freeze = self.rollouts.freeze(&ctx).await.map_err(status)?;
        Ok(Response::new(wire::GetFreezeResponse { freeze: Some(show::freeze(&freeze)) }))
    }

    async fn set_freeze(&self, request: Request<wire::SetFreezeRequest>) -> Answer<wire::SetFreezeResponse> {
        let (ctx, m) = parts(request)?;
        ctx.aims_at("rolloutFreeze", false);
        let freeze = self.rollouts.set_freeze(&ctx, m.on, &m.reason).await.map_err(status)?;
        Ok(Response::new(wire::SetFreezeResponse { freeze: Some(show::freeze(&freeze)) }))
    }

    async fn get_rollout_policy(
        &self,
        request: Request<wire::GetRolloutPolicyRequest>,
    ) -> Answer<wire::GetRolloutPolicyResponse> {
        let (ctx, m) = parts(request)?;
        let policy = self.rollouts.policy(&ctx, &m.name).await.map_err(status)?;
        Ok(Response::new(wire::GetRolloutPolicyResponse { policy: Some(show::policy(&policy)) }))
    }

    async fn list_rollout_policies(
        &self,
        request: Request<wire::ListRolloutPoliciesRequest>,
    ) -> Answer<wire::ListRolloutPoliciesResponse> {
        let (ctx, m) = parts(request)?;
        let page = page(m.page_size, m.page_token);
        let (found, next_page_token) = self.rollouts.policies(&ctx, &page).await.map_err(status)?;
        let policies = found.iter().map(show::policy).collect();
        Ok(Response::new(wire::ListRolloutPoliciesResponse { policies, next_page_token }))
    }

    async fn put_rollout_policy(
        &self,
        request: Request<wire::PutRolloutPolicyRequest>,
    ) -> Answer<wire::PutRolloutPolicyResponse> {
        let (ctx, m) = parts(request)?;
        let name = m.policy.as_ref().map(|p| full_name("rolloutPolicies", &p.name));
        ctx.aims_at(name.unwrap_or_default(), m.validate_only);
        let asked = m.policy.ok_or_else(|| invalid(Violations::one("policy", "must be set")))?;
        let nested = |faults: Violations| {
            let mut v = Violations::new();
            v.nest("policy", faults);
            invalid(v)
        };
        let mut put = draft::policy(&asked).map_err(nested)?;
        put.validate_only = m.validate_only;
        let put = self.rollouts.put_policy(&ctx, put).await.map_err(|error| match error {
            Error::Invalid(faults) => nested(paths::of_policy(faults)),
            other => status(other),
        })?;
        Ok(Response::new(wire::PutRolloutPolicyResponse { policy: Some(show::policy(&put)) }))
    }

    async fn delete_rollout_policy(
        &self,
        request: Request<wire::DeleteRolloutPolicyRequest>,
    ) -> Answer<wire::DeleteRolloutPolicyResponse> {
        let (ctx, m) = parts(request)?;
        ctx.aims_at(full_name("rolloutPolicies", &m.name), false);
        self.rollouts.delete_policy(&ctx, &m.name, &m.etag).await.map_err(status)?;
        Ok(Response::new(wire::DeleteRolloutPolicyResponse {}))
    }
}
