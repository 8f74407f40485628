//! The sender: fans messages out, and sees deliveries through.
//!
//! ```text
//!   fan-out   a new message ─► a delivery for each channel that wants it
//!   lane      one for each channel, so that a slow one holds up no other:
//!               claim ─► deliver, in time ─► mark: sent, again after a pause, dead
//!   upkeep    gauges; what is old is dropped
//! ```

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Shared, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hotswap_core::{Clock, Ids};
use hotswap_store::{Db, StoreError};
use prometheus::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::channel::{Channel, Channels, Delivered, Then};
use crate::claims::{self, Claim, Found, Mark};
use crate::metrics::{Ended, NotifyMetrics, Task};
use crate::{NotifyError, retry};

/// What a claim lasts beyond the time that a delivery may take: for marking it.
const MARGIN: Duration = Duration::from_secs(30);
/// How long it waits after a failure of the database.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often gauges are set.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How often old rows are looked for.
const CLEAR_EVERY: Duration = Duration::from_secs(3_600);
/// The longest error that is stored, in characters.
const MAX_ERROR: usize = 500;

/// How a sender works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderOptions {
    /// How often it looks for new messages: how late one may be.
    pub poll: Duration,
    /// How many deliveries of a channel are under way at a time.
    pub at_a_time: usize,
}

impl Default for SenderOptions {
    fn default() -> Self {
        Self { poll: Duration::from_millis(500), at_a_time: 4 }
    }
}

/// Sends what lies in the outbox. Several, in several processes, share the work.
pub struct Sender {
    db: Db,
    channels: Channels,
    options: SenderOptions,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    metrics: NotifyMetrics,
    /// Changes when there are new deliveries.
    fanned_out: watch::Sender<u64>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("channels", &self.channels).finish_non_exhaustive()
    }
}

impl Sender {
    /// A sender. `clock` stamps signatures; `ids` are also its randomness.
    ///
    /// # Errors
    /// [`NotifyError::Metrics`].
    pub fn new(
        db: Db,
        channels: Channels,
        options: SenderOptions,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<Self, NotifyError> {
        let metrics = NotifyMetrics::new(&channels)?;
        Ok(Self { db, channels, options, clock, ids, metrics, fanned_out: watch::Sender::new(0) })
    }

    /// Shows what it counts.
    ///
    /// # Errors
    /// [`NotifyError::Metrics`] where something of the same name is there.
    pub fn register(&self, registry: &Registry) -> Result<(), NotifyError> {
        Ok(self.metrics.register(registry)?)
    }

    /// Sends until `shutdown`, then ends when what is under way has: at most the longest time of a channel, and what
    /// it takes to mark it. To be run as a task of the process. Dropped in the midst, it leaves claims that run out,
    /// and what was under way is sent again.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let shutdown = shutdown.boxed().shared();
        let lanes = self.channels.all.iter().map(|channel| self.lane(channel, shutdown.clone()));
        tokio::join!(join_all(lanes), self.fan_out(shutdown.clone()), self.upkeep(shutdown.clone()));
    }

    /// Makes deliveries of messages.
    async fn fan_out(&self, shutdown: Stop<'_>) {
        // First, so that those whom it has are told of what it finds.
        while let Err(error) = claims::register(&self.db, &self.channels, self.clock.now()).await {
            if stopped(&shutdown, sleep(self.failed(Task::FanOut, &error))).await {
                return;
            }
        }
        loop {
            let pause = match claims::fan_out(&self.db).await {
                Ok(0) => self.options.poll,
                Ok(n) => {
                    self.metrics.messages.inc_by(n);
                    self.fanned_out.send_modify(|count| *count = count.wrapping_add(1));
                    Duration::ZERO
                }
                Err(error) => self.failed(Task::FanOut, &error),
            };
            if stopped(&shutdown, sleep(pause)).await {
                return;
            }
        }
    }

