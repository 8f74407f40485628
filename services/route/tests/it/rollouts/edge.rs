//! A proxy that takes what it gets, as a real one would, and says what a test has it say.

use std::collections::BTreeMap;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::watch_config_request::Message as Say;
use hotswap_api::gateway::v1::watch_config_response::Message as Hear;
use hotswap_core::SetDigest;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::harness::Server;

/// What a proxy has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) revision: i64,
    pub(crate) resources: BTreeMap<String, wire::Resource>,
    /// What each delta brought: names of resources.
    pub(crate) deltas: Vec<Vec<String>>,
}

/// How a proxy takes what it gets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Manner {
    /// It takes everything.
    #[default]
    Takes,
    /// It refuses resources with a candidate.
    RefusesCandidates,
    /// It takes what it gets first, and acknowledges nothing more.
    Dawdles,
}

pub(crate) struct Edge {
    say: mpsc::Sender<wire::WatchConfigRequest>,
    held: watch::Receiver<Held>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A proxy that knows candidates.
pub(crate) fn hello(proxy: &str) -> wire::Hello {
    wire::Hello {
        proxy: proxy.to_owned(),
        instance_id: format!("{proxy}/1"),
        features: vec!["rollouts".to_owned()],
        ..Default::default()
    }
}

impl Edge {
    pub(crate) async fn new(server: &Server, proxy: &str) -> Self {
        Self::connect(server, hello(proxy), Manner::Takes).await
    }

    /// Connects, and has taken the snapshot.
    pub(crate) async fn connect(server: &Server, hello: wire::Hello, manner: Manner) -> Self {
        let (say, outbound) = mpsc::channel(64);
        say.send(message(Say::Hello(hello))).await.expect("room");
        let mut client = server.distribution().await;
        let hear = client.watch_config(ReceiverStream::new(outbound)).await.expect("opens").into_inner();
        let (to, mut held) = watch::channel(Held::default());
        let task = tokio::spawn(follow(hear, say.clone(), to, manner));
        held.wait_for(|held| held.revision > 0).await.expect("alive");
        Self { say, held, task }
    }

    pub(crate) async fn say(&self, what: Say) {
        self.say.send(message(what)).await.expect("room");
    }

    /// What it has once this holds.
    pub(crate) async fn when(&self, holds: impl FnMut(&Held) -> bool) -> Held {
        self.held.clone().wait_for(holds).await.expect("alive").clone()
    }

    pub(crate) fn has(&self) -> Held {
        self.held.borrow().clone()
    }

    pub(crate) fn candidate(&self, name: &str) -> Option<wire::Candidate> {
        self.has().resources.get(name)?.candidate.clone()
    }
}

fn message(what: Say) -> wire::WatchConfigRequest {
    wire::WatchConfigRequest { message: Some(what) }
}

/// Applies what comes, checks its digest, and acknowledges it.
async fn follow(
    mut hear: Streaming<wire::WatchConfigResponse>,
    say: mpsc::Sender<wire::WatchConfigRequest>,
    to: watch::Sender<Held>,
    manner: Manner,
) {
    let mut held = Held::default();
    while let Ok(Some(heard)) = hear.message().await {
        let nonce = heard.nonce;
        let (at, digest, refused) = match heard.message {
            Some(Hear::Snapshot(chunk)) => {
                held.resources.extend(chunk.resources.into_iter().map(|r| (r.name.clone(), r)));
                (chunk.at, chunk.digest, Vec::new())
            }
            Some(Hear::Delta(delta)) => {
                assert_eq!(delta.from, held.revision);
                held.deltas.push(delta.upserts.iter().map(|r| r.name.clone()).collect());
                let refuses =
                    |r: &wire::Resource| manner == Manner::RefusesCandidates && r.candidate.is_some();
                let refused: Vec<_> = delta.upserts.iter().filter(|r| refuses(r)).map(refusal).collect();
                held.resources.extend(delta.upserts.into_iter().map(|r| (r.name.clone(), r)));
                delta.removes.iter().for_each(|name| drop(held.resources.remove(name)));
                (delta.to, delta.digest, refused)
            }
            _ => continue,
        };
        let mut sum = SetDigest::default();
        held.resources.values().for_each(|r| sum.insert(&r.name, r.version));
        assert_eq!(*digest, sum.to_bytes(), "the digest fits what came");
        let at = at.expect("a place");
        let first = held.revision == 0;
        held.revision = at.revision;
        if !refused.is_empty() {
            let refusal = wire::Refusal { nonce: nonce.clone(), errors: refused, whole: false };
            say.send(message(Say::Refusal(refusal))).await.expect("room");
        }
        if first || manner != Manner::Dawdles {
            let stage = wire::ack::Stage::Active.into();
            let ack = wire::Ack { nonce, stage, at: Some(at), ..Default::default() };
            say.send(message(Say::Ack(ack))).await.expect("room");
        }
        to.send_replace(held.clone());
    }
}

fn refusal(resource: &wire::Resource) -> wire::ResourceError {
    wire::ResourceError {
        name: resource.name.clone(),
        version: resource.version,
        field: "candidate.route".into(),
        reason: "INVALID_INPUT".into(),
        message: "it does not like it".into(),
    }
}
