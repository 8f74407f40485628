//! One stream, from its Hello to its end.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hotswap_api::gateway::v1::ack::Stage;
use hotswap_api::gateway::v1::config_distribution_service_client::ConfigDistributionServiceClient;
use hotswap_api::gateway::v1::watch_config_request::Message as Say;
use hotswap_api::gateway::v1::watch_config_response::Message as Heard;
use hotswap_api::gateway::v1::{Ack, Hello, Refusal, ResourceError, ResumeToken, WatchConfigRequest};
use hotswap_runtime::admin::Readiness;
use hotswap_telemetry::trace;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;
use tonic::{Request, Status};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::answers::Answers;
use super::checks::Checks;
use super::held::{Applied, Held, Misfit, Sign};
use super::reports::Reports;
use super::{Backoff, READY_PART, STALE, Shown};
use crate::config::Live;
use crate::metrics::ControlMetrics;
use crate::state::{Change, StateHandle, Turn};

/// Bookmarks come every 10 s: a stream that is silent for so long is dead.
const SILENCE: Duration = Duration::from_secs(35);
/// The largest message read, in bytes.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;
/// The longest pause that the control plane can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How a stream ended.
#[derive(Debug)]
pub(super) enum End {
    /// Without an error.
    Closed,
    /// The control plane asked to come back after this time.
    Later(Duration),
    /// It went on as if the gateway stood elsewhere.
    Adrift,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot read the token file: {0}")]
    Token(#[source] std::io::Error),
    #[error("the token file holds no token")]
    BadToken,
    #[error(transparent)]
    Tls(#[from] crate::security::Error),
    #[error("cannot connect to the control plane: {}", root(.0))]
    Connect(#[source] tonic::transport::Error),
    #[error("the control plane said: {} ({:?})", .0.message(), .0.code())]
    Status(#[from] Status),
    #[error("the control plane fell silent")]
    Silent,
}

/// What a stream works on.
pub(super) struct Session<'a> {
    pub(super) held: &'a mut Held,
    pub(super) config: &'a Live,
    pub(super) metrics: &'a ControlMetrics,
    pub(super) readiness: &'a Readiness,
    pub(super) backoff: &'a mut Backoff,
    pub(super) disk: Option<&'a StateHandle>,
    pub(super) answers: Answers,
    /// To put in force what has come.
    pub(super) turn: Option<Turn>,
    pub(super) shown: Shown,
}

pub(super) type Out = mpsc::Sender<WatchConfigRequest>;

impl Session<'_> {
    pub(super) async fn run(
        mut self,
        endpoint: &Endpoint,
        token_file: Option<&Path>,
        hello: Hello,
        checks: &mut Checks,
    ) -> Result<End, Error> {
        let token = token_file.map(read_token).transpose()?;
        let channel = endpoint.connect().await.map_err(Error::Connect)?;
        let mut client = ConfigDistributionServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let (out, requests) = mpsc::channel(16);
        say(&out, Say::Hello(hello)).await;
        let mut request = Request::new(ReceiverStream::new(requests));
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", token);
        }
        let mut inbound = client.watch_config(request).await?.into_inner();
        tracing::info!("configuration stream is open");
        self.held.begin();
        let mut reports = Reports::new(self.config, checks);
        loop {
            let heard =
                tokio::time::timeout(SILENCE, reports.until(&out, &mut self.answers, inbound.message()));
            let message = heard.await.map_err(|_| Error::Silent)??;
            let arrived = Instant::now();
            let Some(message) = message else { return Ok(End::Closed) };
            if self.metrics.connected.swap(1, Ordering::Relaxed) == 0 {
                self.metrics.set_trouble(String::new());
            }
            self.backoff.reset();
            let Some(heard) = message.message else { continue };
            if let Some(disk) = self.disk.filter(|_| is_change(&heard)) {
                // Another gateway that takes over reads what is in force: meanwhile it stays so.
                self.turn = reports.until(&out, &mut self.answers, disk.turn()).await;
            }
            let end = self.hear(&out, message.nonce, heard, arrived).await;
            self.turn = None;
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    async fn hear(&mut self, out: &Out, nonce: String, heard: Heard, arrived: Instant) -> Option<End> {
        let span = match &heard {
            Heard::Snapshot(chunk) if chunk.last => span("snapshot", chunk.at.as_ref(), &[]),
            Heard::Delta(delta) => span("delta", delta.to.as_ref(), &delta.trace_contexts),
            _ => Span::none(),
        };
        self.take(out, nonce, heard, arrived).instrument(span).await
    }

    async fn take(&mut self, out: &Out, nonce: String, heard: Heard, arrived: Instant) -> Option<End> {
        let applied = match heard {
            Heard::Snapshot(chunk) => self.held.snapshot(chunk).transpose(),
            Heard::Delta(delta) => Some(self.held.delta(delta)),
            Heard::Bookmark(bookmark) => {
                // A sign of life every 10 s is also the time to free what nobody serves any more.
                self.config.sweep();
                self.held.bookmark(bookmark.at, &bookmark.digest).map(|sign| self.marked(sign)).err().map(Err)
            }
            Heard::Reset(reset) => {
                tracing::info!(why = reset.why().as_str_name(), "the control plane starts anew");
                self.held.begin();
                None
            }
            Heard::Explain(asked) => {
                self.answers.begin(self.config, nonce.clone(), asked);
                None
            }
            Heard::Draining(draining) => {
                let pause = draining.reconnect_after.and_then(|d| Duration::try_from(d).ok());
                return Some(End::Later(pause.unwrap_or_default().min(LONGEST_PAUSE)));
            }
        };
        match applied {
            None => None,
            Some(Ok(applied)) => {
                self.activate(out, nonce, applied, arrived).await;
                None
            }
            Some(Err(misfit)) => self.misfit(out, nonce, misfit).await,
        }
    }

    /// What is validated is swapped in at once, so that one message says both.
    async fn activate(&mut self, out: &Out, nonce: String, applied: Applied, arrived: Instant) {
        let Applied { compiled, refused, change } = applied;
        let at = change.at.clone();
        for error in &refused {
            let ResourceError { name, field, message, .. } = error;
            tracing::warn!(resource = name, field, message, "resource refused");
        }
        self.metrics.refused.fetch_add(refused.len() as u64, Ordering::Relaxed);
        let validated_us = micros(arrived);
        let keys = compiled.keys().clone();
        self.config.replace(compiled);
        self.shown.tell(self.config, self.readiness);
        // After the first one, who sends requests here waits for the first answers of key servers.
        let waits = self.metrics.revision.swap(at.revision, Ordering::Relaxed) == 0 && !keys.are_tried();
        self.metrics.applied.fetch_add(1, Ordering::Relaxed);
        if waits {
            self.readiness.not_ready(READY_PART, "keys that tokens are verified by are being fetched");
        } else {
            self.readiness.ready(READY_PART);
        }
        self.confirmed();
        self.keep(change);
        // One that takes over need not wait for a control plane that does not read.
        self.turn = None;
        if !refused.is_empty() {
            say(out, Say::Refusal(Refusal { nonce: nonce.clone(), errors: refused, whole: false })).await;
        }
        self.acknowledge(out, nonce, &at, validated_us, arrived).await;
        tracing::info!(revision = at.revision, us = micros(arrived), "configuration is active");
        if waits {
            keys.first_answers().await;
            self.readiness.ready(READY_PART);
        }
    }

    fn marked(&self, sign: Sign) {
        match sign {
            Sign::Here => self.confirmed(),
            Sign::Moved(change) => {
                self.confirmed();
                self.keep(change);
            }
            Sign::Spared => {}
        }
    }

    /// What is served is what the control plane has.
    fn confirmed(&self) {
        if self.metrics.stale.swap(0, Ordering::Relaxed) == 1 {
            self.readiness.settled(STALE);
            tracing::info!("the control plane has confirmed the configuration");
        }
    }

    /// In force already; the disk may take its time.
    fn keep(&self, change: Change) {
        if let Some(disk) = self.disk {
            disk.keep(change);
        }
    }

    async fn acknowledge(
        &self,
        out: &Out,
        nonce: String,
        at: &ResumeToken,
        validated_us: i64,
        arrived: Instant,
    ) {
        let ack = Ack {
            nonce,
            stage: Stage::Active.into(),
            at: Some(at.clone()),
            digest: self.held.digest().to_bytes().to_vec().into(),
            elapsed_us: micros(arrived),
            validated_us,
        };
        say(out, Say::Ack(ack)).await;
    }

    /// Nothing of the message is applied. One that deletes too much leaves the gateway where it is, until
    /// something else is sent; after any other a snapshot must follow, or the stream is of no use.
    async fn misfit(&mut self, out: &Out, nonce: String, misfit: Misfit) -> Option<End> {
        tracing::warn!(reason = misfit.reason(), "message refused: {misfit}");
        let stays = misfit == Misfit::MassDelete;
        if !stays && self.held.place().is_none() {
            return Some(End::Adrift);
        }
        let error = ResourceError {
            reason: misfit.reason().to_owned(),
            message: misfit.to_string(),
            ..ResourceError::default()
        };
        self.metrics.refused.fetch_add(1, Ordering::Relaxed);
        say(out, Say::Refusal(Refusal { nonce, errors: vec![error], whole: true })).await;
        if !stays {
            self.held.forget_place();
        }
        None
    }
}

/// Whether it may change what is in force, or where that stands.
fn is_change(heard: &Heard) -> bool {
    match heard {
        Heard::Snapshot(chunk) => chunk.last,
        Heard::Delta(_) | Heard::Bookmark(_) => true,
        Heard::Reset(_) | Heard::Explain(_) | Heard::Draining(_) => false,
    }
}

/// From the arrival of a change to its being in force. It goes on with the traces of the writes that it carries.
fn span(kind: &'static str, to: Option<&ResumeToken>, contexts: &[String]) -> Span {
    let revision = to.map(|to| to.revision);
    let span = tracing::info_span!("gateway.apply", otel.kind = "consumer", kind, revision, trace_id = Empty);
    // One that can't be read is left out: no change is lost for it.
    trace::follow_all(&span, contexts.iter().filter_map(|context| context.parse().ok()));
    span
}

pub(super) async fn say(out: &Out, message: Say) {
    // If the stream has ended, reading from it says so.
    let _ = out.send(WatchConfigRequest { message: Some(message) }).await;
}

fn read_token(path: &Path) -> Result<MetadataValue<Ascii>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::Token)?;
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {}", text.trim()).parse().map_err(|_| Error::BadToken)?;
    value.set_sensitive(true);
    if text.trim().is_empty() { Err(Error::BadToken) } else { Ok(value) }
}

fn micros(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX)
}

/// The innermost cause says what happened; those around it say "transport error".
fn root(error: &tonic::transport::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
