//! What routes and pools have in common for a client: names, calls, columns.

use std::future::Future;

use hotswap_api::route::v1::{
    DeletePoolRequest, DeleteRouteRequest, Forward, GetPoolRequest, GetRouteRequest, ListPoolsRequest,
    ListRoutesRequest, Pool, Route, UpdatePoolRequest, UpdateRouteRequest, forward, route,
};
use prost_types::FieldMask;
use tonic::Status;

use crate::client::Api;
use crate::columns;

/// The kinds of resources, in the order in which they must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ResourceKind {
    /// A pool; routes point at it.
    Pool,
    /// A route.
    Route,
}

/// What a list shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) filter: String,
    pub(crate) order_by: String,
    pub(crate) page_size: i32,
    pub(crate) page_token: String,
}

/// A write.
pub(crate) struct Write<R> {
    pub(crate) resource: R,
    pub(crate) validate_only: bool,
    pub(crate) request_id: String,
}

/// A deletion.
#[derive(Clone, Debug)]
pub(crate) struct Delete {
    pub(crate) name: String,
    pub(crate) etag: String,
    pub(crate) validate_only: bool,
    pub(crate) allow_missing: bool,
    pub(crate) request_id: String,
}

/// A kind of resource that the client can handle.
pub(crate) trait Resource: prost::Message + Default + Clone + PartialEq + 'static {
    /// The kind in documents.
    const KIND: &'static str;
    /// The first part of its names.
    const COLLECTION: &'static str;
    /// The message in the contract.
    const MESSAGE: &'static str;
    /// The heads of the table's columns.
    const COLUMNS: &'static [&'static str];

    fn name(&self) -> &str;
    /// The row of the table; `now` in seconds since 1970.
    fn row(&self, now: i64) -> Vec<String>;
    /// The pool that it needs.
    fn pool(&self) -> Option<&str>;
    /// Itself without what the server writes, for comparing.
    fn content(&self) -> Self;

    fn get(api: &Api, name: String) -> impl Future<Output = Result<Self, Status>> + Send;
    /// A page, and the token of the next.
    fn list(api: &Api, query: Query) -> impl Future<Output = Result<(Vec<Self>, String), Status>> + Send;
    /// Writes the whole resource; makes it where it is missing.
    fn put(api: &Api, write: Write<Self>) -> impl Future<Output = Result<Self, Status>> + Send;
    fn delete(api: &Api, delete: Delete) -> impl Future<Output = Result<(), Status>> + Send;
}

/// An answer without the resource it promises.
fn hollow() -> Status {
    Status::internal("the server's answer holds no resource")
}

fn all_fields() -> Option<FieldMask> {
    Some(FieldMask { paths: vec!["*".into()] })
}

impl Resource for Route {
    const KIND: &'static str = "Route";
    const COLLECTION: &'static str = "routes";
    const MESSAGE: &'static str = "hotswap.route.v1.Route";
    const COLUMNS: &'static [&'static str] = columns::ROUTE;

    fn name(&self) -> &str {
        &self.name
    }

    fn row(&self, now: i64) -> Vec<String> {
        columns::route(self, now)
    }

    fn pool(&self) -> Option<&str> {
        match self.action.as_ref()? {
            route::Action::Forward(Forward { target: Some(forward::Target::Pool(pool)), .. }) => Some(pool),
            route::Action::Forward(_) | route::Action::Redirect(_) => None,
        }
    }

    fn content(&self) -> Self {
        Self {
            etag: String::new(),
            revision: 0,
            uid: String::new(),
            create_time: None,
            update_time: None,
            standing: None,
            ..self.clone()
        }
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

    async fn put(api: &Api, write: Write<Self>) -> Result<Self, Status> {
        let request = UpdateRouteRequest {
            route: Some(write.resource),
            update_mask: all_fields(),
            validate_only: write.validate_only,
            request_id: write.request_id,
            allow_missing: true,
            ..UpdateRouteRequest::default()
        };
        api.routes.clone().update_route(request).await?.into_inner().route.ok_or_else(hollow)
    }

    async fn delete(api: &Api, delete: Delete) -> Result<(), Status> {
        let Delete { name, etag, validate_only, allow_missing, request_id } = delete;
        let request = DeleteRouteRequest { name, etag, validate_only, request_id, allow_missing };
        api.routes.clone().delete_route(request).await.map(drop)
    }
}

impl Resource for Pool {
    const KIND: &'static str = "Pool";
    const COLLECTION: &'static str = "pools";
    const MESSAGE: &'static str = "hotswap.route.v1.Pool";
    const COLUMNS: &'static [&'static str] = columns::POOL;

    fn name(&self) -> &str {
        &self.name
    }

    fn row(&self, now: i64) -> Vec<String> {
        columns::pool(self, now)
    }

    fn pool(&self) -> Option<&str> {
        None
    }

    fn content(&self) -> Self {
        Self {
            etag: String::new(),
            revision: 0,
            uid: String::new(),
            create_time: None,
            update_time: None,
            standing: None,
            ..self.clone()
        }
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

    async fn put(api: &Api, write: Write<Self>) -> Result<Self, Status> {
        let request = UpdatePoolRequest {
            pool: Some(write.resource),
            update_mask: all_fields(),
            validate_only: write.validate_only,
            request_id: write.request_id,
            allow_missing: true,
            ..UpdatePoolRequest::default()
        };
        api.routes.clone().update_pool(request).await?.into_inner().pool.ok_or_else(hollow)
    }

    async fn delete(api: &Api, delete: Delete) -> Result<(), Status> {
        let Delete { name, etag, validate_only, allow_missing, request_id } = delete;
        let request = DeletePoolRequest { name, etag, validate_only, request_id, allow_missing };
        api.routes.clone().delete_pool(request).await.map(drop)
    }
}
