//! Methods that the contract has and this build does not: each answers UNIMPLEMENTED and says so.
//! `cargo xtask status` reads this list.

macro_rules! not_built {
    ($($name:ident = $path:literal;)+) => {
        $(pub(super) const $name: &str = $path;)+

        /// Every method that is not built.
        pub const NOT_BUILT: &[&str] = &[$($path),+];
    };
}

not_built! {
    CREATE_ROLLOUT = "/hotswap.rollout.v1.RolloutService/CreateRollout";
    GET_ROLLOUT = "/hotswap.rollout.v1.RolloutService/GetRollout";
    LIST_ROLLOUTS = "/hotswap.rollout.v1.RolloutService/ListRollouts";
    WATCH_ROLLOUT = "/hotswap.rollout.v1.RolloutService/WatchRollout";
    PROMOTE_ROLLOUT = "/hotswap.rollout.v1.RolloutService/PromoteRollout";
    PAUSE_ROLLOUT = "/hotswap.rollout.v1.RolloutService/PauseRollout";
    RESUME_ROLLOUT = "/hotswap.rollout.v1.RolloutService/ResumeRollout";
    ROLLBACK_ROLLOUT = "/hotswap.rollout.v1.RolloutService/RollbackRollout";
    APPROVE_ROLLOUT = "/hotswap.rollout.v1.RolloutService/ApproveRollout";
    REJECT_ROLLOUT = "/hotswap.rollout.v1.RolloutService/RejectRollout";
    LIST_MEASUREMENTS = "/hotswap.rollout.v1.RolloutService/ListMeasurements";
    LIST_PENDING_APPROVALS = "/hotswap.rollout.v1.RolloutService/ListPendingApprovals";
    LIST_ROLLOUT_EVENTS = "/hotswap.rollout.v1.RolloutService/ListRolloutEvents";
    REPORT_COUNTS = "/hotswap.rollout.v1.RolloutService/ReportCounts";
    GET_FREEZE = "/hotswap.rollout.v1.RolloutService/GetFreeze";
    SET_FREEZE = "/hotswap.rollout.v1.RolloutService/SetFreeze";
    GET_ROLLOUT_POLICY = "/hotswap.rollout.v1.RolloutService/GetRolloutPolicy";
    LIST_ROLLOUT_POLICIES = "/hotswap.rollout.v1.RolloutService/ListRolloutPolicies";
    PUT_ROLLOUT_POLICY = "/hotswap.rollout.v1.RolloutService/PutRolloutPolicy";
    DELETE_ROLLOUT_POLICY = "/hotswap.rollout.v1.RolloutService/DeleteRolloutPolicy";
}
