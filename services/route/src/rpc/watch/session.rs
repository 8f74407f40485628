//! One proxy's stream. At most one change is unacknowledged; what comes meanwhile is coalesced behind it.

use std::pin::pin;
use std::time::Duration;

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::ack::Stage;
use hotswap_api::gateway::v1::watch_config_request::Message as FromProxy;
use hotswap_api::gateway::v1::watch_config_response::Message as ToProxy;
use hotswap_api::gateway::v1::{Reset, reset::Why};
use hotswap_core::{Reason, RefusalReason, Revision, Violations, check_id};
use hotswap_rpc::WireError;
use hotswap_runtime::CancellationToken;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tonic::{Status, Streaming};

use super::arms;
use super::codec::{Body, Frame};
use super::feed::{Feed, Step, Taste, for_proxy};
use super::questions::{Pending, Question, Questions};
use super::told::{conditions, domain, introduction, refused};
use crate::app::{Arms, Counter, Fleet};
use crate::domain::{CERTIFICATES, ROLLOUTS};
use crate::metrics::RouteMetrics;

const HELLO_WITHIN: Duration = Duration::from_secs(10);
const BOOKMARK_EVERY: Duration = Duration::from_secs(10);
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// How long a proxy may read nothing while something waits for it.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// Resources in one part of a snapshot.
const CHUNK: usize = 500;

type Out = mpsc::Sender<Result<Frame, Status>>;

/// A stream from its hello to its end.
pub(super) struct Session {
    feed: Feed,
    fleet: Fleet,
    questions: Questions,
    arms: Arms,
    out: Out,
    /// Whether a snapshot may take most of what a proxy has.
    allow_mass_delete: bool,
    shutdown: CancellationToken,
    metrics: RouteMetrics,
    nonces: u64,
    /// The feed's history that `sent` belongs to.
    epoch: u64,
    /// The place that the proxy has, or will have once it acknowledges.
    sent: Revision,
    /// The nonce that is not yet acknowledged as active.
    open: Option<u64>,
    /// The proxy refused, as a whole, what was sent last: it gets a snapshot with the next change.
    held: bool,
    asked: Pending,
    /// Whether keys may pass on the way to the proxy: through TLS, or within this machine.
    private: bool,
}

/// Who speaks, in the fleet.
struct Speaker {
    proxy: String,
    instance: String,
    taste: Taste,
    session: crate::app::Session,
}

impl Session {
    /// `private`: nobody can listen in on the way to the proxy.
    pub(super) fn new(watch: &super::WatchRpc, out: Out, private: bool) -> Self {
        Self {
            feed: watch.feed.clone(),
            fleet: watch.fleet.clone(),
            questions: watch.questions.clone(),
            arms: watch.arms.clone(),
            out,
            allow_mass_delete: watch.allow_mass_delete,
            shutdown: watch.supervisor.shutdown(),
            metrics: watch.metrics.clone(),
            nonces: 0,
            epoch: watch.feed.epoch(),
            sent: Revision::ZERO,
            open: None,
            held: false,
            asked: Pending::default(),
            private,
        }
    }

    /// What the proxy takes of what there is.
    fn taste(&self, hello: &wire::Hello) -> Taste {
        let has = |feature: &str| hello.features.iter().any(|f| f == feature);
        let wants = has(CERTIFICATES);
        if wants && !self.private {
            let proxy = &hello.proxy;
            tracing::warn!(
                proxy,
                "certificates are not sent: others could read the keys on the way; use TLS"
            );
        }
        Taste { candidates: has(ROLLOUTS), certificates: wants && self.private }
    }

    /// Runs until the proxy leaves or the process ends.
    pub(super) async fn run(
        mut self,
        mut inbound: Streaming<wire::WatchConfigRequest>,
    ) -> Result<(), Status> {
        let hello = self.hello(&mut inbound).await?;
        let speaker = Speaker {
            proxy: hello.proxy.clone(),
            instance: hello.instance_id.clone(),
            taste: self.taste(&hello),
            session: self.fleet.connect(introduction(&hello)),
        };
        tracing::info!(proxy = speaker.proxy, "proxy connected");
        self.metrics.streams.inc();
        let ended = self.serve(&speaker, &hello, &mut inbound).await;
        self.metrics.streams.dec();
        self.fleet.disconnect(&speaker.proxy, speaker.session);
        tracing::info!(proxy = speaker.proxy, "proxy disconnected");
        ended
    }

