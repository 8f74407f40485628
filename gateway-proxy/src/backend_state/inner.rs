//! All that decides whether a backend takes requests, together. It is held under a lock and knows no clock; what
//! comes of it is one number, the gate, that everyone may read.

use std::sync::Arc;

use hotswap_matcher::{HealthCheck, Resilience};

use super::breaker::{Breaker, BreakerState, Trial, Verdict};
use super::ejection::Ejection;
use super::registry::Quota;

/// Gate: requests may go.
pub(super) const FREE: u64 = 0;
/// Gate: a request may go that asks first.
pub(super) const ASK: u64 = 1;
/// Gate: none may go, until something happens. Numbers between are the time, in ms, from which on to ask.
pub(super) const SHUT: u64 = u64::MAX;

/// What an operator has decided about a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Nothing: health, ejection and breaker do.
    #[default]
    None,
    /// It takes no new requests.
    Drained,
    /// Its breaker is held open.
    ForcedOpen,
    /// Its breaker is held closed.
    ForcedClosed,
}

/// What active checks have found.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    unhealthy: bool,
    /// Checks in a row that say the contrary.
    contrary: u32,
    /// There was a check, as the settings have it now.
    seen: bool,
}

/// The state of a backend.
#[derive(Debug, Default)]
pub(super) struct Inner {
    settings: Arc<Resilience>,
    hold: Hold,
    health: Health,
    ejection: Ejection,
    breaker: Breaker,
}

/// What an operator sees of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// What active checks say; `None`: there are none.
    pub healthy: Option<bool>,
    /// There was a check, and the last one agrees with `healthy`.
    pub settled: bool,
    /// Until when it is taken out, in ms of [`super::clock`].
    pub ejected_until: Option<u64>,
    /// How often it was taken out.
    pub ejections: u64,
    /// Its breaker; `None`: it has none.
    pub breaker: Option<BreakerState>,
    /// How often its breaker was opened.
    pub opened: u64,
    /// What an operator has decided.
    pub hold: Hold,
    /// Whether a request may go to it.
    pub usable: bool,
}

impl Inner {
    /// The pool has these settings now. What a part has learned goes with that part.
    pub(super) fn configure(&mut self, settings: &Arc<Resilience>, hold: Hold, quota: &Quota) {
        self.hold = hold;
        if settings.health_check.is_none() {
            self.health = Health::default();
        }
        if settings.circuit_breaker.is_none() {
            self.breaker = Breaker::default();
        }
        if settings.outlier_ejection.is_none() && self.ejection.end() {
            quota.give_back();
        }
        self.health.seen &= self.settings.health_check == settings.health_check;
        if self.settings != *settings {
            self.settings = Arc::clone(settings);
        }
    }

    pub(super) fn hold(&self) -> Hold {
        self.hold
    }

    pub(super) fn health_check(&self) -> Option<&HealthCheck> {
        self.settings.health_check.as_ref()
    }

    /// Whether the outcome of requests matters at all.
    pub(super) fn judges(&self) -> bool {
        self.settings.circuit_breaker.is_some() || self.settings.outlier_ejection.is_some()
    }

    /// Whether a success would change anything.
    pub(super) fn minds_success(&self) -> bool {
        self.breaker.minds_success() || self.ejection.minds_success()
    }

    /// Time goes by.
    pub(super) fn advance(&mut self, now: u64, quota: &Quota) {
        self.breaker.advance(now);
        if self.ejection.advance(now) {
            quota.give_back();
        }
    }

    /// What everyone may read.
    pub(super) fn gate(&self) -> u64 {
        if matches!(self.hold, Hold::Drained | Hold::ForcedOpen) || self.health.unhealthy {
            return SHUT;
        }
        let breaker = if self.hold == Hold::ForcedClosed { FREE } else { self.breaker_gate() };
        let ejected = self.ejection.until().unwrap_or(FREE);
        match (ejected, breaker) {
            (FREE, breaker) => breaker,
            // Numbers up to here have a meaning of their own.
            (until, FREE | ASK) => until.max(ASK + 1),
            (until, breaker) => until.max(breaker),
        }
    }

    fn breaker_gate(&self) -> u64 {
        let Some(settings) = &self.settings.circuit_breaker else { return FREE };
        match self.breaker.state() {
            BreakerState::Closed => FREE,
            BreakerState::Open => self.breaker.opens_until().unwrap_or(SHUT).max(ASK + 1),
            BreakerState::HalfOpen if self.breaker.admits(settings) => ASK,
            BreakerState::HalfOpen => SHUT,
        }
    }

    /// A request begins; `None`: it may not. The trial is that of a half-open breaker.
    pub(super) fn begin(&mut self) -> Option<Option<Trial>> {
        if self.gate() > ASK {
            return None;
        }
        let held = self.hold == Hold::ForcedClosed || self.settings.circuit_breaker.is_none();
        Some(if held { None } else { self.breaker.begin() })
    }

    /// A request has ended; see [`Breaker::end`].
    pub(super) fn end(&mut self, trial: Option<Trial>, verdict: Verdict, at: (u64, u64), quota: &Quota) {
        if let Some(settings) = &self.settings.circuit_breaker
            && self.hold != Hold::ForcedClosed
        {
            self.breaker.end(trial, verdict, at, settings);
        }
        if let Some(settings) = &self.settings.outlier_ejection {
            self.ejection.note(verdict, at.0, settings, || quota.take(settings.max_ejected_percent));
        }
    }

    /// A check has ended; true: the backend's health has changed by it.
    pub(super) fn checked(&mut self, ok: bool) -> bool {
        let Some(settings) = &self.settings.health_check else { return false };
        self.health.seen = true;
        if ok != self.health.unhealthy {
            self.health.contrary = 0;
            return false;
        }
        self.health.contrary += 1;
        let enough = if ok { settings.healthy_threshold } else { settings.unhealthy_threshold };
        let changes = self.health.contrary >= enough;
        if changes {
            self.health = Health { unhealthy: !ok, contrary: 0, seen: true };
        }
        changes
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejection.until().is_some()
    }

    pub(super) fn view(&self) -> View {
        View {
            healthy: self.settings.health_check.as_ref().map(|_| !self.health.unhealthy),
            settled: self.health.seen && self.health.contrary == 0,
            ejected_until: self.ejection.until(),
            ejections: self.ejection.total(),
            breaker: self.settings.circuit_breaker.as_ref().map(|_| self.breaker.state()),
            opened: self.breaker.opened(),
            hold: self.hold,
            usable: self.gate() <= ASK,
        }
    }
}
