//! What every use case takes first.

use std::net::SocketAddr;

use uuid::Uuid;

use crate::Principal;

/// Who calls what, under which request id, from where. Made at the edge, once a call is authenticated and
/// authorized; there is no other way into a use case.
#[derive(Clone, Debug)]
pub struct OpContext {
    /// Who.
    pub principal: Principal,
    /// The id of the request in logs and errors.
    pub request_id: Uuid,
    /// What: the path of the RPC, as "/hotswap.route.v1.RouteService/CreateRoute".
    pub method: String,
    /// From where.
    pub source: Option<SocketAddr>,
}

impl OpContext {
    /// The subject of the token.
    pub fn actor(&self) -> &str {
        &self.principal.subject
    }
}