    async fn hello(&self, inbound: &mut Streaming<wire::WatchConfigRequest>) -> Result<wire::Hello, Status> {
        let late = || WireError::new(Reason::HelloMissing, "no hello within 10 s");
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
    ) -> Result<(), Status> {
        let shutdown = self.shutdown.clone();
        let mut shutdown = pin!(shutdown.cancelled());
        let mut head = self.feed.watch();
        let mut bookmarks = bookmarks();
        let mut questions = self.questions.open(hello);
        self.begin(speaker, hello).await?;
        loop {
            head.mark_unchanged();
            if self.open.is_none() && self.is_behind() {
                self.advance(speaker).await?;
            }
            tokio::select! {
                () = &mut shutdown => return self.drain().await,
                message = inbound.message() => match message {
                    Ok(Some(message)) => self.heard(speaker, message).await?,
                    // The proxy left, in good order or not: nothing is to be told to nobody.
                    Ok(None) | Err(_) => return Ok(()),
                },
                question = questions.next() => self.ask(question).await?,
                changed = head.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                _ = bookmarks.tick() => if self.open.is_none() { self.bookmark(speaker).await? },
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.feed.head() != self.sent || self.feed.epoch() != self.epoch
    }

    /// Decides where the proxy can go on from.
    async fn begin(&mut self, speaker: &Speaker, hello: &wire::Hello) -> Result<(), Status> {
        let Some(have) = &hello.have else { return self.snapshot(speaker).await };
        let (place, digest) = self.feed.place(speaker.taste);
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
                self.fleet.sent(&speaker.proxy, speaker.session, domain(&place));
                self.bookmark(speaker).await
            }
            None => {
                self.sent = Revision(have.revision);
                self.advance(speaker).await
            }
        }
    }

    /// Sends what leads from the place sent to the head.
    async fn advance(&mut self, speaker: &Speaker) -> Result<(), Status> {
        let epoch = self.feed.epoch();
        if std::mem::replace(&mut self.epoch, epoch) != epoch {
            return self.reset(speaker, Why::Future).await;
        }
        if std::mem::take(&mut self.held) {
            return self.snapshot(speaker).await;
        }
        let Some(step) = self.feed.since(self.sent) else {
            return self.reset(speaker, Why::Compacted).await;
        };
        let nonce = self.send(Body::Shared(step.delta(self.sent, speaker.taste))).await?;
        self.metrics.deltas.inc();
        self.sent = Revision(step.to.revision);
        self.open = Some(nonce);
        self.fleet.sent_again(&speaker.proxy, speaker.session, domain(&step.to), |name| step.touches(name));
        Ok(())
    }

    async fn reset(&mut self, speaker: &Speaker, why: Why) -> Result<(), Status> {
        tracing::info!(proxy = speaker.proxy, why = why.as_str_name(), "proxy starts anew");
        self.metrics.resets.with_label_values(&[label(why)]).inc();
        self.send(ToProxy::Reset(Reset { why: why.into() }).into()).await?;
        self.snapshot(speaker).await
    }

    async fn snapshot(&mut self, speaker: &Speaker) -> Result<(), Status> {
        let step = self.feed.snapshot();
        let all: Vec<_> = step.for_proxy(speaker.taste).collect();
        let chunks: Vec<_> = all.chunks(CHUNK).collect();
        let parts = chunks.len().max(1);
        let mut nonce = 0;
        for part in 0..parts {
            let last = part + 1 == parts;
            let resources = chunks.get(part).copied().unwrap_or_default();
            let chunk = wire::SnapshotChunk {
                at: Some(step.to.clone()),
                resources: resources.iter().map(|r| for_proxy(r, speaker.taste)).collect(),
                last,
                digest: if last {
                    step.digest(speaker.taste).to_bytes().to_vec().into()
                } else {
                    Default::default()
                },
                allow_mass_delete: last && self.allow_mass_delete,
            };
            nonce = self.send(ToProxy::Snapshot(chunk).into()).await?;
        }
        self.expect(speaker, nonce, &step);
        Ok(())
    }

    fn expect(&mut self, speaker: &Speaker, nonce: u64, step: &Step) {
        self.sent = Revision(step.to.revision);
        self.open = Some(nonce);
        self.fleet.sent(&speaker.proxy, speaker.session, domain(&step.to));
    }