    /// Sees the deliveries of a channel through. Looking for work and doing it wait for each other nowhere.
    async fn lane(&self, channel: &Channel, shutdown: Stop<'_>) {
        let slots = Arc::new(Semaphore::new(self.options.at_a_time.max(1)));
        let (give, mut take) = mpsc::unbounded_channel();
        let mut running = FuturesUnordered::new();
        let doing = async {
            let mut open = true;
            while open || !running.is_empty() {
                tokio::select! {
                    claimed = take.recv(), if open => match claimed {
                        Some((claim, slot)) => running.push(self.see_through(channel, claim, slot)),
                        None => open = false,
                    },
                    Some(()) = running.next(), if !running.is_empty() => {}
                }
            }
        };
        tokio::join!(self.look(channel, &slots, give, shutdown), doing);
    }

    /// Claims what is due, as long as there is a slot to do it in.
    async fn look(&self, channel: &Channel, slots: &Arc<Semaphore>, give: Give, shutdown: Stop<'_>) {
        let mut news = self.fanned_out.subscribe();
        loop {
            let slot = tokio::select! {
                () = shutdown.clone() => return,
                slot = Arc::clone(slots).acquire_owned() => slot,
            };
            let Ok(slot) = slot else { return };
            news.mark_unchanged();
            let pause = match claims::claim(&self.db, &channel.id, channel.timeout + MARGIN).await {
                Ok(Found::Work(claim)) => {
                    if give.send((claim, slot)).is_err() {
                        return;
                    }
                    continue;
                }
                // Other replicas make deliveries, too, and may be gone.
                Ok(Found::Nothing(next)) => next.map_or(self.longest(), |next| next.min(self.longest())),
                Err(error) => self.failed(Task::Claim, &error),
            };
            drop(slot);
            let waited = async {
                tokio::select! {
                    () = sleep(pause) => {}
                    Ok(()) = news.changed() => {}
                }
            };
            if stopped(&shutdown, waited).await {
                return;
            }
        }
    }

    /// The longest that a lane does not look.
    fn longest(&self) -> Duration {
        self.options.poll * 10
    }

    /// One attempt, from its claim to its mark.
    async fn see_through(&self, channel: &Channel, claim: Box<Claim>, _slot: OwnedSemaphorePermit) {
        if claim.attempt > self.channels.attempts {
            // Those before did not come to an end, as where each killed its process.
            let why = format!("given up after {} attempts; the last did not end", self.channels.attempts);
            self.metrics.died(&channel.id);
            told_dead(channel, &claim, &why);
            return self.mark(&claim, Mark::Dead { why }).await;
        }
        let began = Instant::now();
        let Delivered { outcome, template_fault } =
            channel.deliver(&claim.letter, &self.channels.templates, self.clock.now()).await;
        if let Some(why) = template_fault {
            self.metrics.template_faults.inc();
            let kind = claim.letter.message.kind();
            tracing::warn!(
                channel = channel.id,
                kind,
                why,
                "a template failed; the data are sent as they are"
            );
        }
        let (ended, mark) = match outcome {
            Ok(()) => (Ended::Sent, Mark::Sent),
            Err(failure) => self.judged(channel, &claim, failure.then, short(&failure.what)),
        };
        self.metrics.attempted(&channel.id, ended, began.elapsed());
        self.mark(&claim, mark).await;
    }

    /// What becomes of a delivery whose attempt failed.
    fn judged(&self, channel: &Channel, claim: &Claim, then: Then, why: String) -> (Ended, Mark) {
        let last = claim.attempt >= self.channels.attempts;
        match then {
            Then::Again(after) if !last => {
                let (base, max) = (self.channels.retry_base, self.channels.retry_max);
                let pause = retry::pause(claim.attempt, base, max, after, self.ids.as_ref());
                let (key, attempt) = (claim.letter.message.dedupe_key(), claim.attempt);
                let pause_ms = pause.as_millis();
                tracing::info!(
                    channel = channel.id,
                    key,
                    attempt,
                    pause_ms,
                    why,
                    "a notification is tried again"
                );
                (Ended::Again, Mark::Again { pause, why })
            }
            Then::Again(_) | Then::GiveUp => {
                told_dead(channel, claim, &why);
                (Ended::Dead, Mark::Dead { why })
            }
        }
    }

