//! Tries after the first, for both engines: when there is another, after which pause, and where it goes.
//!
//! The pause is drawn anew from zero up to a ceiling that doubles ("full jitter", Marc Brooker, "Exponential Backoff
//! And Jitter", AWS Architecture Blog, 2015). How many there may be in all is the pool's budget.

use std::rc::Rc;
use std::time::Duration;

use hotswap_matcher::Retry;

use super::shared::{Config, Shared};
use crate::balance::Wish;
use crate::decide::{Chosen, Plan};
use crate::reason::Reason;
use crate::upstream::{Reusable, Upstream};

/// The tries of one request, whose route and method allow more than one. Until the first fails it owns no memory.
#[derive(Debug)]
pub(super) struct Tries {
    settings: Retry,
    config: Config,
    /// The pool's slot.
    pool: usize,
    wish: Wish,
    /// By place in the pool.
    tried: Vec<usize>,
    last: usize,
    made: u32,
}

/// Whether a request by this method may be sent more than once.
pub(super) fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// Whether a response with this status is worth another try.
pub(super) fn is_worth_it(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// Whether a failure is worth another try.
pub(super) fn may_pass(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ConnectFailed
            | Reason::NoSocket
            | Reason::BackendTls
            | Reason::ConnectTimeout
            | Reason::BackendClosed
            | Reason::BackendProtocol
            | Reason::FirstByteTimeout
    )
}

/// What a backend asks for with Retry-After, in s. A date is not read: it asks for no patience.
pub(super) fn patience(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

impl Tries {
    /// Those of a request; `None`: there is only one.
    pub(super) fn of<H>(config: &Config, plan: &Plan<H>, method: &str, is_call: bool) -> Option<Self> {
        let route = config.route(plan.route)?;
        let settings = route.forward()?.retry?;
        let may_twice = is_idempotent(method) || (is_call && settings.grpc_unavailable);
        if !may_twice {
            return None;
        }
        let (wish, last) = (plan.wish, plan.place);
        let (config, pool) = (Rc::clone(config), plan.pool);
        Some(Self { settings, config, pool, wish, tried: Vec::new(), last, made: 0 })
    }

    /// The first one goes there, which is chosen only now.
    pub(super) fn begin_at(&mut self, place: usize) {
        self.last = place;
    }

    /// Whether there was more than one.
    pub(super) fn is_later(&self) -> bool {
        self.made > 0
    }

    /// The largest body that is kept, in bytes.
    pub(super) fn most(&self) -> usize {
        self.settings.max_body_bytes
    }

    /// Limit for one try, in ms.
    pub(super) fn per_try_ms(&self) -> Option<u64> {
        self.settings.per_try.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether the backend, which asks for so many s of patience, is not to be asked sooner.
    fn is_put_off(&self, patience: Option<u64>) -> bool {
        patience.is_some_and(|s| Duration::from_secs(s) > self.settings.max_backoff)
    }

    /// The longest pause before the next: it doubles each time. Of that, a random part is waited ("full jitter" in
    /// "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    fn ceiling(&self) -> Duration {
        backoff(self.settings.base_backoff, self.settings.max_backoff, self.made)
    }
}

fn backoff(base: Duration, most: Duration, made: u32) -> Duration {
    base.saturating_mul(1 << made.min(16)).min(most)
}

/// A request whose backend is chosen when it has waited on purpose. It keeps the configuration that it began with.
#[derive(Debug)]
pub(super) struct Later {
    config: Config,
    /// The pool's slot.
    pool: usize,
    wish: Wish,
}

impl Later {
    /// `None`: its backend is chosen.
    pub(super) fn of<H>(config: &Config, plan: &Plan<H>) -> Option<Box<Self>> {
        let waits = plan.in_flight.is_none();
        waits.then(|| Box::new(Self { config: Rc::clone(config), pool: plan.pool, wish: plan.wish }))
    }
}

impl<C: Reusable> Shared<C> {
    /// Chooses where a request goes that has waited on purpose.
    pub(super) fn choose_now(&self, later: &Later) -> Result<Chosen<Rc<Upstream<C>>>, Reason> {
        let pool = later.config.pool(later.pool).ok_or(Reason::PoolMissing)?;
        let (mut targets, mut upstreams) = (self.targets.borrow_mut(), self.upstreams.borrow_mut());
        let now = self.timers.now();
        targets.pick(later.pool, pool, &later.wish, &|_| false, &mut *upstreams, now)
    }

    /// The last try has failed: the pause before the next, if there is one. `patience` is what the backend asks for,
    /// in s.
    pub(super) fn another_try(&self, tries: &mut Tries, patience: Option<u64>) -> Option<Duration> {
        if tries.made >= tries.settings.max_retries || tries.is_put_off(patience) {
            return None;
        }
        let pool = tries.config.pool(tries.pool)?;
        if !pool.states().take_retry(tries.settings.budget_percent, self.timers.now()) {
            self.metrics.tries_refused.add(1);
            return None;
        }
        tries.tried.push(tries.last);
        let pause = self.dice.borrow_mut().up_to(tries.ceiling());
        tries.made += 1;
        Some(pause)
    }

    /// Chooses where the next try goes: to a backend that was not tried, if one takes requests.
    pub(super) fn choose_again(&self, tries: &mut Tries) -> Result<Chosen<Rc<Upstream<C>>>, Reason> {
        let pool = tries.config.pool(tries.pool).ok_or(Reason::PoolMissing)?;
        let (mut targets, mut upstreams) = (self.targets.borrow_mut(), self.upstreams.borrow_mut());
        let now = self.timers.now();
        let mut pick = |tried: &dyn Fn(usize) -> bool| {
            targets.pick(tries.pool, pool, &tries.wish, &tried, &mut *upstreams, now)
        };
        let chosen = pick(&|place| tries.tried.contains(&place)).or_else(|_| pick(&|_| false))?;
        tries.last = chosen.place;
        self.metrics.tries.add(1);
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_with_each_try_up_to_the_most() {
        let ms = Duration::from_millis;
        let pauses: Vec<_> = (0..6).map(|made| backoff(ms(25), ms(250), made)).collect();
        assert_eq!(pauses, [ms(25), ms(50), ms(100), ms(200), ms(250), ms(250)]);
        assert_eq!(backoff(ms(25), Duration::MAX, u32::MAX), ms(25 << 16));
    }
}
