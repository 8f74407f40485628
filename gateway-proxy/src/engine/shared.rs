//! What the tasks of one core share. It never leaves its thread.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hotswap_cache::Buckets;
use hotswap_matcher::AccessLogMode;
use hotswap_telemetry::trace::RequestTraces;
use http::StatusCode;
use tokio::sync::Notify;

use super::entry::{Entered, Origin};
use super::order::Drain;
use super::shadow::UnderWay;
use super::timers::Timers;
use super::{CoreSetup, Limits, Room};
use crate::access_log::AccessLog;
use crate::balance::client::TrustedProxies;
use crate::balance::wish::Sender;
use crate::config::{Compiled, View};
use crate::decide::{Caller, Targets};
use crate::dice::Dice;
use crate::metrics::CoreMetrics;
use crate::reason::Reason;
use crate::rollout::{Arms, Forced, ForcedPeers};
use crate::tls::BackendFiles;
use crate::trace::{Recording, Stages};
use crate::traffic::{Mark, Question, Verdict};
use crate::upstream::{Reusable, Upstream, Upstreams};

/// Connections to backends that nobody used for so long are closed, in ms.
pub(super) const UPSTREAM_IDLE_MS: u64 = 30_000;

/// The configuration that a request began with. Handing it on does not touch memory that cores share.
pub(super) type Config = Rc<Arc<Compiled>>;

/// What a core keeps, whichever engine runs it. `C` is an open connection to a backend.
pub(super) struct Shared<C: Reusable> {
    pub(super) timers: Timers,
    pub(super) metrics: Arc<CoreMetrics>,
    pub(super) log: AccessLog,
    pub(super) limits: Limits,
    pub(super) backend_tls: BackendFiles,
    pub(super) trusted: Arc<TrustedProxies>,
    pub(super) mark: Mark,
    pub(super) upstreams: RefCell<Upstreams<C>>,
    pub(super) targets: RefCell<Targets<Rc<Upstream<C>>>>,
    /// Small writes of several pieces are put together here.
    pub(super) scratch: RefCell<Vec<u8>>,
    pub(super) dice: RefCell<Dice>,
    pub(super) index: usize,
    /// Places for clients.
    pub(super) room: Arc<Room>,
    fleet: Option<Buckets>,
    /// Copies that are under way.
    pub(super) copies: UnderWay,
    traces: Option<RequestTraces>,
    peers: ForcedPeers,
    config: RefCell<Held>,
    draining: Cell<Drain>,
    open: Cell<usize>,
    all_closed: Notify,
}

/// The other end of a client's connection.
#[derive(Clone)]
pub(super) struct Peer {
    /// Its address.
    pub(super) ip: IpAddr,
    /// The test that comes from there.
    forced: Option<Arc<Forced>>,
    /// How it came in.
    pub(super) entered: Entered,
}

impl Peer {
    /// What the access log tells of it.
    pub(super) fn origin(&self) -> Origin {
        Origin { ip: self.ip, tls: self.entered.tls }
    }
}

/// Waits for what the fleet says.
pub(super) type Asking = Pin<Box<dyn Future<Output = Verdict>>>;

/// How an exchange ended.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub(super) status: Option<StatusCode>,
    pub(super) reason: Option<Reason>,
    /// A call of gRPC whose status says that the server failed.
    pub(super) call_failed: bool,
    pub(super) took: Duration,
}

struct Held {
    view: View,
    current: Config,
}

impl<C: Reusable> Shared<C> {
    pub(super) fn new(setup: &CoreSetup) -> Self {
        let mut view = setup.config.view();
        let current = Rc::new(Arc::clone(view.load()));
        Self {
            timers: Timers::new(),
            metrics: Arc::clone(&setup.metrics),
            log: setup.log.clone(),
            limits: setup.limits,
            backend_tls: setup.backend_tls.clone(),
            trusted: Arc::clone(&setup.trusted),
            mark: setup.mark.clone(),
            upstreams: RefCell::default(),
            targets: RefCell::new(Targets::new(setup.index)),
            scratch: RefCell::default(),
            dice: RefCell::new(Dice::new()),
            index: setup.index,
            room: Arc::clone(&setup.room),
            fleet: setup.fleet.clone(),
            copies: UnderWay::default(),
            traces: setup.traces.clone(),
            peers: setup.config.forced().clone(),
            config: RefCell::new(Held { view, current }),
            draining: Cell::default(),
            open: Cell::new(0),
            all_closed: Notify::new(),
        }
    }

    /// The configuration for a request that begins now.
    pub(super) fn config(&self) -> Config {
        let mut held = self.config.borrow_mut();
        let Held { view, current } = &mut *held;
        let latest = view.load();
        if !Arc::ptr_eq(latest, current) {
            *current = Rc::new(Arc::clone(latest));
            let mut targets = self.targets.borrow_mut();
            targets.changed();
            targets.forget_removed(latest);
        }
        Rc::clone(current)
    }

