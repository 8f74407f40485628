//! RouteService on the wire: each method reads its request, calls its use case, writes the answer.

use hotswap_api::route::v1 as wire;
use hotswap_api::route::v1::route_service_server::RouteService;
use hotswap_auth::OpContext;
use hotswap_certificate::CertificateDraft;
use hotswap_core::Violations;
use hotswap_matcher::{PoolDraft, RouteDraft};
use hotswap_route_wire::{Described, state_from_wire};
use hotswap_rpc::{WireError, op_context};
use tonic::{Request, Response, Status};

use super::convert::{Wire, content, difference, options, proxy_refusal};
use super::status::status;
use super::watch::{Feed, Questions};
use super::{explain, live};
use crate::app::{
    App, Create, Delete, Diff, Fleet, Landing, List, ListRevisions, SetBackendState, Update, WriteOptions,
};
use crate::domain::Resource;

/// The service.
pub(crate) struct RouteRpc {
    pub(crate) app: App,
    pub(crate) fleet: Fleet,
    pub(crate) feed: Feed,
    pub(crate) questions: Questions,
}

/// Refusals that a resource shows; the fleet service has all.
const SHOWN_REFUSALS: usize = 10;

impl RouteRpc {
    /// A resource as it is, with what proxies refuse of it.
    fn shown<C: Wire>(&self, resource: &Resource<C>) -> C::Message {
        let mut message = C::to_message(resource);
        let refusals = self.fleet.refusals_of(resource.full_name(), SHOWN_REFUSALS);
        C::set_refusals(&mut message, refusals.into_iter().map(proxy_refusal).collect());
        message
    }
}

/// A certificate is live at once: a rollout, a policy or a freeze that held a renewal up would outlast the old one.
fn at_once(options: WriteOptions) -> WriteOptions {
    WriteOptions { landing: Landing::Operator, ..options }
}

fn parts<T>(request: Request<T>) -> Result<(OpContext, T), Status> {
    let ctx = op_context(&request)?;
    Ok((ctx, request.into_inner()))
}

#[tonic::async_trait]
impl RouteService for RouteRpc {
    async fn create_route(
        &self,
        request: Request<wire::CreateRouteRequest>,
    ) -> Result<Response<wire::CreateRouteResponse>, Status> {
        let (ctx, mut message) = parts(request)?;
        ctx.aims_at(format!("routes/{}", message.route_id), message.validate_only);
        let id = std::mem::take(&mut message.request_id);
        let options = options(message.landing, message.validate_only, &id, &message)?;
        let content = content::<RouteDraft>(message.route.as_ref())?;
        let input = Create { id: message.route_id, content, options };
        let made = self.app.create(&ctx, input).await.map_err(status)?;
        Ok(Response::new(wire::CreateRouteResponse { route: Some(self.shown(&made)) }))
    }

    async fn get_route(
        &self,
        request: Request<wire::GetRouteRequest>,
    ) -> Result<Response<wire::GetRouteResponse>, Status> {
        let (ctx, message) = parts(request)?;
        let found = self.app.get::<RouteDraft>(&ctx, &message.name).await.map_err(status)?;
        Ok(Response::new(wire::GetRouteResponse { route: Some(self.shown(&found)) }))
    }

