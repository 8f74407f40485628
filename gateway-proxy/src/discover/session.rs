//! One stream of the watch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::ack::Stage;
use hotswap_api::gateway::v1::watch_config_request::Message as Say;
use hotswap_api::gateway::v1::watch_config_response::Message as Hear;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::backoff::Backoff;
use super::holdings::{Holdings, Misfit};
use super::{READY_PART, Sink};

/// Words to the control plane that may wait.
const BUFFER: usize = 16;

pub(super) struct Session {
    say: mpsc::Sender<wire::WatchConfigRequest>,
    sink: Sink,
    /// Parts of a snapshot that is not whole yet.
    parts: Vec<wire::Resource>,
}

impl Session {
    /// A session that has said hello, and the stream of what it says.
    pub(super) async fn open(
        hello: wire::Hello,
        sink: Sink,
    ) -> (Self, ReceiverStream<wire::WatchConfigRequest>) {
        let (say, outbound) = mpsc::channel(BUFFER);
        let session = Self { say, sink, parts: Vec::new() };
        // There is room: nothing was said before.
        let _ = session.tell(Say::Hello(hello)).await;
        (session, ReceiverStream::new(outbound))
    }

    /// Applies what comes, until the stream ends.
    pub(super) async fn run(
        &mut self,
        mut inbound: Streaming<wire::WatchConfigResponse>,
        holdings: &mut Holdings,
        backoff: &mut Backoff,
    ) -> Result<(), Status> {
        while let Some(response) = inbound.message().await? {
            let arrived = Instant::now();
            let nonce = response.nonce;
            match response.message {
                Some(Hear::Delta(delta)) => {
                    let applied = holdings.delta(&delta);
                    self.answer(&nonce, applied, holdings, arrived).await?;
                }
                Some(Hear::Snapshot(chunk)) => self.part(&nonce, chunk, holdings, arrived).await?,
                Some(Hear::Bookmark(bookmark)) => self.bookmark(&nonce, &bookmark, holdings).await?,
                Some(Hear::Reset(reset)) => {
                    tracing::info!(
                        why = reset.why().as_str_name(),
                        "the control plane starts this gateway anew"
                    );
                    self.parts.clear();
                }
                Some(Hear::Draining(_)) => tracing::info!("the control plane drains"),
                // A message of a later contract: the digests will tell whether it mattered.
                None => {}
            }
            backoff.reset();
        }
        Ok(())
    }

    async fn part(
        &mut self,
        nonce: &str,
        chunk: wire::SnapshotChunk,
        holdings: &mut Holdings,
        arrived: Instant,
    ) -> Result<(), Status> {
        self.parts.extend(chunk.resources);
        if !chunk.last {
            return Ok(());
        }
        let resources = std::mem::take(&mut self.parts);
        let at = chunk.at.unwrap_or_default();
        let applied = holdings.snapshot(&at, &resources, &chunk.digest);
        self.answer(nonce, applied, holdings, arrived).await
    }

    /// A bookmark of this place with another digest means that something was lost on the way.
    async fn bookmark(
        &self,
        nonce: &str,
        bookmark: &wire::Bookmark,
        holdings: &Holdings,
    ) -> Result<(), Status> {
        if bookmark.at.as_ref() == holdings.place() && *bookmark.digest == holdings.digest().to_bytes() {
            return Ok(());
        }
        let fault = if bookmark.at.as_ref() == holdings.place() { Misfit::Digest } else { Misfit::Place };
        self.refuse_whole(nonce, fault).await
    }

    async fn answer(
        &self,
        nonce: &str,
        applied: Result<Vec<wire::ResourceError>, Misfit>,
        holdings: &Holdings,
        arrived: Instant,
    ) -> Result<(), Status> {
        let errors = match applied {
            Ok(errors) => errors,
            Err(fault) => return self.refuse_whole(nonce, fault).await,
        };
        let compiled = Arc::new(holdings.compile());
        self.ack(nonce, Stage::Validated, holdings, arrived).await?;
        if !errors.is_empty() {
            let refused = u64::try_from(errors.len()).unwrap_or(u64::MAX);
            self.sink.metrics.refused.fetch_add(refused, Ordering::Relaxed);
            for error in &errors {
                tracing::warn!(
                    resource = error.name,
                    field = error.field,
                    message = error.message,
                    "a resource is refused; it stays as it was"
                );
            }
            self.tell(Say::Refusal(wire::Refusal { nonce: nonce.to_owned(), errors, whole: false })).await?;
        }
        self.sink.config.store(compiled);
        let revision = holdings.place().map_or(0, |p| p.revision);
        self.sink.metrics.revision.store(revision, Ordering::Relaxed);
        self.sink.metrics.applied.fetch_add(1, Ordering::Relaxed);
        self.sink.readiness.ready(READY_PART);
        tracing::debug!(revision, "configuration applied");
        self.ack(nonce, Stage::Active, holdings, arrived).await
    }

    async fn ack(
        &self,
        nonce: &str,
        stage: Stage,
        holdings: &Holdings,
        arrived: Instant,
    ) -> Result<(), Status> {
        let ack = wire::Ack {
            nonce: nonce.to_owned(),
            stage: stage.into(),
            at: holdings.place().cloned(),
            digest: holdings.digest().to_bytes().to_vec().into(),
            elapsed_us: i64::try_from(arrived.elapsed().as_micros()).unwrap_or(i64::MAX),
        };
        self.tell(Say::Ack(ack)).await
    }

    async fn refuse_whole(&self, nonce: &str, fault: Misfit) -> Result<(), Status> {
        tracing::warn!(%fault, "a change does not fit; asking for everything");
        let error = wire::ResourceError {
            reason: "MISFIT".to_owned(),
            message: fault.to_string(),
            ..Default::default()
        };
        let refusal = wire::Refusal { nonce: nonce.to_owned(), errors: vec![error], whole: true };
        self.tell(Say::Refusal(refusal)).await
    }

    async fn tell(&self, message: Say) -> Result<(), Status> {
        let request = wire::WatchConfigRequest { message: Some(message) };
        self.say.send(request).await.map_err(|_| Status::cancelled("the control plane left"))
    }
}
