//! One proxy's stream. At most one change is unacknowledged; what comes meanwhile is coalesced behind it.

use std::time::Duration;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::ack::Stage;
use hotswap_api::gateway::v1::watch_config_request::Message as FromProxy;
use hotswap_api::gateway::v1::watch_config_response::Message as ToProxy;
use hotswap_api::gateway::v1::{Reset, reset::Why};
use hotswap_core::{Revision, Violations, check_id};
use hotswap_rpc::WireError;
use hotswap_runtime::CancellationToken;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tonic::{Code, Status, Streaming};

use super::feed::{Feed, Step};
use crate::rpc::fleet::Fleet;

const HELLO_WITHIN: Duration = Duration::from_secs(10);
const BOOKMARK_EVERY: Duration = Duration::from_secs(10);
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// Resources in one part of a snapshot.
const CHUNK: usize = 500;

type Out = mpsc::Sender<Result<wire::WatchConfigResponse, Status>>;

/// A stream from its hello to its end.
pub(super) struct Session {
    feed: Feed,
    fleet: Fleet,
    out: Out,
    nonces: u64,
    /// The place that the proxy has, or will have once it acknowledges.
    sent: Revision,
    /// The nonce that is not yet acknowledged as active.
    open: Option<String>,
}

/// Who speaks, in the fleet.
struct Speaker {
    proxy: String,
    session: u64,
}

impl Session {
    pub(super) fn new(feed: Feed, fleet: Fleet, out: Out) -> Self {
        Self { feed, fleet, out, nonces: 0, sent: Revision::ZERO, open: None }
    }

    /// Runs until the proxy leaves or the process ends.
    pub(super) async fn run(
        mut self,
        mut inbound: Streaming<wire::WatchConfigRequest>,
        shutdown: CancellationToken,
    ) -> Result<(), Status> {
        let hello = self.hello(&mut inbound).await?;
        let speaker = Speaker { proxy: hello.proxy.clone(), session: self.fleet.connect(hello.clone()) };
        tracing::info!(proxy = speaker.proxy, "proxy connected");
        let ended = self.serve(&speaker, &hello, &mut inbound, shutdown).await;
        self.fleet.disconnect(&speaker.proxy, speaker.session);
        tracing::info!(proxy = speaker.proxy, "proxy disconnected");
        ended
    }

    async fn hello(&self, inbound: &mut Streaming<wire::WatchConfigRequest>) -> Result<wire::Hello, Status> {
        let late = || WireError::new(Code::DeadlineExceeded, "HELLO_MISSING", "no hello within 10 s");
        let first = timeout(HELLO_WITHIN, inbound.message()).await.map_err(|_| late())??;
        let Some(FromProxy::Hello(hello)) = first.and_then(|m| m.message) else {
            return Err(WireError::invalid(Violations::one("hello", "must be the first message")).into());
        };
        let mut v = Violations::new();
        v.take("hello.proxy", check_id(&hello.proxy));
        if hello.labels.len() > 64 {
            v.add("hello.labels", "must have at most 64 entries");
        }
        v.into_result().map_err(WireError::invalid)?;
        Ok(hello)
    }

    async fn serve(
        &mut self,
        speaker: &Speaker,
        hello: &wire::Hello,
        inbound: &mut Streaming<wire::WatchConfigRequest>,
        shutdown: CancellationToken,
    ) -> Result<(), Status> {
        let mut head = self.feed.watch();
        let mut bookmarks = bookmarks();
        self.begin(speaker, hello).await?;
        loop {
            head.mark_unchanged();
            if self.open.is_none() && self.feed.head() > self.sent {
                self.advance(speaker).await?;
            }
            tokio::select! {
                () = shutdown.cancelled() => return self.drain().await,
                message = inbound.message() => match message {
                    Ok(Some(message)) => self.heard(speaker, message).await?,
                    // The proxy left, in good order or not: nothing is to be told to nobody.
                    Ok(None) | Err(_) => return Ok(()),
                },
                changed = head.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                _ = bookmarks.tick() => if self.open.is_none() { self.bookmark().await? },
            }
        }
    }

    /// Decides where the proxy can go on from.
    async fn begin(&mut self, speaker: &Speaker, hello: &wire::Hello) -> Result<(), Status> {
        let Some(have) = &hello.have else { return self.snapshot(speaker).await };
        let (place, digest) = self.feed.place();
        let why = if have.store_id != self.feed.store_id().to_string() {
            Some(Why::Foreign)
        } else if have.revision > place.revision || have.revision < 0 {
            Some(Why::Future)
        } else if have.revision == place.revision && *hello.have_digest != digest.to_bytes() {
            Some(Why::DigestMismatch)
        } else if self.feed.since(Revision(have.revision)).is_none() {
            Some(Why::Compacted)
        } else {
            None
        };
        match why {
            Some(why) => self.reset(speaker, why).await,
            None if have.revision == place.revision => {
                self.sent = Revision(have.revision);
                self.fleet.sent(&speaker.proxy, speaker.session, place);
                self.bookmark().await
            }
            None => {
                self.sent = Revision(have.revision);
                self.advance(speaker).await
            }
        }
    }

