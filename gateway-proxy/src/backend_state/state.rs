//! One backend.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hotswap_matcher::{Address, HealthCheck, Resilience};

use super::breaker::{Trial, Verdict};
use super::inner::{ASK, FREE, Hold, Inner, View};
use super::registry::Quota;
use super::{Observed, clock};

/// Lower bits of the load: requests in flight. The bits above count those that began, and wrap.
const ACTIVE_BITS: u32 = 24;
const ONE_MORE: u64 = (1 << ACTIVE_BITS) + 1;
const ACTIVE_MASK: u64 = (1 << ACTIVE_BITS) - 1;

/// What became of a request that went to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, with this status.
    Status(u16),
    /// It could not be reached.
    Unreachable,
    /// It took the connection, but did not answer in time, or not with a whole answer.
    NoAnswer,
    /// The request ended before the backend could be judged by it.
    Unknown,
}

/// A core's pointer to a state. To hand it on does not touch memory that cores share.
pub type Handle = Rc<Arc<BackendState>>;

/// A backend of a pool, as all cores see it.
#[derive(Debug)]
pub struct BackendState {
    load: Padded<AtomicU64>,
    gate: Padded<Gate>,
    address: Address,
    quota: Arc<Quota>,
    observed: Observed,
    inner: Mutex<Inner>,
}

/// What is read for every request and seldom written. It is what `Inner` came to when it was last changed.
#[derive(Debug, Default)]
struct Gate {
    at: AtomicU64,
    /// The outcome of requests matters.
    judges: AtomicBool,
    /// Even a success does.
    minds_success: AtomicBool,
}

/// Alone in its cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Padded<T>(T);

/// A request that a backend has. Dropped, it is over.
#[derive(Debug)]
pub struct InFlight {
    state: Handle,
    began: Instant,
    trial: Cell<Option<Trial>>,
    told: Cell<Told>,
}

/// What an exchange has said of its backend so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    /// The head of a response came, which is a success if the rest comes too.
    Answered,
    /// All there is to say.
    All,
}

/// How many requests began between two readings of their count.
pub(super) fn requests_between(before: u64, after: u64) -> u64 {
    after.wrapping_sub(before) & (u64::MAX >> ACTIVE_BITS)
}

impl Outcome {
    /// A 429 says that the backend works and has too much to do: neither a failure nor a success.
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Status(429) | Self::Unknown => Verdict::Neutral,
            Self::Status(500..=599) | Self::Unreachable | Self::NoAnswer => Verdict::Failure,
            Self::Status(_) => Verdict::Success,
        }
    }
}