    async fn bookmark(&mut self, speaker: &Speaker) -> Result<(), Status> {
        let (at, digest) = self.feed.place(speaker.taste);
        // A place that was not sent yet is no bookmark; the change itself follows at once.
        if at.revision == self.sent.0 {
            let digest = digest.to_bytes().to_vec().into();
            self.send(ToProxy::Bookmark(wire::Bookmark { at: Some(at), digest }).into()).await?;
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), Status> {
        let reconnect_after = prost_types::Duration::try_from(RECONNECT_AFTER).ok();
        self.send(ToProxy::Draining(wire::Draining { reconnect_after }).into()).await.map(drop)
    }

    async fn heard(&mut self, speaker: &Speaker, message: wire::WatchConfigRequest) -> Result<(), Status> {
        match message.message {
            Some(FromProxy::Ack(ack)) => {
                self.acknowledged(speaker, ack);
                Ok(())
            }
            Some(FromProxy::Refusal(refusal)) => self.refused(speaker, refusal).await,
            Some(FromProxy::Backends(report)) => {
                self.fleet.backends(&speaker.proxy, speaker.session, conditions(report));
                Ok(())
            }
            Some(FromProxy::Explained(explained)) => {
                self.asked.answered(&speaker.proxy, explained);
                Ok(())
            }
            Some(FromProxy::Arms(report)) => {
                self.counted(speaker, report);
                Ok(())
            }
            Some(FromProxy::Check(result)) => {
                if let Some((rollout, number, found)) = arms::check(&speaker.proxy, result) {
                    self.arms.find(rollout, number, found);
                }
                Ok(())
            }
            Some(FromProxy::Hello(_)) => {
                Err(WireError::invalid(Violations::one("hello", "must be said once")).into())
            }
            None => Err(WireError::invalid(Violations::one("message", "must be set")).into()),
        }
    }

    /// Passes a question on.
    async fn ask(&mut self, question: Question) -> Result<(), Status> {
        let explain = wire::Explain { request: Some(question.request) };
        let nonce = self.send(ToProxy::Explain(explain).into()).await?;
        self.asked.add(nonce, question.told);
        Ok(())
    }

    fn counted(&self, speaker: &Speaker, report: wire::ArmReport) {
        for (rollout, epoch, counts) in arms::counts(report) {
            let (proxy, instance) = (speaker.proxy.clone(), speaker.instance.clone());
            self.arms.count(Counter { rollout, epoch, proxy, instance }, counts);
        }
    }

    fn acknowledged(&mut self, speaker: &Speaker, ack: wire::Ack) {
        if ack.stage() == Stage::Active && self.is_open(&ack.nonce) {
            self.open = None;
            if let Some(at) = ack.at {
                self.fleet.active(&speaker.proxy, speaker.session, domain(&at));
            }
        }
    }

    /// Whether this names what is not yet acknowledged.
    fn is_open(&self, nonce: &str) -> bool {
        self.open.is_some_and(|open| nonce.parse() == Ok(open))
    }

    async fn refused(&mut self, speaker: &Speaker, refusal: wire::Refusal) -> Result<(), Status> {
        self.metrics.refusals.inc_by(u64::try_from(refusal.errors.len()).unwrap_or(0));
        for error in &refusal.errors {
            tracing::warn!(
                proxy = speaker.proxy,
                resource = error.name,
                field = error.field,
                reason = error.reason,
                "proxy refuses a resource"
            );
        }
        // A reset would not mend it.
        let mass_delete = refusal.errors.iter().any(|e| e.reason == RefusalReason::MassDelete.name());
        let refusals = refusal.errors.into_iter().map(refused).collect();
        self.fleet.refused(&speaker.proxy, speaker.session, refusals);
        // Of the open change, or of a bookmark; a refusal of what was reset since counts no more.
        let current = self.open.is_none() || self.is_open(&refusal.nonce);
        if refusal.whole && current && mass_delete {
            // The same again would be refused again. It stays as it is until there is something else to send.
            self.open = None;
            self.held = true;
            return Ok(());
        }
        if refusal.whole && current {
            return self.reset(speaker, Why::DigestMismatch).await;
        }
        Ok(())
    }

    /// Sends a message; one that is not read in time ends the stream, and so does the end of the process.
    async fn send(&mut self, body: Body) -> Result<u64, Status> {
        self.nonces += 1;
        let nonce = self.nonces;
        // Nearly always there is room, and nothing to wait for.
        let frame = match self.out.try_send(Ok(Frame { nonce, body })) {
            Ok(()) => return Ok(nonce),
            Err(TrySendError::Full(frame)) => frame,
            Err(TrySendError::Closed(_)) => return Err(gone()),
        };
        let place = tokio::select! {
            place = timeout(READ_WITHIN, self.out.reserve()) => place,
            // What waits can't be had by a proxy that does not read; it comes back elsewhere.
            () = self.shutdown.cancelled(), if self.out.capacity() == 0 => {
                return Err(WireError::new(Reason::ShuttingDown, "the control plane ends").into());
            }
        };
        let late = |_| WireError::new(Reason::SlowReader, "nothing was read for 60 s");
        place.map_err(late)?.map_err(|_| gone())?.send(frame);
        Ok(nonce)
    }
}

fn gone() -> Status {
    WireError::new(Reason::CallerGone, "the proxy left").into()
}

/// The reason of a reset, as a label.
fn label(why: Why) -> &'static str {
    match why {
        Why::Unspecified => "unspecified",
        Why::Compacted => "compacted",
        Why::Foreign => "foreign",
        Why::Future => "future",
        Why::DigestMismatch => "digest_mismatch",
    }
}

fn bookmarks() -> Interval {
    let mut bookmarks = interval(BOOKMARK_EVERY);
    bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    bookmarks.reset();
    bookmarks
}
