//! One who writes and reads, on either server.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use hotswap_api::gateway::v1::{Resource, resource::Spec};
use hotswap_api::route::v1::route_service_client::RouteServiceClient;
use hotswap_api::route::v1::{
    Backend, CreatePoolRequest, CreateRouteRequest, Forward, GetRouteRequest, HeaderMatch, PathMatch, Pool,
    Redirect, Route, RouteMatch, Timeouts, UpdateRouteRequest, forward, header_match, path_match, redirect,
    route,
};
use prost::Message as _;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::super::args::Peer;
use super::connection::{Traffic, connect};
use super::etcd_api::etcdserverpb::{PutRequest, RangeRequest, kv_client::KvClient};
use super::server::Server;

const POOL: &str = "bench";

/// A client; its copies share the connection.
#[derive(Clone)]
pub(crate) enum Client {
    /// Of HotSwap.
    Hotswap(Hotswap),
    /// Of etcd.
    Etcd(KvClient<Channel>),
}

/// A client of HotSwap.
#[derive(Clone)]
pub(crate) struct Hotswap {
    pub(crate) routes: RouteServiceClient<Channel>,
    pub(crate) channel: Channel,
    token: MetadataValue<Ascii>,
}

impl Hotswap {
    /// A request with the token.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        authorized(message, &self.token)
    }
}

/// A request that carries a token.
pub(crate) fn authorized<T>(message: T, token: &MetadataValue<Ascii>) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", token.clone());
    request
}

/// A token as a header's value.
pub(crate) fn bearer(token: &str) -> Result<MetadataValue<Ascii>> {
    format!("Bearer {token}").parse().context("a token that is no header's value")
}

/// How etcd reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Whatever was written before is seen; of a server alone on its data, every read is so.
    Linearizable,
    /// As the member has it.
    Serializable,
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> Result<Self> {
        let channel = connect(server.address, &Arc::<Traffic>::default()).await?;
        Ok(match server.peer {
            Peer::Etcd => Self::Etcd(KvClient::new(channel)),
            Peer::Hotswap => {
                let routes = RouteServiceClient::new(channel.clone());
                Self::Hotswap(Hotswap { routes, channel, token: bearer(&server.token)? })
            }
        })
    }

    /// Makes what the routes send to.
    pub(crate) async fn prepare(&mut self) -> Result<()> {
        let Self::Hotswap(client) = self else { return Ok(()) };
        let backend = Backend { address: "127.0.0.1:9".to_owned(), weight: None, ..Backend::default() };
        let pool = Pool { backends: vec![backend], ..Default::default() };
        let message = CreatePoolRequest { pool_id: POOL.to_owned(), pool: Some(pool), ..Default::default() };
        let request = client.request(message);
        client.routes.create_pool(request).await?;
        Ok(())
    }

    /// Makes the route `index`; in etcd a value of `size` bytes. Returns its revision.
    pub(crate) async fn create(&mut self, index: u32, size: usize) -> Result<i64> {
        match self {
            Self::Etcd(_) => self.write(index, 0, size).await,
            Self::Hotswap(client) => client.create(route(index, 0)).await,
        }
    }

    /// Changes the route `index` in the write number `turn`, which makes its content new. Returns the revision.
    pub(crate) async fn write(&mut self, index: u32, turn: u64, size: usize) -> Result<i64> {
        match self {
            Self::Etcd(client) => {
                let put = PutRequest { key: name(index).into(), value: value(turn, size).into() };
                let header = client.put(put).await?.into_inner().header;
                Ok(header.context("an answer without a head")?.revision)
            }
            Self::Hotswap(client) => client.update(route(index, turn)).await,
        }
    }

    /// Reads the route `index`.
    pub(crate) async fn get(&mut self, index: u32, read: Read) -> Result<()> {
        match self {
            Self::Etcd(client) => {
                let serializable = read == Read::Serializable;
                let range =
                    RangeRequest { key: name(index).into(), range_end: Default::default(), serializable };
                match client.range(range).await?.into_inner().kvs.len() {
                    1 => Ok(()),
                    other => bail!("{other} values of {}", name(index)),
                }
            }
            Self::Hotswap(client) => {
                let request = client.request(GetRouteRequest { name: name(index) });
                let route = client.routes.get_route(request).await?.into_inner().route;
                route.map(drop).context("an answer without a route")
            }
        }
    }

    /// Bytes of a route as the watch carries it; `None`: this is not HotSwap.
    pub(crate) async fn route_size(&mut self) -> Result<Option<usize>> {
        let Self::Hotswap(client) = self else { return Ok(None) };
        let request = client.request(GetRouteRequest { name: name(0) });
        let route = client.routes.get_route(request).await?.into_inner().route.context("no route")?;
        let (name, version) = (route.name.clone(), route.revision);
        Ok(Some(Resource { name, version, spec: Some(Spec::Route(route)) }.encoded_len()))
    }
}

