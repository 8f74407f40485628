//! Watchers: each a stream of its own, as a proxy would have, several on one connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hotswap_api::gateway::v1::config_distribution_service_client::ConfigDistributionServiceClient;
use hotswap_api::gateway::v1::watch_config_request::Message as ToServer;
use hotswap_api::gateway::v1::watch_config_response::Message as ToProxy;
use hotswap_api::gateway::v1::{Ack, Delta, Hello, ResumeToken, WatchConfigRequest, ack::Stage};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::super::args::Peer;
use super::board::Board;
use super::client::{authorized, bearer};
use super::connection::{Traffic, connect};
use super::etcd_api::etcdserverpb::watch_client::WatchClient;
use super::etcd_api::etcdserverpb::{WatchCreateRequest, WatchRequest, watch_request::RequestUnion};
use super::server::Server;

const BEGIN_LIMIT: Duration = Duration::from_secs(120);
/// Watchers that begin at once.
const AT_ONCE: usize = 20;

/// Watchers of one server, for as long as this lives.
pub(crate) struct Watchers {
    /// What they have seen.
    pub(crate) board: Arc<Board>,
    /// What their connections carried.
    pub(crate) traffic: Arc<Traffic>,
    stalled: watch::Sender<bool>,
    late: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

/// How the watchers of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How many.
    pub(crate) watchers: usize,
    /// How many share a connection.
    pub(crate) per_connection: usize,
    /// One that stops reading when it is told to.
    pub(crate) stall: Option<usize>,
}

/// What one watcher needs.
struct Watcher {
    index: usize,
    channel: Channel,
    board: Arc<Board>,
    token: MetadataValue<Ascii>,
    /// Whether it is to stop reading; `None` for nearly all.
    stalled: Option<watch::Receiver<bool>>,
    /// Whether it acknowledges a change only when all have it.
    late: watch::Receiver<bool>,
}

impl Watchers {
    /// Connects them all, and waits until each has what is there.
    pub(crate) async fn connect(server: &Server, shape: Shape) -> Result<Self> {
        let (board, traffic) = (Arc::new(Board::new(shape.watchers)), Arc::<Traffic>::default());
        let (stalled, stalls) = watch::channel(false);
        let late = watch::Sender::new(false);
        let token = bearer(&server.gateway_token)?;
        let mut tasks = JoinSet::new();
        let mut channels = Vec::new();
        for index in 0..shape.watchers {
            if index.is_multiple_of(shape.per_connection.max(1)) {
                channels.push(connect(server.address, &traffic).await?);
            }
            let channel = channels.last().context("no connection")?.clone();
            let stalled = (shape.stall == Some(index)).then(|| stalls.clone());
            let all = &board;
            let (board, token, late) = (Arc::clone(all), token.clone(), late.subscribe());
            let watcher = Watcher { index, channel, board, token, stalled, late };
            tasks.spawn(watcher.run(server.peer));
            if index >= AT_ONCE {
                all.begun_at_least(index - AT_ONCE, BEGIN_LIMIT).await?;
            }
        }
        board.begun_at_least(shape.watchers, BEGIN_LIMIT).await?;
        Ok(Self { board, traffic, stalled, late, _tasks: tasks })
    }

    /// Whether from here on each acknowledges a change only when all have it. Where the watchers share a machine, as here
    /// and as proxies do not, what it costs to acknowledge delays those that have not read yet.
    pub(crate) fn acknowledge_late(&self, late: bool) {
        self.late.send_replace(late);
    }

    /// From here on the one that is to stall reads no more.
    pub(crate) fn stall(&self) {
        self.stalled.send_replace(true);
    }
}

impl Watcher {
    async fn run(mut self, peer: Peer) {
        let ended = match peer {
            Peer::Hotswap => self.hotswap().await,
            Peer::Etcd => self.etcd().await,
        };
        // No stream may end while the run lasts.
        let why = ended.err().map_or_else(|| "the server ended the stream".to_owned(), |e| format!("{e:#}"));
        self.board.fail(self.index, &why);
    }

    /// Never returns where this is the one that stalls, once it is told to.
    async fn may_read(&mut self) {
        if let Some(stalled) = &self.stalled
            && *stalled.borrow()
        {
            std::future::pending::<()>().await;
        }
    }

    async fn etcd(&mut self) -> Result<()> {
        let (requests, stream) = mpsc::channel(1);
        // Every key that begins so.
        let create =
            WatchCreateRequest { key: "routes/".into(), range_end: "routes0".into(), progress_notify: false };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        requests.send(create).await?;
        let mut client = WatchClient::new(self.channel.clone());
        let mut answers = client.watch(ReceiverStream::new(stream)).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            if answer.canceled {
                bail!("the server ended the watch: {}", answer.cancel_reason);
            }
            let head = answer.header.map_or(0, |h| h.revision);
            if answer.created {
                self.board.begun(self.index, head);
            }
            let revisions = answer.events.iter().filter_map(|e| Some(e.kv.as_ref()?.mod_revision));
            if let Some(last) = revisions.clone().max() {
                self.board.saw(self.index, last, revisions);
            }
            self.may_read().await;
        }
        Ok(())
    }

    async fn hotswap(&mut self) -> Result<()> {
        let (requests, stream) = mpsc::channel(8);
        requests.send(hello(self.index)).await?;
        let mut client = ConfigDistributionServiceClient::new(self.channel.clone());
        let request = authorized(ReceiverStream::new(stream), &self.token);
        let mut answers = client.watch_config(request).await?.into_inner();
        let mut place = None;
        while let Some(answer) = answers.message().await? {
            let (at, digest) = match answer.message {
                Some(ToProxy::Delta(delta)) => self.delta(delta, &mut place)?,
                Some(ToProxy::Snapshot(chunk)) if chunk.last => {
                    let at = chunk.at.context("a snapshot without a place")?;
                    place = Some(at.revision);
                    self.board.begun(self.index, at.revision);
                    (at, chunk.digest)
                }
                Some(ToProxy::Snapshot(_) | ToProxy::Bookmark(_)) => continue,
                other => bail!("the server sent {other:?}"),
            };
            if *self.late.borrow() {
                self.board.done(at.revision).await;
            }
            let ack = Ack {
                nonce: answer.nonce,
                stage: Stage::Active.into(),
                at: Some(at),
                digest,
                elapsed_us: 1,
                validated_us: 1,
            };
            requests.send(WatchConfigRequest { message: Some(ToServer::Ack(ack)) }).await?;
            self.may_read().await;
        }
        Ok(())
    }

    /// Takes in a delta, which must begin where this watcher stands.
    fn delta(&self, delta: Delta, place: &mut Option<i64>) -> Result<(ResumeToken, prost::bytes::Bytes)> {
        let to = delta.to.context("a delta without a place")?;
        if *place != Some(delta.from) {
            bail!("a delta from {} to {} for a watcher at {place:?}", delta.from, to.revision);
        }
        self.board.saw(self.index, to.revision, delta.upserts.iter().map(|r| r.version));
        *place = Some(to.revision);
        Ok((to, delta.digest))
    }
}

fn hello(index: usize) -> WatchConfigRequest {
    let hello = Hello {
        proxy: format!("watcher-{index}"),
        instance_id: format!("00000000-0000-7000-8000-{index:012}"),
        labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
        build_version: "0.1.0".to_owned(),
        ..Default::default()
    };
    WatchConfigRequest { message: Some(ToServer::Hello(hello)) }
}