    /// Marks how an attempt ended, as long as it is ours; a database that is away may come back.
    async fn mark(&self, claim: &Claim, mark: Mark) {
        let end = Instant::now() + MARGIN;
        loop {
            match claims::mark(&self.db, claim, &mark).await {
                Ok(true) => return,
                Ok(false) => {
                    let key = claim.letter.message.dedupe_key();
                    tracing::warn!(
                        channel = claim.channel,
                        key,
                        "a notification took longer than its claim; another sender may have sent it, too"
                    );
                    return;
                }
                Err(error) => {
                    let pause = self.failed(Task::Mark, &error);
                    if Instant::now() + pause >= end {
                        return;
                    }
                    sleep(pause).await;
                }
            }
        }
    }

    /// Gauges, and old rows.
    async fn upkeep(&self, shutdown: Stop<'_>) {
        let mut clear = Instant::now();
        loop {
            let clears = Instant::now() >= clear;
            if clears {
                clear = Instant::now() + CLEAR_EVERY;
            }
            if let Err(error) = self.keep(clears).await {
                self.failed(Task::Upkeep, &error);
            }
            if stopped(&shutdown, sleep(LOOK_EVERY)).await {
                return;
            }
        }
    }

    async fn keep(&self, clears: bool) -> Result<(), StoreError> {
        if clears {
            claims::register(&self.db, &self.channels, self.clock.now()).await?;
            claims::forget(&self.db, self.clock.now()).await?;
            let given_up = claims::clear(&self.db, self.channels.keep, self.clock.now()).await?;
            if given_up > 0 {
                tracing::warn!(given_up, "notifications to channels that nobody serves were given up");
            }
        }
        for channel in self.channels.ids() {
            let (waiting, dead) = claims::count(&self.db, channel).await?;
            self.metrics.looked(channel, waiting, dead);
        }
        Ok(())
    }

    /// Counts and tells of a failure of the database; gives how long to wait.
    fn failed(&self, task: Task, error: &StoreError) -> Duration {
        self.metrics.failed(task);
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::warn!(%error, cause, task = task.as_str(), "notifications: the store failed; it is tried again");
        AFTER_FAILURE
    }
}

/// Keeps the outbox of a process without channels in bounds, until `shutdown`: what it puts is told by others that have
/// some, and is dropped after 30 days where there are none.
pub async fn keep_outbox(db: Db, clock: Arc<dyn Clock>, shutdown: impl Future<Output = ()> + Send) {
    let shutdown = shutdown.boxed().shared();
    loop {
        if let Err(error) = claims::forget(&db, clock.now()).await {
            tracing::warn!(%error, "old notifications could not be dropped; it is tried again");
        }
        if stopped(&shutdown, sleep(CLEAR_EVERY)).await {
            return;
        }
    }
}

type Stop<'a> = Shared<futures_util::future::BoxFuture<'a, ()>>;
type Give = mpsc::UnboundedSender<(Box<Claim>, OwnedSemaphorePermit)>;

/// Waits, and says whether it is to stop.
async fn stopped(shutdown: &Stop<'_>, waited: impl Future<Output = ()>) -> bool {
    let waited = pin!(waited);
    tokio::select! {
        biased;
        () = shutdown.clone() => true,
        () = waited => false,
    }
}

/// For people: somebody was not told.
fn told_dead(channel: &Channel, claim: &Claim, why: &str) {
    let (key, kind) = (claim.letter.message.dedupe_key(), claim.letter.message.kind());
    let (attempt, channel_kind) = (claim.attempt, channel.kind());
    tracing::error!(
        channel = channel.id,
        channel_kind,
        key,
        kind,
        attempt,
        why,
        "a notification was given up"
    );
}

/// An error in one line, and not too long.
fn short(what: &str) -> String {
    let words: Vec<&str> =
        what.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    words.join(" ").chars().take(MAX_ERROR).collect()
}