    async fn list_routes(
        &self,
        request: Request<wire::ListRoutesRequest>,
    ) -> Result<Response<wire::ListRoutesResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let input =
            List { page_size: m.page_size, page_token: m.page_token, filter: m.filter, order_by: m.order_by };
        let (page, next_page_token) = self.app.list::<RouteDraft>(&ctx, input).await.map_err(status)?;
        let routes = page.iter().map(|r| self.shown(r)).collect();
        Ok(Response::new(wire::ListRoutesResponse { routes, next_page_token }))
    }

    async fn update_route(
        &self,
        request: Request<wire::UpdateRouteRequest>,
    ) -> Result<Response<wire::UpdateRouteResponse>, Status> {
        let (ctx, mut message) = parts(request)?;
        let name = message.route.as_ref().map(|r| r.name.clone());
        ctx.aims_at(name.unwrap_or_default(), message.validate_only);
        let id = std::mem::take(&mut message.request_id);
        let options = options(message.landing, message.validate_only, &id, &message)?;
        let patch = content::<RouteDraft>(message.route.as_ref())?;
        let route = message.route.unwrap_or_default();
        let input = Update {
            name: route.name,
            etag: route.etag,
            patch,
            mask: message.update_mask.map(|m| m.paths),
            allow_missing: message.allow_missing,
            options,
        };
        let changed = self.app.update(&ctx, input).await.map_err(status)?;
        Ok(Response::new(wire::UpdateRouteResponse { route: Some(self.shown(&changed)) }))
    }

    async fn delete_route(
        &self,
        request: Request<wire::DeleteRouteRequest>,
    ) -> Result<Response<wire::DeleteRouteResponse>, Status> {
        let (ctx, mut message) = parts(request)?;
        ctx.aims_at(&message.name, message.validate_only);
        let id = std::mem::take(&mut message.request_id);
        let options = options(0, message.validate_only, &id, &message)?;
        let input =
            Delete { name: message.name, etag: message.etag, allow_missing: message.allow_missing, options };
        let revision = self.app.delete::<RouteDraft>(&ctx, input).await.map_err(status)?.0;
        Ok(Response::new(wire::DeleteRouteResponse { revision }))
    }

    async fn list_route_revisions(
        &self,
        request: Request<wire::ListRouteRevisionsRequest>,
    ) -> Result<Response<wire::ListRouteRevisionsResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let input = ListRevisions { name: m.name, page_size: m.page_size, page_token: m.page_token };
        let (page, next_page_token) =
            self.app.list_revisions::<RouteDraft>(&ctx, input).await.map_err(status)?;
        let revisions = page.iter().map(RouteDraft::to_revision).collect();
        Ok(Response::new(wire::ListRouteRevisionsResponse { revisions, next_page_token }))
    }

    async fn diff_route_revisions(
        &self,
        request: Request<wire::DiffRouteRevisionsRequest>,
    ) -> Result<Response<wire::DiffRouteRevisionsResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let input = Diff { name: m.name, from: m.from, to: m.to };
        let found = self.app.diff::<RouteDraft>(&ctx, input).await.map_err(status)?;
        Ok(Response::new(wire::DiffRouteRevisionsResponse {
            from: found.from.0,
            to: found.to.0,
            differences: found.differences.into_iter().map(difference).collect(),
        }))
    }

    async fn create_pool(
        &self,
        request: Request<wire::CreatePoolRequest>,
    ) -> Result<Response<wire::CreatePoolResponse>, Status> {
        let (ctx, mut message) = parts(request)?;
        ctx.aims_at(format!("pools/{}", message.pool_id), message.validate_only);
        let id = std::mem::take(&mut message.request_id);
        let options = options(message.landing, message.validate_only, &id, &message)?;
        let content = content::<PoolDraft>(message.pool.as_ref())?;
        let input = Create { id: message.pool_id, content, options };
        let made = self.app.create(&ctx, input).await.map_err(status)?;
        Ok(Response::new(wire::CreatePoolResponse { pool: Some(self.shown(&made)) }))
    }

    async fn get_pool(
        &self,
        request: Request<wire::GetPoolRequest>,
    ) -> Result<Response<wire::GetPoolResponse>, Status> {
        let (ctx, message) = parts(request)?;
        let found = self.app.get::<PoolDraft>(&ctx, &message.name).await.map_err(status)?;
        Ok(Response::new(wire::GetPoolResponse { pool: Some(self.shown(&found)) }))
    }

    async fn list_pools(
        &self,
        request: Request<wire::ListPoolsRequest>,
    ) -> Result<Response<wire::ListPoolsResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let input =
            List { page_size: m.page_size, page_token: m.page_token, filter: m.filter, order_by: m.order_by };
        let (page, next_page_token) = self.app.list::<PoolDraft>(&ctx, input).await.map_err(status)?;
        let pools = page.iter().map(|r| self.shown(r)).collect();
        Ok(Response::new(wire::ListPoolsResponse { pools, next_page_token }))
    }

    async fn update_pool(
        &self,
        request: Request<wire::UpdatePoolRequest>,
    ) -> Result<Response<wire::UpdatePoolResponse>, Status> {
        let (ctx, mut message) = parts(request)?;
        let name = message.pool.as_ref().map(|r| r.name.clone());
        ctx.aims_at(name.unwrap_or_default(), message.validate_only);
        let id = std::mem::take(&mut message.request_id);
        let options = options(message.landing, message.validate_only, &id, &message)?;
        let patch = content::<PoolDraft>(message.pool.as_ref())?;
        let pool = message.pool.unwrap_or_default();
        let input = Update {
            name: pool.name,
            etag: pool.etag,
            patch,
            mask: message.update_mask.map(|m| m.paths),
            allow_missing: message.allow_missing,
            options,
        };
        let changed = self.app.update(&ctx, input).await.map_err(status)?;
        Ok(Response::new(wire::UpdatePoolResponse { pool: Some(self.shown(&changed)) }))
    }

    async fn delete_pool(
        &self,
        request: Request<wire::DeletePoolRequest>,
    ) -> Result<Response<wire::DeletePoolResponse>, Status> {
        let (ctx, mut message) = parts(request)?;
        ctx.aims_at(&message.name, message.validate_only);
        let id = std::mem::take(&mut message.request_id);
        let options = options(0, message.validate_only, &id, &message)?;
        let input =
            Delete { name: message.name, etag: message.etag, allow_missing: message.allow_missing, options };
        let revision = self.app.delete::<PoolDraft>(&ctx, input).await.map_err(status)?.0;
        Ok(Response::new(wire::DeletePoolResponse { revision }))
    }

    async fn list_pool_revisions(
        &self,
        request: Request<wire::ListPoolRevisionsRequest>,
    ) -> Result<Response<wire::ListPoolRevisionsResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let input = ListRevisions { name: m.name, page_size: m.page_size, page_token: m.page_token };
        let (page, next_page_token) =
            self.app.list_revisions::<PoolDraft>(&ctx, input).await.map_err(status)?;
        let revisions = page.iter().map(PoolDraft::to_revision).collect();
        Ok(Response::new(wire::ListPoolRevisionsResponse { revisions, next_page_token }))
    }

    async fn diff_pool_revisions(
        &self,
        request: Request<wire::DiffPoolRevisionsRequest>,
    ) -> Result<Response<wire::DiffPoolRevisionsResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let input = Diff { name: m.name, from: m.from, to: m.to };
        let found = self.app.diff::<PoolDraft>(&ctx, input).await.map_err(status)?;
        Ok(Response::new(wire::DiffPoolRevisionsResponse {
            from: found.from.0,
            to: found.to.0,
            differences: found.differences.into_iter().map(difference).collect(),
        }))
    }

    async fn create_certificate(
        &self,
        request: Request<wire::CreateCertificateRequest>,
    ) -> Result<Response<wire::CreateCertificateResponse>, Status> {
        let (ctx, mut message) = parts(request)?;
        ctx.aims_at(format!("certificates/{}", message.certificate_id), message.validate_only);
        let id = std::mem::take(&mut message.request_id);
        let options = at_once(options(0, message.validate_only, &id, &message)?);
        let content = content::<CertificateDraft>(message.certificate.as_ref())?;
        let input = Create { id: message.certificate_id, content, options };
        let made = self.app.create(&ctx, input).await.map_err(status)?;
        Ok(Response::new(wire::CreateCertificateResponse { certificate: Some(self.shown(&made)) }))
    }

    async fn get_certificate(
        &self,
        request: Request<wire::GetCertificateRequest>,
    ) -> Result<Response<wire::GetCertificateResponse>, Status> {
        let (ctx, message) = parts(request)?;
        let found = self.app.get::<CertificateDraft>(&ctx, &message.name).await.map_err(status)?;
        Ok(Response::new(wire::GetCertificateResponse { certificate: Some(self.shown(&found)) }))
    }

    async fn list_certificates(
        &self,
        request: Request<wire::ListCertificatesRequest>,
    ) -> Result<Response<wire::ListCertificatesResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let input =
            List { page_size: m.page_size, page_token: m.page_token, filter: m.filter, order_by: m.order_by };
        let (page, next_page_token) = self.app.list::<CertificateDraft>(&ctx, input).await.map_err(status)?;
        let certificates = page.iter().map(|r| self.shown(r)).collect();
        Ok(Response::new(wire::ListCertificatesResponse { certificates, next_page_token }))
    }

    async fn update_certificate(
        &self,
        request: Request<wire::UpdateCertificateRequest>,
    ) -> Result<Response<wire::UpdateCertificateResponse>, Status> {
        let (ctx, mut message) = parts(request)?;
        let name = message.certificate.as_ref().map(|r| r.name.clone());
        ctx.aims_at(name.unwrap_or_default(), message.validate_only);
        let id = std::mem::take(&mut message.request_id);
        let options = at_once(options(0, message.validate_only, &id, &message)?);
        let patch = content::<CertificateDraft>(message.certificate.as_ref())?;
        let certificate = message.certificate.unwrap_or_default();
        let input = Update {
            name: certificate.name,
            etag: certificate.etag,
            patch,
            mask: message.update_mask.map(|m| m.paths),
            allow_missing: message.allow_missing,
            options,
        };
        let changed = self.app.update(&ctx, input).await.map_err(status)?;
        Ok(Response::new(wire::UpdateCertificateResponse { certificate: Some(self.shown(&changed)) }))
    }

    async fn delete_certificate(
        &self,
        request: Request<wire::DeleteCertificateRequest>,
    ) -> Result<Response<wire::DeleteCertificateResponse>, Status> {
        let (ctx, mut message) = parts(request)?;
        ctx.aims_at(&message.name, message.validate_only);
        let id = std::mem::take(&mut message.request_id);
        let options = at_once(options(0, message.validate_only, &id, &message)?);
        let input =
            Delete { name: message.name, etag: message.etag, allow_missing: message.allow_missing, options };
        let revision = self.app.delete::<CertificateDraft>(&ctx, input).await.map_err(status)?.0;
        Ok(Response::new(wire::DeleteCertificateResponse { revision }))
    }

    async fn list_certificate_revisions(
        &self,
        request: Request<wire::ListCertificateRevisionsRequest>,
    ) -> Result<Response<wire::ListCertificateRevisionsResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let input = ListRevisions { name: m.name, page_size: m.page_size, page_token: m.page_token };
        let (page, next_page_token) =
            self.app.list_revisions::<CertificateDraft>(&ctx, input).await.map_err(status)?;
        let revisions = page.iter().map(CertificateDraft::to_revision).collect();
        Ok(Response::new(wire::ListCertificateRevisionsResponse { revisions, next_page_token }))
    }

    async fn diff_certificate_revisions(
        &self,
        request: Request<wire::DiffCertificateRevisionsRequest>,
    ) -> Result<Response<wire::DiffCertificateRevisionsResponse>, Status> {
        let (ctx, m) = parts(request)?;
        let input = Diff { name: m.name, from: m.from, to: m.to };
        let found = self.app.diff::<CertificateDraft>(&ctx, input).await.map_err(status)?;
        Ok(Response::new(wire::DiffCertificateRevisionsResponse {
            from: found.from.0,
            to: found.to.0,
            differences: found.differences.into_iter().map(difference).collect(),
        }))
    }

    async fn explain_request(
        &self,
        request: Request<wire::ExplainRequestRequest>,
    ) -> Result<Response<wire::ExplainRequestResponse>, Status> {
        let (_, message) = parts(request)?;
        let described = Described::parse(message.clone()).map_err(WireError::invalid)?;
        if !message.proxy.is_empty() {
            let told = live::explain(&self.app, &self.fleet, &self.questions, message).await?;
            return Ok(Response::new(told));
        }
        let (revision, resources) = self.feed.everything();
        Ok(Response::new(explain::run(described, revision.0, resources).await?))
    }

    async fn set_backend_state(
        &self,
        request: Request<wire::SetBackendStateRequest>,
    ) -> Result<Response<wire::SetBackendStateResponse>, Status> {
        let (ctx, mut message) = parts(request)?;
        let id = std::mem::take(&mut message.request_id);
        let options = WriteOptions { landing: Landing::Operator, ..options(0, false, &id, &message)? };
        let state = state_from_wire(message.state).ok_or_else(|| {
            Status::from(WireError::invalid(Violations::one("state", "is not a value of BackendState")))
        })?;
        let input = SetBackendState { pool: message.pool, address: message.address, state, options };
        let revision = self.app.set_backend_state(&ctx, input).await.map_err(status)?.0;
        Ok(Response::new(wire::SetBackendStateResponse { revision }))
    }
}