impl BackendState {
    pub(super) fn new(address: &Address, quota: &Arc<Quota>) -> Self {
        Self {
            load: Padded::default(),
            gate: Padded::default(),
            address: address.clone(),
            quota: Arc::clone(quota),
            observed: Observed::default(),
            inner: Mutex::default(),
        }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether a request may go to it at `now`, in ms; see [`super::clock`]. One load where nothing is wrong.
    pub fn usable(&self, now: u64) -> bool {
        let gate = self.gate.0.at.load(Ordering::Relaxed);
        gate <= ASK
            || (now >= gate && self.change(|inner| inner.advance(now, &self.quota), Inner::gate) <= ASK)
    }

    /// Requests in flight, of all cores.
    pub fn active(&self) -> u32 {
        u32::try_from(self.load.0.load(Ordering::Relaxed) & ACTIVE_MASK).unwrap_or(u32::MAX)
    }

    /// Requests that have begun; it wraps.
    pub fn requests(&self) -> u64 {
        self.load.0.load(Ordering::Relaxed) >> ACTIVE_BITS
    }

    /// What the strategies have learned of it.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// A check has ended; true: its health has changed by it.
    pub fn checked(&self, ok: bool) -> bool {
        let mut changed = false;
        self.change(|inner| changed = inner.checked(ok), |_| ());
        changed
    }

    /// How it is to be checked; `None`: it is not.
    pub fn health_check(&self) -> Option<HealthCheck> {
        self.lock().health_check().cloned()
    }

    /// What an operator has decided about it.
    pub(super) fn hold(&self) -> Hold {
        self.lock().hold()
    }

    /// How it stands at `now`, in ms.
    pub fn view(&self, now: u64) -> View {
        self.change(|inner| inner.advance(now, &self.quota), Inner::view)
    }

    /// The pool has these settings now, and this is what an operator has decided about the backend.
    pub(super) fn configure(&self, settings: &Arc<Resilience>, hold: Hold) {
        self.change(|inner| inner.configure(settings, hold, &self.quota), |_| ());
    }

    /// A request goes to it; `None`: it may not after all, since another core was faster.
    pub fn begin(state: &Handle, now: u64) -> Option<InFlight> {
        let mut trial = None;
        if state.gate.0.at.load(Ordering::Relaxed) != FREE {
            let mut begun = None;
            let begin = |inner: &mut Inner| {
                inner.advance(now, &state.quota);
                begun = inner.begin();
            };
            state.change(begin, |_| ());
            trial = begun?;
        }
        state.load.0.fetch_add(ONE_MORE, Ordering::Relaxed);
        Some(InFlight::new(state, trial))
    }

    /// A request goes to it whatever is known of it, since too few others are left.
    pub fn begin_anyway(state: &Handle) -> InFlight {
        state.load.0.fetch_add(ONE_MORE, Ordering::Relaxed);
        InFlight::new(state, None)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what there is, and puts up what has come of it.
    fn change<T>(&self, change: impl FnOnce(&mut Inner), show: impl FnOnce(&Inner) -> T) -> T {
        let mut inner = self.lock();
        change(&mut inner);
        let gate = &self.gate.0;
        gate.at.store(inner.gate(), Ordering::Relaxed);
        gate.judges.store(inner.judges(), Ordering::Relaxed);
        gate.minds_success.store(inner.minds_success(), Ordering::Relaxed);
        show(&inner)
    }

    fn judge(&self, trial: Option<Trial>, verdict: Verdict, now: u64) {
        let gate = &self.gate.0;
        let matters = match verdict {
            Verdict::Neutral => false,
            Verdict::Success => gate.minds_success.load(Ordering::Relaxed),
            Verdict::Failure => gate.judges.load(Ordering::Relaxed),
        };
        if matters || trial.is_some() {
            let at = (now, self.requests());
            self.change(|inner| inner.end(trial, verdict, at, &self.quota), |_| ());
        }
    }
}

impl Drop for BackendState {
    fn drop(&mut self) {
        if self.lock().is_ejected() {
            self.quota.give_back();
        }
    }
}

impl InFlight {
    fn new(state: &Handle, trial: Option<Trial>) -> Self {
        let (trial, told) = (Cell::new(trial), Cell::new(Told::Nothing));
        Self { state: Rc::clone(state), began: Instant::now(), trial, told }
    }

    /// The backend it went to.
    pub fn state(&self) -> &Handle {
        &self.state
    }

    /// It begins only now: what was before is not the backend's doing.
    pub fn begin_anew(&mut self) {
        self.began = Instant::now();
    }

    /// When it began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// The head of a response came, or there will be none. A body that is cut short may be told of later. `now` in
    /// ms; see [`super::clock`]. The first time, how long the backend took.
    pub fn report(&self, outcome: Outcome, now: u64) -> Option<Duration> {
        let verdict = outcome.verdict();
        let latency = (self.told.get() == Told::Nothing).then(|| self.latency());
        if let Some(latency) = latency {
            self.state.observed.on_result(outcome, latency, now);
        }
        match (self.told.get(), verdict) {
            (Told::All, _) | (Told::Answered, Verdict::Success | Verdict::Neutral) => {}
            // A trial is decided as soon as it can be: a long body must not keep the next one waiting.
            (Told::Nothing, Verdict::Success) => {
                self.end_trial(verdict, now);
                self.told.set(Told::Answered);
            }
            (Told::Nothing, Verdict::Neutral) => {
                self.end_trial(verdict, now);
                self.told.set(Told::All);
            }
            (Told::Nothing | Told::Answered, Verdict::Failure) => {
                self.state.judge(self.trial.take(), verdict, now);
                self.told.set(Told::All);
            }
        }
        latency
    }

    fn latency(&self) -> Duration {
        self.began.elapsed()
    }

    fn end_trial(&self, verdict: Verdict, now: u64) {
        if let Some(trial) = self.trial.take() {
            self.state.judge(Some(trial), verdict, now);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        match self.told.get() {
            Told::All => {}
            // Only now is it a whole answer.
            Told::Answered => self.state.judge(None, Verdict::Success, 0),
            Told::Nothing => self.end_trial(Verdict::Neutral, clock::now_ms()),
        }
        self.state.load.0.fetch_sub(1, Ordering::Relaxed);
    }
}
