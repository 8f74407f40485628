//! Routes and pools, call by call.

use std::borrow::Cow;
use std::iter;

use hotswap_api::route::v1::{
    Backend, BackendState, CreatePoolRequest, CreateRouteRequest, DeletePoolRequest, DeleteRouteRequest,
    DiffPoolRevisionsRequest, DiffPoolRevisionsResponse, DiffRouteRevisionsRequest,
    DiffRouteRevisionsResponse, GetPoolRequest, GetRouteRequest, ListPoolRevisionsRequest, ListPoolsRequest,
    ListRouteRevisionsRequest, ListRoutesRequest, Pool, PoolRevision, Route, RouteRevision,
    UpdatePoolRequest, UpdateRouteRequest, forward, mirror, route,
};
use hotswap_core::Reason;
use hotswap_rpc::WireError;
use prost_types::{FieldMask, Timestamp};
use tonic::Status;

use super::{Compared, Delete, Page, Query, Resource, RevisionOf, Write};
use crate::client::Api;
use crate::columns;
use crate::exit::Failure;
use crate::output::Show;
use crate::proto_json::Document;
use crate::style::Cell;

/// An answer without the resource it promises.
pub(super) fn hollow() -> Status {
    WireError::new(Reason::Internal, "the server's answer holds no resource").into()
}

/// Takes out what the server adds to a backend. A state that somebody has set stays: it is a change worth telling.
fn as_written(backend: &mut Backend) {
    backend.share_percent = 0.0;
    if backend.state == i32::from(BackendState::Enabled) {
        backend.state = BackendState::Unspecified.into();
    }
}

pub(super) fn all_fields() -> Option<FieldMask> {
    Some(FieldMask { paths: vec!["*".into()] })
}

impl Resource for Route {
    const KIND: &'static str = "Route";
    const COLLECTION: &'static str = "routes";
    const MESSAGE: &'static str = "hotswap.route.v1.Route";
    type Revision = RouteRevision;

    fn name(&self) -> &str {
        &self.name
    }

    fn revision(&self) -> i64 {
        self.revision
    }

    fn etag(&self) -> &str {
        &self.etag
    }

    fn set_etag(&mut self, etag: String) {
        self.etag = etag;
    }

    fn is_draft(&self) -> bool {
        self.standing.as_ref().is_some_and(|standing| standing.live_revision == 0)
    }

    fn pools(&self) -> impl Iterator<Item = (Cow<'static, str>, &str)> {
        let forward = match &self.action {
            Some(route::Action::Forward(forward)) => Some(forward),
            Some(route::Action::Redirect(_)) | None => None,
        };
        let of_requests = match forward.and_then(|forward| forward.target.as_ref()) {
            Some(forward::Target::Pool(pool)) => Some(("route.forward.pool".into(), pool.as_str())),
            Some(forward::Target::Inline(_)) | None => None,
        };
        let of_split = forward.into_iter().flat_map(|forward| &forward.split).enumerate();
        let of_split =
            of_split.map(|(i, p)| (format!("route.forward.split[{i}].pool").into(), p.pool.as_str()));
        let mirror = self.traffic.as_ref().and_then(|traffic| traffic.mirror.as_ref());
        let of_copies = match mirror.and_then(|mirror| mirror.target.as_ref()) {
            Some(mirror::Target::Pool(pool)) => Some(("route.traffic.mirror.pool".into(), pool.as_str())),
            Some(mirror::Target::Inline(_)) | None => None,
        };
        of_requests.into_iter().chain(of_split).chain(of_copies)
    }

    fn content(&self) -> Self {
        let mut content = Self {
            etag: String::new(),
            revision: 0,
            uid: String::new(),
            create_time: None,
            update_time: None,
            standing: None,
            refusals: Vec::new(),
            ..self.clone()
        };
        if let Some(route::Action::Forward(forward)) = &mut content.action
            && let Some(forward::Target::Inline(inline)) = &mut forward.target
        {
            inline.backends.iter_mut().for_each(as_written);
        }
        if let Some(mirror) = content.traffic.as_mut().and_then(|traffic| traffic.mirror.as_mut())
            && let Some(mirror::Target::Inline(inline)) = &mut mirror.target
        {
            inline.backends.iter_mut().for_each(as_written);
        }
        content
    }

