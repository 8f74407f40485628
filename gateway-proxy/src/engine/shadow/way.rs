//! Which backend a copy goes to.

use std::rc::Rc;
use std::time::Duration;

use hotswap_h1::Head;
use hotswap_matcher::Timeouts;

use super::Copied;
use crate::backend_state::InFlight;
use crate::balance::Wish;
use crate::balance::wish::Sender;
use crate::decide::{Caller, Chosen, Decision, LocalReply, Plan, decide};
use crate::engine::own::Asked;
use crate::engine::shared::Shared;
use crate::rollout::{Drawn, Forced};
use crate::traffic::Admitted;
use crate::upstream::{Reusable, Upstream};

/// Where a copy goes, and how.
pub(super) struct Way<C: Reusable> {
    /// The route whose edits it gets, by its slot.
    pub(super) route: usize,
    pub(super) backend: Rc<Upstream<C>>,
    pub(super) in_flight: InFlight,
    pub(super) connect_timeout: Duration,
    pub(super) timeouts: Timeouts,
    pub(super) path: Option<String>,
    pub(super) admitted: Option<Box<Admitted>>,
}

impl<C: Reusable + 'static> Shared<C> {
    /// As the request would go were the candidate live. The error is as [`Shared::outgoing`] has it.
    pub(super) fn way_to_candidate(
        &self,
        copied: &Copied,
        drawn: Drawn,
        head: &Head,
    ) -> Result<Way<C>, Option<bool>> {
        let config = &copied.config;
        let rollout = config.rollout(drawn.rollout).ok_or(None)?;
        let forced = Forced::of(rollout.name());
        let caller = Caller {
            port: None,
            sender: Sender { peer: copied.sender, trusted: &self.trusted },
            now: self.timers.now(),
            stages: None,
            dice: &self.dice,
            mark: &self.mark,
            forced: Some(&forced),
            secure: copied.entered.is_secure(),
        };
        let decision = decide(
            config,
            &Asked { head, host: &copied.host },
            &caller,
            &mut self.targets.borrow_mut(),
            &mut *self.upstreams.borrow_mut(),
        );
        if !forced.has_met() {
            return Err(None);
        }
        let plan: Plan<Rc<Upstream<C>>> = match decision {
            Decision::Forward(plan) => plan,
            Decision::Respond(LocalReply::Failure { reason, .. }) => {
                return Err(Some(reason.status().is_server_error()));
            }
            Decision::Respond(LocalReply::Redirect { .. } | LocalReply::Nothing { .. }) => {
                return Err(Some(false));
            }
        };
        let Plan { route, backend, in_flight, connect_timeout, timeouts, path, admitted, .. } = plan;
        // The route's traffic features are not asked about copies, so none waits.
        let in_flight = in_flight.ok_or(None)?;
        Ok(Way { route, backend, in_flight, connect_timeout, timeouts, path, admitted })
    }

    /// To a backend of the route's mirror.
    pub(super) fn way_to_mirror(
        &self,
        copied: &Copied,
        slot: usize,
        path: Option<String>,
        head: &Head,
    ) -> Result<Way<C>, Option<bool>> {
        let asked = Asked { head, host: &copied.host };
        let config = &copied.config;
        let route = config.route(slot).ok_or(None)?;
        let mirror = route.mirror().ok_or(None)?;
        let pool = config.pool(mirror).ok_or(None)?;
        let sender = Sender { peer: copied.sender, trusted: &self.trusted };
        let wish = Wish::of(&pool.backends().balancing, pool.sticky(), &asked, sender);
        let (mut targets, mut upstreams) = (self.targets.borrow_mut(), self.upstreams.borrow_mut());
        let now = self.timers.now();
        let chosen = targets.pick(mirror, pool, &wish, &|_| false, &mut *upstreams, now);
        let Chosen { backend, in_flight, .. } = chosen.map_err(|_| None)?;
        Ok(Way {
            route: slot,
            backend,
            in_flight,
            connect_timeout: pool.backends().connect_timeout,
            timeouts: route.forward().ok_or(None)?.timeouts,
            path,
            admitted: route.traffic().and_then(|traffic| traffic.accompany(&asked)),
        })
    }
}