impl Hotswap {
    /// Makes a route.
    pub(crate) async fn create(&mut self, route: Route) -> Result<i64> {
        let route_id = route.name.trim_start_matches("routes/").to_owned();
        let message = CreateRouteRequest { route_id, route: Some(route), ..Default::default() };
        let request = self.request(message);
        let made = self.routes.create_route(request).await?.into_inner().route;
        Ok(made.context("an answer without a route")?.revision)
    }

    /// Changes a route.
    pub(crate) async fn update(&mut self, route: Route) -> Result<i64> {
        let message = UpdateRouteRequest { route: Some(route), ..Default::default() };
        let request = self.request(message);
        let written = self.routes.update_route(request).await?.into_inner().route;
        Ok(written.context("an answer without a route")?.revision)
    }
}

/// The name of a route; in etcd, of a key.
fn name(index: u32) -> String {
    format!("routes/r{index}")
}

/// A value of so many bytes that no other write has.
fn value(turn: u64, size: usize) -> Vec<u8> {
    let mut value = format!("{turn:012}").into_bytes();
    value.resize(size.max(12), b'x');
    value
}

/// A route as people write them: about 400 bytes as the watch carries it.
pub(crate) fn route(index: u32, turn: u64) -> Route {
    let labels = [
        ("team", "checkout"),
        ("stage", "production"),
        ("owner", "payments-platform"),
        ("cost-centre", "4711"),
    ];
    let header = HeaderMatch {
        name: "x-region".to_owned(),
        kind: Some(header_match::Kind::Exact("eu-central".to_owned())),
    };
    let condition = RouteMatch {
        path: Some(PathMatch { kind: Some(path_match::Kind::Prefix(format!("/shop/department-{index}"))) }),
        methods: vec!["GET".to_owned(), "POST".to_owned()],
        headers: vec![header],
        ..Default::default()
    };
    let forward = Forward {
        target: Some(forward::Target::Pool(format!("pools/{POOL}"))),
        timeouts: Some(Timeouts { first_byte_ms: 5_000, total_ms: 30_000, idle_ms: 10_000 }),
        ..Default::default()
    };
    Route {
        name: name(index),
        display_name: format!("Department {index} of the shop, in all regions, change {turn:012}"),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        hosts: vec!["shop.example.com".to_owned(), "*.shop.example.com".to_owned()],
        matches: vec![condition],
        action: Some(route::Action::Forward(forward)),
        ..Default::default()
    }
}

/// A route whose answer, made by the gateway itself, names the change: a redirect from "/sign/{index}" to "/v{turn}".
pub(crate) fn signpost(index: u32, turn: u64, host: &str) -> Route {
    let path = PathMatch { kind: Some(path_match::Kind::Prefix(format!("/sign/{index}"))) };
    let redirect = Redirect {
        status: 302,
        path: Some(redirect::Path::FullPath(format!("/v{turn}"))),
        ..Default::default()
    };
    Route {
        name: format!("routes/sign{index}"),
        hosts: vec![host.to_owned()],
        matches: vec![RouteMatch { path: Some(path), ..Default::default() }],
        action: Some(route::Action::Redirect(redirect)),
        ..route(index, turn)
    }
}
