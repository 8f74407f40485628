//! What routes, pools and certificates have in common for a client: names, calls, columns, revisions.

use std::borrow::Cow;
use std::future::Future;

use hotswap_api::rollout::v1::Landing;
use hotswap_api::route::v1::FieldDifference;
use prost_types::Timestamp;
use tonic::Status;

use crate::client::Api;
use crate::output::Show;

mod certificates;
mod kinds;

/// The kinds of resources, in the order in which they must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ResourceKind {
    /// A certificate.
    Certificate,
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
    /// It is kept, and carries no traffic.
    pub(crate) draft: bool,
    pub(crate) request_id: String,
}

impl<R> Write<R> {
    /// How it lands.
    fn landing(&self) -> i32 {
        if self.draft { Landing::Draft } else { Landing::Live }.into()
    }
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

/// A page of something, and the token of the next; empty: this was the last.
pub(crate) type Page<T> = (Vec<T>, String);

/// One revision of a resource, as the contract tells it.
pub(crate) trait RevisionOf<R>: prost::Message + Clone + Default + 'static {
    /// The kind in documents.
    const KIND: &'static str;
    /// The message in the contract.
    const MESSAGE: &'static str;

    fn revision(&self) -> i64;
    /// What the revision left; `None`: it deleted it.
    fn resource(&self) -> Option<&R>;
    fn at(&self) -> Option<&Timestamp>;
    fn actor(&self) -> &str;
}

/// What differs between two revisions of a resource.
pub(crate) struct Compared {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) differences: Vec<FieldDifference>,
}

/// A kind of resource that the client can handle.
pub(crate) trait Resource: prost::Message + Show + Default + Clone + PartialEq + 'static {
    /// The kind in documents.
    const KIND: &'static str;
    /// The first part of its names.
    const COLLECTION: &'static str;
    /// The message in the contract.
    const MESSAGE: &'static str;
    /// One revision of it.
    type Revision: RevisionOf<Self>;

    fn name(&self) -> &str;
    fn revision(&self) -> i64;
    fn etag(&self) -> &str;
    fn set_etag(&mut self, etag: String);
    /// Whether it is what a draft says, and never was live.
    fn is_draft(&self) -> bool;
    /// The pools that it needs, each with the field that a write names it by.
    fn pools(&self) -> impl Iterator<Item = (Cow<'static, str>, &str)>;
    /// Itself without what the server writes, for comparing.
    fn content(&self) -> Self;

    fn get(api: &Api, name: String) -> impl Future<Output = Result<Self, Status>> + Send;
    /// A page, and the token of the next.
    fn list(api: &Api, query: Query) -> impl Future<Output = Result<Page<Self>, Status>> + Send;
    /// Makes it; refused where it is there.
    fn create(api: &Api, write: Write<Self>) -> impl Future<Output = Result<Self, Status>> + Send;
    /// Writes the whole resource; makes it where it is missing.
    fn put(api: &Api, write: Write<Self>) -> impl Future<Output = Result<Self, Status>> + Send;
    fn delete(api: &Api, delete: Delete) -> impl Future<Output = Result<(), Status>> + Send;
    /// A page of what it has been, newest first.
    fn revisions(
        api: &Api,
        name: String,
        page_size: i32,
        page_token: String,
    ) -> impl Future<Output = Result<Page<Self::Revision>, Status>> + Send;
    /// Compares two revisions; 0 stands for the one before, and for the newest.
    fn diff(
        api: &Api,
        name: String,
        from: i64,
        to: i64,
    ) -> impl Future<Output = Result<Compared, Status>> + Send;
}