    async fn get(api: &Api, name: String) -> Result<Self, Status> {
        let answer = api.routes.clone().get_route(GetRouteRequest { name }).await?;
        answer.into_inner().route.ok_or_else(hollow)
    }

    async fn list(api: &Api, query: Query) -> Result<(Vec<Self>, String), Status> {
        let Query { filter, order_by, page_size, page_token } = query;
        let request = ListRoutesRequest { page_size, page_token, filter, order_by };
        let page = api.routes.clone().list_routes(request).await?.into_inner();
        Ok((page.routes, page.next_page_token))
    }

    async fn create(api: &Api, write: Write<Self>) -> Result<Self, Status> {
        let id = write.resource.name.strip_prefix("routes/").unwrap_or_default().to_owned();
        let landing = write.landing();
        let request = CreateRouteRequest {
            landing,
            route_id: id,
            route: Some(write.resource),
            validate_only: write.validate_only,
            request_id: write.request_id,
        };
        api.routes.clone().create_route(request).await?.into_inner().route.ok_or_else(hollow)
    }

    async fn put(api: &Api, write: Write<Self>) -> Result<Self, Status> {
        let landing = write.landing();
        let request = UpdateRouteRequest {
            landing,
            route: Some(write.resource),
            update_mask: all_fields(),
            validate_only: write.validate_only,
            request_id: write.request_id,
            allow_missing: true,
        };
        api.routes.clone().update_route(request).await?.into_inner().route.ok_or_else(hollow)
    }

    async fn delete(api: &Api, delete: Delete) -> Result<(), Status> {
        let Delete { name, etag, validate_only, allow_missing, request_id } = delete;
        let request = DeleteRouteRequest { name, etag, validate_only, request_id, allow_missing };
        api.routes.clone().delete_route(request).await.map(drop)
    }

    async fn revisions(
        api: &Api,
        name: String,
        page_size: i32,
        page_token: String,
    ) -> Result<Page<RouteRevision>, Status> {
        let request = ListRouteRevisionsRequest { name, page_size, page_token };
        let page = api.routes.clone().list_route_revisions(request).await?.into_inner();
        Ok((page.revisions, page.next_page_token))
    }

    async fn diff(api: &Api, name: String, from: i64, to: i64) -> Result<Compared, Status> {
        let answer =
            api.routes.clone().diff_route_revisions(DiffRouteRevisionsRequest { name, from, to }).await?;
        let DiffRouteRevisionsResponse { from, to, differences } = answer.into_inner();
        Ok(Compared { from, to, differences })
    }
}

impl Show for Route {
    const COLUMNS: &'static [&'static str] = columns::ROUTE;
    const WIDE: &'static [&'static str] = columns::MORE;

    fn called(&self) -> String {
        self.name.clone()
    }

    fn row(&self, wide: bool, now: i64) -> Vec<Cell> {
        columns::route(self, wide, now)
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of(<Self as Resource>::KIND, <Self as Resource>::MESSAGE, self)
    }
}

impl RevisionOf<Route> for RouteRevision {
    const KIND: &'static str = "RouteRevision";
    const MESSAGE: &'static str = "hotswap.route.v1.RouteRevision";

    fn revision(&self) -> i64 {
        self.revision
    }

    fn resource(&self) -> Option<&Route> {
        self.route.as_ref()
    }

    fn at(&self) -> Option<&Timestamp> {
        self.create_time.as_ref()
    }

    fn actor(&self) -> &str {
        &self.actor
    }
}

impl Resource for Pool {
    const KIND: &'static str = "Pool";
    const COLLECTION: &'static str = "pools";
    const MESSAGE: &'static str = "hotswap.route.v1.Pool";
    type Revision = PoolRevision;

    fn name(&self) -> &str {
        &self.name
    }

    fn revision(&self) -> i64 {
        self.revision
    }

    fn etag(&self) -> &str {
        &self.etag
    }

