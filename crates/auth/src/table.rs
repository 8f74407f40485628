//! The permission table: one row for every RPC that a server answers. A test compares it with the contract.

use crate::{AuthError, Principal, Role};

/// Who may call an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token.
    Open,
    /// Anybody with a valid token.
    Authenticated,
    /// A principal with one of these roles.
    Roles(&'static [Role]),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The path of the RPC.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Whether it changes something, or leaves a trace as an export does: then a call of it that fails stands in the
    /// audit log, too.
    pub writes: bool,
}

const PEOPLE: Access =
    Access::Roles(&[Role::Admin, Role::Operator, Role::Developer, Role::ConfigManager, Role::Viewer]);
const OPERATORS: Access = Access::Roles(&[Role::Admin, Role::Operator]);
const ADMINS: Access = Access::Roles(&[Role::Admin]);
const PROXIES: Access = Access::Roles(&[Role::Gateway, Role::Admin]);

macro_rules! table {
    ($($service:literal { $($effect:ident $method:literal => $access:expr),+ $(,)? })+) => {
        &[$($(Row {
            path: concat!("/", $service, "/", $method),
            access: $access,
            writes: table!(@ $effect),
        }),+),+]
    };
    (@ read) => { false };
    (@ write) => { true };
}

/// Every RPC and who may call it.
pub const TABLE: &[Row] = table! {
    "hotswap.route.v1.RouteService" {
        write "CreateRoute" => OPERATORS,
        read "GetRoute" => PEOPLE,
        read "ListRoutes" => PEOPLE,
        write "UpdateRoute" => OPERATORS,
        write "DeleteRoute" => ADMINS,
        read "ListRouteRevisions" => PEOPLE,
        read "DiffRouteRevisions" => PEOPLE,
        write "CreatePool" => OPERATORS,
        read "GetPool" => PEOPLE,
        read "ListPools" => PEOPLE,
        write "UpdatePool" => OPERATORS,
        write "DeletePool" => ADMINS,
        read "ListPoolRevisions" => PEOPLE,
        read "DiffPoolRevisions" => PEOPLE,
        write "CreateCertificate" => OPERATORS,
        read "GetCertificate" => PEOPLE,
        read "ListCertificates" => PEOPLE,
        write "UpdateCertificate" => OPERATORS,
        write "DeleteCertificate" => ADMINS,
        read "ListCertificateRevisions" => PEOPLE,
        read "DiffCertificateRevisions" => PEOPLE,
        read "ExplainRequest" => PEOPLE,
        write "SetBackendState" => OPERATORS,
    }
    "hotswap.gateway.v1.ConfigDistributionService" {
        read "WatchConfig" => PROXIES,
    }
    "hotswap.gateway.v1.FleetService" {
        read "ListProxies" => PEOPLE,
        read "GetProxy" => PEOPLE,
        read "WaitForRevision" => PEOPLE,
    }
    "hotswap.rollout.v1.RolloutService" {
        write "CreateRollout" => OPERATORS,
        read "GetRollout" => PEOPLE,
        read "ListRollouts" => PEOPLE,
        read "WatchRollout" => PEOPLE,
        write "PromoteRollout" => OPERATORS,
        write "PauseRollout" => OPERATORS,
        write "ResumeRollout" => OPERATORS,
        write "RollbackRollout" => OPERATORS,
        // Who may decide is what the level that is asked says.
        write "ApproveRollout" => PEOPLE,
        write "RejectRollout" => PEOPLE,
        read "ListMeasurements" => PEOPLE,
        read "ListPendingApprovals" => PEOPLE,
        read "ListRolloutEvents" => PEOPLE,
        write "ReportCounts" => OPERATORS,
        read "GetFreeze" => PEOPLE,
        write "SetFreeze" => OPERATORS,
        read "GetRolloutPolicy" => PEOPLE,
        read "ListRolloutPolicies" => PEOPLE,
        write "PutRolloutPolicy" => ADMINS,
        write "DeleteRolloutPolicy" => ADMINS,
    }
    "hotswap.audit.v1.AuditService" {
        read "ListEvents" => OPERATORS,
        write "ExportEvents" => ADMINS,
        read "VerifyLog" => OPERATORS,
        write "CreateLegalHold" => ADMINS,
        read "ListLegalHolds" => OPERATORS,
        write "ReleaseLegalHold" => ADMINS,
    }
    "grpc.reflection.v1.ServerReflection" {
        read "ServerReflectionInfo" => Access::Authenticated,
    }
    "grpc.reflection.v1alpha.ServerReflection" {
        read "ServerReflectionInfo" => Access::Authenticated,
    }
    "grpc.health.v1.Health" {
        read "Check" => Access::Open,
        read "Watch" => Access::Open,
    }
};

/// The row of an RPC.
pub fn row(path: &str) -> Option<&'static Row> {
    TABLE.iter().find(|r| r.path == path)
}

/// Whether a principal may call the RPC of this row.
///
/// # Errors
/// [`AuthError::RoleMissing`], with the roles that would do.
pub fn authorize(principal: &Principal, row: &Row) -> Result<(), AuthError> {
    match row.access {
        Access::Open | Access::Authenticated => Ok(()),
        Access::Roles(roles) if roles.iter().any(|r| principal.roles.contains(r)) => Ok(()),
        Access::Roles(roles) => {
            let needed: Vec<_> = roles.iter().map(|r| r.as_str()).collect();
            Err(AuthError::RoleMissing { needed: needed.join(", ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use hotswap_core::Timestamp;

    use super::*;

    fn allowed(role: Role, path: &str) -> bool {
        let principal =
            Principal { subject: "x".into(), roles: vec![role], tenant: None, expires: Timestamp(0) };
        authorize(&principal, row(path).expect("row")).is_ok()
    }

    #[test]
    fn delete_is_the_admins_only_and_writes_the_operators() {
        for role in Role::ALL {
            let delete = allowed(role, "/hotswap.route.v1.RouteService/DeleteRoute");
            assert_eq!(delete, role == Role::Admin, "{role}");
            let create = allowed(role, "/hotswap.route.v1.RouteService/CreateRoute");
            assert_eq!(create, matches!(role, Role::Admin | Role::Operator), "{role}");
        }
    }

    #[test]
    fn a_service_identity_reads_no_routes() {
        assert!(!allowed(Role::Gateway, "/hotswap.route.v1.RouteService/ListRoutes"));
        assert!(allowed(Role::Gateway, "/hotswap.gateway.v1.ConfigDistributionService/WatchConfig"));
    }

    #[test]
    fn each_rpc_has_one_row() {
        let paths: HashSet<_> = TABLE.iter().map(|r| r.path).collect();
        assert_eq!(paths.len(), TABLE.len());
    }
}
