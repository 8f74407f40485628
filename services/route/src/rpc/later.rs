//! RolloutService as far as this build has them: every method says that it is not built.

use hotswap_api::rollout::v1 as rollout;
use hotswap_api::rollout::v1::rollout_service_server::RolloutService;
use hotswap_rpc::not_built;
use tokio_stream::Empty;
use tonic::{Request, Response, Status};

use super::not_built as built;

/// The services that a later build brings.
#[derive(Clone, Copy, Default)]
pub(crate) struct NotBuiltRpc;

macro_rules! unary {
    ($package:ident, $method:ident, $request:ident, $response:ident, $name:ident) => {
        fn $method<'life0, 'async_trait>(
            &'life0 self,
            _request: Request<$package::$request>,
        ) -> std::pin::Pin<
            Box<dyn Future<Output = Result<Response<$package::$response>, Status>> + Send + 'async_trait>,
        >
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async { Err(not_built(built::$name)) })
        }
    };
}

impl RolloutService for NotBuiltRpc {
    type WatchRolloutStream = Empty<Result<rollout::WatchRolloutResponse, Status>>;

    unary!(rollout, create_rollout, CreateRolloutRequest, CreateRolloutResponse, CREATE_ROLLOUT);
    unary!(rollout, get_rollout, GetRolloutRequest, GetRolloutResponse, GET_ROLLOUT);
    unary!(rollout, list_rollouts, ListRolloutsRequest, ListRolloutsResponse, LIST_ROLLOUTS);
    fn watch_rollout<'life0, 'async_trait>(
        &'life0 self,
        _request: Request<rollout::WatchRolloutRequest>,
    ) -> std::pin::Pin<
        Box<dyn Future<Output = Result<Response<Self::WatchRolloutStream>, Status>> + Send + 'async_trait>,
    >
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async { Err(not_built(built::WATCH_ROLLOUT)) })
    }
    unary!(rollout, promote_rollout, PromoteRolloutRequest, PromoteRolloutResponse, PROMOTE_ROLLOUT);
    unary!(rollout, pause_rollout, PauseRolloutRequest, PauseRolloutResponse, PAUSE_ROLLOUT);
    unary!(rollout, resume_rollout, ResumeRolloutRequest, ResumeRolloutResponse, RESUME_ROLLOUT);
    unary!(rollout, rollback_rollout, RollbackRolloutRequest, RollbackRolloutResponse, ROLLBACK_ROLLOUT);
    unary!(rollout, approve_rollout, ApproveRolloutRequest, ApproveRolloutResponse, APPROVE_ROLLOUT);
    unary!(rollout, reject_rollout, RejectRolloutRequest, RejectRolloutResponse, REJECT_ROLLOUT);
    unary!(rollout, list_measurements, ListMeasurementsRequest, ListMeasurementsResponse, LIST_MEASUREMENTS);
    unary!(
        rollout,
        list_pending_approvals,
        ListPendingApprovalsRequest,
        ListPendingApprovalsResponse,
        LIST_PENDING_APPROVALS
    );
    unary!(
        rollout,
        list_rollout_events,
        ListRolloutEventsRequest,
        ListRolloutEventsResponse,
        LIST_ROLLOUT_EVENTS
    );
    unary!(rollout, report_counts, ReportCountsRequest, ReportCountsResponse, REPORT_COUNTS);
    unary!(rollout, get_freeze, GetFreezeRequest, GetFreezeResponse, GET_FREEZE);
    unary!(rollout, set_freeze, SetFreezeRequest, SetFreezeResponse, SET_FREEZE);
    unary!(
        rollout,
        get_rollout_policy,
        GetRolloutPolicyRequest,
        GetRolloutPolicyResponse,
        GET_ROLLOUT_POLICY
    );
    unary!(
        rollout,
        list_rollout_policies,
        ListRolloutPoliciesRequest,
        ListRolloutPoliciesResponse,
        LIST_ROLLOUT_POLICIES
    );
    unary!(
        rollout,
        put_rollout_policy,
        PutRolloutPolicyRequest,
        PutRolloutPolicyResponse,
        PUT_ROLLOUT_POLICY
    );
    unary!(
        rollout,
        delete_rollout_policy,
        DeleteRolloutPolicyRequest,
        DeleteRolloutPolicyResponse,
        DELETE_ROLLOUT_POLICY
    );
}
