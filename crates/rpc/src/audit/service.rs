//! AuditService on the wire.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use hotswap_api::audit::v1 as wire;
use hotswap_api::audit::v1::audit_service_server::AuditService;
use hotswap_audit::{AuditError, AuditLog, Chain, ExportQuery, Format, ListQuery};
use hotswap_auth::OpContext;
use hotswap_core::Violations;
use tonic::{Request, Response, Status};

use super::caller_of;
use super::convert::{event, hold, status, verification};
use crate::op_context;

/// The service.
#[derive(Clone, Debug)]
pub struct AuditRpc {
    log: AuditLog,
}

type Exported = Result<wire::ExportEventsResponse, Status>;

impl AuditRpc {
    /// Of this log.
    pub fn new(log: AuditLog) -> Self {
        Self { log }
    }

    /// The chain that a request names; the caller must be of its tenant, or of none.
    fn chain(ctx: &OpContext, field: &str, name: &str) -> Result<Chain, Status> {
        let of_caller = match &ctx.principal.tenant {
            None => Chain::Platform,
            Some(tenant) => Chain::Tenant(tenant.clone()),
        };
        if name.is_empty() {
            return Ok(of_caller);
        }
        let chain = Chain::parse(name).ok_or_else(|| {
            let fault = Violations::one(field, "must be \"platform\" or \"tenants/{tenant}\"");
            status(AuditError::Invalid(fault))
        })?;
        if of_caller == Chain::Platform || of_caller == chain {
            return Ok(chain);
        }
        Err(status(AuditError::OtherTenant { chain }))
    }
}

fn parts<T>(request: Request<T>) -> Result<(OpContext, T), Status> {
    let ctx = op_context(&request)?;
    Ok((ctx, request.into_inner()))
}

#[tonic::async_trait]
impl AuditService for AuditRpc {
    type ExportEventsStream = Pin<Box<dyn Stream<Item = Exported> + Send>>;

    async fn list_events(
        &self,
        request: Request<wire::ListEventsRequest>,
    ) -> Result<Response<wire::ListEventsResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let chain = Self::chain(&ctx, "chain", &m.chain)?;
        let query = ListQuery { chain, page_size: m.page_size, page_token: m.page_token, filter: m.filter };
        let (page, next_page_token) = self.log.list(&query).await.map_err(status)?;
        let events = page.into_iter().map(event).collect();
        Ok(Response::new(wire::ListEventsResponse { events, next_page_token }))
    }

    async fn export_events(
        &self,
        request: Request<wire::ExportEventsRequest>,
    ) -> Result<Response<Self::ExportEventsStream>, Status> {
        use wire::export_events_request::Format as WireFormat;
        let (ctx, m) = parts(request)?;
        ctx.aims_at(format!("auditLogs/{}", m.chain), false);
        let chain = Self::chain(&ctx, "chain", &m.chain)?;
        let format = match WireFormat::try_from(m.format) {
            Ok(WireFormat::Unspecified | WireFormat::Json) => Format::Json,
            Ok(WireFormat::Csv) => Format::Csv,
            Err(_) => {
                let fault = Violations::one("format", "is not a value of Format");
                return Err(status(AuditError::Invalid(fault)));
            }
        };
        let query = ExportQuery { chain, filter: m.filter, format };
        let export = self.log.export(caller_of(&ctx), query).await.map_err(status)?;
        // `None` behind an error: a stream that failed has ended.
        let pieces = unfold(Some(export), |export| async {
            let mut export = export?;
            match export.next().await {
                Ok(Some(piece)) => {
                    Some((Ok(wire::ExportEventsResponse { data: Bytes::from(piece) }), Some(export)))
                }
                Ok(None) => None,
                Err(error) => Some((Err(status(error)), None)),
            }
        });
        Ok(Response::new(Box::pin(pieces)))
    }

    async fn verify_log(
        &self,
        request: Request<wire::VerifyLogRequest>,
    ) -> Result<Response<wire::VerifyLogResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let everything = m.chain.is_empty() && ctx.principal.tenant.is_none();
        let chain = Self::chain(&ctx, "chain", &m.chain)?;
        let reports = self.log.verify(Some(&chain).filter(|_| !everything)).await.map_err(status)?;
        Ok(Response::new(wire::VerifyLogResponse {
            intact: reports.iter().all(hotswap_audit::ChainReport::is_intact),
            chains: reports.into_iter().map(verification).collect(),
            public_keys: self.log.trusted_keys().iter().map(ToString::to_string).collect(),
        }))
    }

    async fn create_legal_hold(
        &self,
        request: Request<wire::CreateLegalHoldRequest>,
    ) -> Result<Response<wire::CreateLegalHoldResponse>, Status> {
        let (ctx, m) = parts(request)?;
        ctx.aims_at("legalHolds/", false);
        let asked = m
            .legal_hold
            .ok_or_else(|| status(AuditError::Invalid(Violations::one("legal_hold", "must be set"))))?;
        let chain = Self::chain(&ctx, "legal_hold.chain", &asked.chain)?;
        let placed = self.log.place_hold(caller_of(&ctx), &chain, &asked.reason).await.map_err(status)?;
        Ok(Response::new(wire::CreateLegalHoldResponse { legal_hold: Some(hold(placed)) }))
    }

    async fn list_legal_holds(
        &self,
        request: Request<wire::ListLegalHoldsRequest>,
    ) -> Result<Response<wire::ListLegalHoldsResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let chain = Self::chain(&ctx, "chain", &m.chain)?;
        let found = self.log.list_holds(&chain, m.page_size, &m.page_token).await.map_err(status)?;
        let (page, next_page_token) = found;
        let legal_holds = page.into_iter().map(hold).collect();
        Ok(Response::new(wire::ListLegalHoldsResponse { legal_holds, next_page_token }))
    }

    async fn release_legal_hold(
        &self,
        request: Request<wire::ReleaseLegalHoldRequest>,
    ) -> Result<Response<wire::ReleaseLegalHoldResponse>, Status> {
        let (ctx, m) = parts(request)?;
        ctx.aims_at(&m.name, false);
        let found = self.log.hold(&m.name).await.map_err(status)?;
        Self::chain(&ctx, "name", &found.chain.to_string())?;
        let released = self.log.release_hold(caller_of(&ctx), &m.name).await.map_err(status)?;
        Ok(Response::new(wire::ReleaseLegalHoldResponse { legal_hold: Some(hold(released)) }))
    }
}