    /// Sends what leads from the place sent to the head.
    async fn advance(&mut self, speaker: &Speaker) -> Result<(), Status> {
        let Some(step) = self.feed.since(self.sent) else {
            return self.reset(speaker, Why::Compacted).await;
        };
        let names: Vec<&str> = step.upserts.iter().map(|r| r.name.as_str()).collect();
        let gone = step.removes.iter().map(String::as_str);
        let touched: Vec<&str> = names.into_iter().chain(gone).collect();
        self.fleet.retried(&speaker.proxy, speaker.session, &touched);
        let delta = wire::Delta {
            from: self.sent.0,
            to: Some(step.to.clone()),
            upserts: step.upserts.iter().map(|r| r.as_ref().clone()).collect(),
            removes: step.removes.clone(),
            digest: step.digest.to_bytes().to_vec().into(),
            allow_mass_delete: true,
        };
        let nonce = self.send(ToProxy::Delta(delta)).await?;
        self.expect(speaker, nonce, &step);
        Ok(())
    }

    async fn reset(&mut self, speaker: &Speaker, why: Why) -> Result<(), Status> {
        tracing::info!(proxy = speaker.proxy, why = why.as_str_name(), "proxy starts anew");
        self.send(ToProxy::Reset(Reset { why: why.into() })).await?;
        self.snapshot(speaker).await
    }

    async fn snapshot(&mut self, speaker: &Speaker) -> Result<(), Status> {
        let step = self.feed.snapshot();
        let chunks: Vec<_> = step.upserts.chunks(CHUNK).collect();
        let parts = chunks.len().max(1);
        let mut nonce = String::new();
        for part in 0..parts {
            let last = part + 1 == parts;
            let resources = chunks.get(part).copied().unwrap_or_default();
            let chunk = wire::SnapshotChunk {
                at: Some(step.to.clone()),
                resources: resources.iter().map(|r| r.as_ref().clone()).collect(),
                last,
                digest: if last { step.digest.to_bytes().to_vec().into() } else { Default::default() },
            };
            nonce = self.send(ToProxy::Snapshot(chunk)).await?;
        }
        self.expect(speaker, nonce, &step);
        Ok(())
    }

    fn expect(&mut self, speaker: &Speaker, nonce: String, step: &Step) {
        self.sent = Revision(step.to.revision);
        self.open = Some(nonce);
        self.fleet.sent(&speaker.proxy, speaker.session, step.to.clone());
    }

    async fn bookmark(&mut self) -> Result<(), Status> {
        let (at, digest) = self.feed.place();
        // A place that was not sent yet is no bookmark; the change itself follows at once.
        if at.revision == self.sent.0 {
            let digest = digest.to_bytes().to_vec().into();
            self.send(ToProxy::Bookmark(wire::Bookmark { at: Some(at), digest })).await?;
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), Status> {
        let reconnect_after = prost_types::Duration::try_from(RECONNECT_AFTER).ok();
        self.send(ToProxy::Draining(wire::Draining { reconnect_after })).await.map(drop)
    }

    async fn heard(&mut self, speaker: &Speaker, message: wire::WatchConfigRequest) -> Result<(), Status> {
        match message.message {
            Some(FromProxy::Ack(ack)) => {
                self.acknowledged(speaker, ack);
                Ok(())
            }
            Some(FromProxy::Refusal(refusal)) => self.refused(speaker, refusal).await,
            Some(FromProxy::Hello(_)) => {
                Err(WireError::invalid(Violations::one("hello", "must be said once")).into())
            }
            None => Err(WireError::invalid(Violations::one("message", "must be set")).into()),
        }
    }

    fn acknowledged(&mut self, speaker: &Speaker, ack: wire::Ack) {
        let current = self.open.as_deref() == Some(ack.nonce.as_str());
        if ack.stage() == Stage::Active && current {
            self.open = None;
            if let Some(at) = ack.at {
                self.fleet.active(&speaker.proxy, speaker.session, at);
            }
        }
    }

    async fn refused(&mut self, speaker: &Speaker, refusal: wire::Refusal) -> Result<(), Status> {
        for error in &refusal.errors {
            tracing::warn!(
                proxy = speaker.proxy,
                resource = error.name,
                field = error.field,
                reason = error.reason,
                "proxy refuses a resource"
            );
        }
        self.fleet.refused(&speaker.proxy, speaker.session, refusal.errors);
        // Of the open change, or of a bookmark; a refusal of what was reset since counts no more.
        let current = self.open.as_ref().is_none_or(|open| *open == refusal.nonce);
        if refusal.whole && current {
            return self.reset(speaker, Why::DigestMismatch).await;
        }
        Ok(())
    }

    async fn send(&mut self, message: ToProxy) -> Result<String, Status> {
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        let response = wire::WatchConfigResponse { nonce: nonce.clone(), message: Some(message) };
        let left = |_| Status::cancelled("the proxy left");
        self.out.send(Ok(response)).await.map_err(left)?;
        Ok(nonce)
    }
}

fn bookmarks() -> Interval {
    let mut bookmarks = interval(BOOKMARK_EVERY);
    bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    bookmarks.reset();
    bookmarks
}