    fn set_etag(&mut self, etag: String) {
        self.etag = etag;
    }

    fn is_draft(&self) -> bool {
        self.standing.as_ref().is_some_and(|standing| standing.live_revision == 0)
    }

    fn pools(&self) -> impl Iterator<Item = (Cow<'static, str>, &str)> {
        iter::empty()
    }

    fn content(&self) -> Self {
        let mut content = Self {
            etag: String::new(),
            revision: 0,
            uid: String::new(),
            create_time: None,
            update_time: None,
            standing: None,
            refusals: Vec::new(),
            ..self.clone()
        };
        content.backends.iter_mut().for_each(as_written);
        content
    }

    async fn get(api: &Api, name: String) -> Result<Self, Status> {
        let answer = api.routes.clone().get_pool(GetPoolRequest { name }).await?;
        answer.into_inner().pool.ok_or_else(hollow)
    }

    async fn list(api: &Api, query: Query) -> Result<(Vec<Self>, String), Status> {
        let Query { filter, order_by, page_size, page_token } = query;
        let request = ListPoolsRequest { page_size, page_token, filter, order_by };
        let page = api.routes.clone().list_pools(request).await?.into_inner();
        Ok((page.pools, page.next_page_token))
    }

    async fn create(api: &Api, write: Write<Self>) -> Result<Self, Status> {
        let id = write.resource.name.strip_prefix("pools/").unwrap_or_default().to_owned();
        let landing = write.landing();
        let request = CreatePoolRequest {
            landing,
            pool_id: id,
            pool: Some(write.resource),
            validate_only: write.validate_only,
            request_id: write.request_id,
        };
        api.routes.clone().create_pool(request).await?.into_inner().pool.ok_or_else(hollow)
    }

    async fn put(api: &Api, write: Write<Self>) -> Result<Self, Status> {
        let landing = write.landing();
        let request = UpdatePoolRequest {
            landing,
            pool: Some(write.resource),
            update_mask: all_fields(),
            validate_only: write.validate_only,
            request_id: write.request_id,
            allow_missing: true,
        };
        api.routes.clone().update_pool(request).await?.into_inner().pool.ok_or_else(hollow)
    }

    async fn delete(api: &Api, delete: Delete) -> Result<(), Status> {
        let Delete { name, etag, validate_only, allow_missing, request_id } = delete;
        let request = DeletePoolRequest { name, etag, validate_only, request_id, allow_missing };
        api.routes.clone().delete_pool(request).await.map(drop)
    }

    async fn revisions(
        api: &Api,
        name: String,
        page_size: i32,
        page_token: String,
    ) -> Result<Page<PoolRevision>, Status> {
        let request = ListPoolRevisionsRequest { name, page_size, page_token };
        let page = api.routes.clone().list_pool_revisions(request).await?.into_inner();
        Ok((page.revisions, page.next_page_token))
    }

    async fn diff(api: &Api, name: String, from: i64, to: i64) -> Result<Compared, Status> {
        let answer =
            api.routes.clone().diff_pool_revisions(DiffPoolRevisionsRequest { name, from, to }).await?;
        let DiffPoolRevisionsResponse { from, to, differences } = answer.into_inner();
        Ok(Compared { from, to, differences })
    }
}

impl Show for Pool {
    const COLUMNS: &'static [&'static str] = columns::POOL;
    const WIDE: &'static [&'static str] = columns::MORE;

    fn called(&self) -> String {
        self.name.clone()
    }

    fn row(&self, wide: bool, now: i64) -> Vec<Cell> {
        columns::pool(self, wide, now)
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of(<Self as Resource>::KIND, <Self as Resource>::MESSAGE, self)
    }
}

impl RevisionOf<Pool> for PoolRevision {
    const KIND: &'static str = "PoolRevision";
    const MESSAGE: &'static str = "hotswap.route.v1.PoolRevision";

    fn revision(&self) -> i64 {
        self.revision
    }

    fn resource(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    fn at(&self) -> Option<&Timestamp> {
        self.create_time.as_ref()
    }

    fn actor(&self) -> &str {
        &self.actor
    }
}
