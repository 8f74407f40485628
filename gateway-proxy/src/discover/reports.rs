//! What the control plane is told of the backends: those that are not in order, whenever that changes; and what was
//! counted for rollouts, and what came of checks of their candidates.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use hotswap_api::gateway::v1::backend_condition::Breaker;
use hotswap_api::gateway::v1::watch_config_request::Message as Say;
use hotswap_api::gateway::v1::{BackendCondition, BackendReport};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::answers::Answers;
use super::arms::ArmReports;
use super::checks::Checks;
use super::session::{Out, say};
use crate::backend_state::States;
use crate::config::Live;
use crate::standing::{BackendStanding, backends};

/// How often the backends are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Backends that are told of, at most.
const MOST: usize = 1_000;

/// What a stream has been told so far.
pub(super) struct Reports<'a> {
    states: watch::Receiver<States>,
    ticks: Interval,
    said: BackendReport,
    config: Live,
    arms: ArmReports,
    checks: &'a mut Checks,
}

impl<'a> Reports<'a> {
    /// Nothing yet.
    pub(super) fn new(config: &Live, checks: &'a mut Checks) -> Self {
        checks.forget_what_was_said();
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            states: config.states(),
            ticks,
            said: BackendReport::default(),
            config: config.clone(),
            arms: ArmReports::default(),
            checks,
        }
    }

    /// Waits for something, and meanwhile reports, and says what was asked.
    pub(super) async fn until<F: Future>(
        &mut self,
        out: &Out,
        answers: &mut Answers,
        future: F,
    ) -> F::Output {
        let mut future = pin!(future);
        loop {
            // What came last may ask for one.
            self.checks.agree_with(&self.config);
            for result in self.checks.unsaid() {
                say(out, Say::Check(result)).await;
            }
            tokio::select! {
                done = &mut future => return done,
                _ = self.ticks.tick() => self.look(out).await,
                explained = answers.next() => say(out, Say::Explained(explained)).await,
                () = self.checks.wait() => {}
            }
        }
    }

    async fn look(&mut self, out: &Out) {
        let states = self.states.borrow().clone();
        let mut all = backends(&states, |pool| pool.is_watched());
        all.retain(|b| !is_in_order(b));
        let total = i32::try_from(all.len()).unwrap_or(i32::MAX);
        all.truncate(MOST);
        let report = BackendReport { total, backends: all.into_iter().map(condition).collect() };
        if report != self.said {
            self.said.clone_from(&report);
            say(out, Say::Backends(report)).await;
        }
        if let Some(report) = self.arms.due(&self.config) {
            say(out, Say::Arms(report)).await;
        }
    }
}

fn is_in_order(b: &BackendStanding) -> bool {
    b.usable && b.hold.is_none() && b.breaker.is_none_or(|breaker| breaker == "closed")
}

fn condition(b: BackendStanding) -> BackendCondition {
    let breaker = match b.breaker {
        None => Breaker::Unspecified,
        Some("open") => Breaker::Open,
        Some("half_open") => Breaker::HalfOpen,
        Some(_) => Breaker::Closed,
    };
    BackendCondition {
        unhealthy: b.healthy == Some(false),
        ejected: b.ejected_for_ms.is_some(),
        breaker: breaker.into(),
        held: b.hold.is_some(),
        pool: b.pool,
        address: b.address,
    }
}
