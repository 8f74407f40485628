//! What every use case takes first.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use crate::Principal;

/// Who calls what, under which request id, from where. Made at the edge, once a call is authenticated and
/// authorized; there is no other way into a use case. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OpContext {
    /// Who.
    pub principal: Arc<Principal>,
    /// The id of the request in logs and errors.
    pub request_id: Uuid,
    /// What: the path of the RPC, as "/hotswap.route.v1.RouteService/CreateRoute".
    pub method: &'static str,
    /// From where.
    pub source: Option<SocketAddr>,
    aim: Arc<OnceLock<Aim>>,
}

/// What a call is aimed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// The name of the resource as the request has it: it may be none that can be.
    pub resource: String,
    /// The caller wants to know whether it would go through, and changes nothing.
    pub only_checks: bool,
}

impl OpContext {
    /// A call that was let through.
    pub fn new(
        principal: Principal,
        request_id: Uuid,
        method: &'static str,
        source: Option<SocketAddr>,
    ) -> Self {
        Self { principal: Arc::new(principal), request_id, method, source, aim: Arc::default() }
    }

    /// The subject of the token.
    pub fn actor(&self) -> &str {
        &self.principal.subject
    }

    /// Tells what the call is aimed at, as soon as the request is read and before anything in it is judged: should the
    /// call fail, the edge tells the audit log. Said once; what comes later is not heard.
    pub fn aims_at(&self, resource: impl Into<String>, only_checks: bool) {
        let _ = self.aim.set(Aim { resource: resource.into(), only_checks });
    }

    /// What it is aimed at; `None`: nobody told.
    pub fn aim(&self) -> Option<&Aim> {
        self.aim.get()
    }
}