    /// Where a request comes from, and when.
    pub(super) fn caller<'a>(
        &'a self,
        port: Option<u16>,
        peer: &'a Peer,
        stages: Option<&'a Stages>,
    ) -> Caller<'a> {
        Caller {
            port,
            sender: Sender { peer: peer.ip, trusted: &self.trusted },
            now: self.timers.now(),
            stages,
            dice: &self.dice,
            mark: &self.mark,
            forced: peer.forced.as_deref(),
            secure: peer.entered.is_secure(),
        }
    }

    /// Whether a test of a candidate comes from there, which is the gateway's own.
    pub(super) fn is_test(&self, address: SocketAddr) -> bool {
        self.peers.of(address).is_some()
    }

    /// The other end of a client's connection.
    pub(super) fn peer(&self, address: SocketAddr, mut entered: Entered) -> Peer {
        let forced = self.peers.of(address);
        if forced.is_some() {
            // A test of a candidate is sent nowhere else.
            entered.instead = None;
        }
        let ip = entered.source.map_or(address.ip(), |source| source.ip());
        Peer { ip, forced, entered }
    }

    /// Counts the end of an exchange for the rollouts that it met.
    pub(super) fn count_arms(&self, config: &Config, arms: Arms, ended: Ended) {
        if ended.reason.is_some_and(Reason::spares_arms) {
            return;
        }
        for drawn in arms.iter().filter(|drawn| !drawn.forced) {
            if let Some(rollout) = config.rollout(drawn.rollout) {
                let Ended { status, reason, call_failed, took } = ended;
                // A fault on purpose has the status that it was given.
                let reason = reason.filter(|r| *r != Reason::FaultInjected);
                let failed = call_failed
                    || status.is_some_and(|s| s.is_server_error())
                    || reason.is_some_and(|r| r.status().is_server_error());
                rollout.tallies().count(self.index, drawn.arm, drawn.bucket.into(), failed, took);
            }
        }
    }

    /// Whether an exchange stands in the access log: as its route says, or else as the gateway's options do.
    pub(super) fn wants_line(&self, taken: Option<(&Config, usize)>, reason: Option<Reason>) -> bool {
        let route = taken.and_then(|(config, slot)| config.route(slot));
        match route.and_then(|route| route.traffic()?.spec().access_log) {
            None => self.log.wants(reason),
            Some(log) => match log.mode {
                AccessLogMode::Off => false,
                AccessLogMode::Errors => reason.is_some(),
                AccessLogMode::All => {
                    let share = u64::from(log.share_bps);
                    reason.is_some() || share >= 10_000 || self.dice.borrow_mut().next() % 10_000 < share
                }
            },
        }
    }

    /// Asks the fleet whether a request goes on.
    pub(super) fn ask(&self, question: Question) -> Asking {
        Box::pin(question.ask(self.fleet.clone()))
    }

    /// Begins to record a request, if it is to be; `traceparent` finds its header.
    pub(super) fn record<'a>(&self, traceparent: impl FnOnce() -> Option<&'a [u8]>) -> Option<Recording> {
        let traces = self.traces.as_ref()?;
        Recording::begin(traces, traceparent(), self.dice.borrow_mut().next())
    }

    /// The work of a tick; once a second the idle connections are looked through.
    pub(super) fn tick(&self, sweep: bool) {
        self.timers.tick();
        let current = Rc::clone(&self.config.borrow().current);
        self.targets.borrow_mut().forget_removed(&current);
        if sweep {
            // Also lets go of pools that no request has asked for since they were removed.
            let _ = self.config();
            self.upstreams.borrow_mut().sweep(self.timers.now().saturating_sub(UPSTREAM_IDLE_MS));
        }
    }

    /// A connection is open.
    pub(super) fn opened(&self) {
        self.entering();
        self.metrics.accepted.add(1);
        self.metrics.active.add(1);
    }

    pub(super) fn closed(&self) {
        self.metrics.active.sub(1);
        self.left();
    }

    /// A connection comes in that is no client's yet.
    pub(super) fn entering(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// It has become one, or has gone.
    pub(super) fn left(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        if self.open.get() == 0 {
            self.all_closed.notify_waiters();
        }
    }

    /// Lets every connection end after what it is doing.
    pub(super) fn start_drain(&self, how: Drain) {
        self.draining.set(how);
        self.timers.wake_all();
    }

    /// How far it is in that.
    pub(super) fn drain(&self) -> Drain {
        self.draining.get()
    }

    /// Whether the next answer of each connection is its last.
    pub(super) fn is_draining(&self) -> bool {
        self.drain() != Drain::No
    }

    /// Time that connections have from the beginning of the drain on.
    pub(super) fn drain_deadline(&self) -> Duration {
        match self.drain() {
            Drain::No | Drain::Stopping => self.limits.drain_deadline,
            Drain::Leaving => self.limits.hand_over_drain,
        }
    }

    /// Waits until no client connection is open.
    pub(super) async fn all_closed(&self) {
        while self.open.get() > 0 {
            self.all_closed.notified().await;
        }
    }
}
