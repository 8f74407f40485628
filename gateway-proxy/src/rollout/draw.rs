//! Which revision a request meets.

use std::net::IpAddr;
use std::sync::Arc;

use hotswap_matcher::{Arm, Exposure, RequestHead, RequestKey};

use super::tally::BUCKETS;
use super::{Rollout, Subject};
use crate::balance::hash;
use crate::balance::wish::{Sender, with_cookie};
use crate::config::{Compiled, PoolEntry, RouteEntry};
use crate::decide::Caller;

/// All requests, in basis points.
const ALL_BPS: u64 = 10_000;
/// Makes the bucket's part of the hash another than the share's.
const OTHER: u64 = 0x9e37_79b9_7f4a_7c15;

/// What was drawn for a request in one rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The rollout's slot.
    pub rollout: usize,
    /// The revision that the request meets.
    pub arm: Arm,
    /// Which part of the requests it belongs to by its key: 0 to 63.
    pub bucket: u8,
    /// A copy of it goes to the candidate.
    pub shadow: bool,
    /// It is a test, and does not count.
    pub forced: bool,
}

/// The rollouts that a request has met: its route's and its pool's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arms {
    /// The route's.
    pub route: Option<Drawn>,
    /// The pool's.
    pub pool: Option<Drawn>,
}

impl Arms {
    /// Both, the route's first.
    pub fn iter(&self) -> impl Iterator<Item = Drawn> {
        self.route.into_iter().chain(self.pool)
    }

    /// Whether it has met none.
    pub fn is_empty(&self) -> bool {
        self.route.is_none() && self.pool.is_none()
    }

    /// The rollouts themselves, to be told of.
    pub fn met(&self, config: &Compiled) -> Met {
        let of = |drawn: Drawn| Some((Arc::clone(config.rollout(drawn.rollout)?), drawn.arm));
        Met([self.route.and_then(of), self.pool.and_then(of)])
    }
}

/// The rollouts that a request has met, and how, for people.
#[derive(Debug, Default)]
pub struct Met([Option<(Arc<Rollout>, Arm)>; 2]);

impl Met {
    /// Their names, the route's first; `None`: it has met none.
    pub fn rollouts(&self) -> Option<String> {
        self.joined(|(rollout, _)| rollout.name())
    }

    /// The arm in each of them.
    pub fn arms(&self) -> Option<String> {
        self.joined(|(_, arm)| arm.name())
    }

    fn joined<'a>(&'a self, of: impl Fn(&'a (Arc<Rollout>, Arm)) -> &'a str) -> Option<String> {
        let all: Vec<_> = self.0.iter().flatten().map(of).collect();
        (!all.is_empty()).then(|| all.join(","))
    }
}

impl Rollout {
    /// Draws for a request. `random` is the same number each time for one request, and needed only where it has no
    /// key.
    pub fn draw(&self, head: &impl RequestHead, sender: Sender<'_>, random: impl FnOnce() -> u64) -> Drawn {
        let hashed = |key: &RequestKey| self.hash_of(key, head, sender);
        let drawn = |arm, bucket, shadow| Drawn { rollout: self.slot(), arm, bucket, shadow, forced: false };
        let arm_if = |candidate| if candidate { Arm::Candidate } else { Arm::Baseline };
        let number = || self.sticky_key().and_then(hashed).unwrap_or_else(|| self.mix(random()));
        match self.exposure() {
            Exposure::Nobody => drawn(Arm::Baseline, 0, false),
            Exposure::Share(bps) => {
                let number = number();
                drawn(arm_if(number % ALL_BPS < u64::from(*bps)), bucket(number), false)
            }
            Exposure::Shadow(bps) => {
                let number = number();
                drawn(Arm::Baseline, bucket(number), number % ALL_BPS < u64::from(*bps))
            }
            Exposure::Cohort(cohort) => {
                let mut belongs = false;
                let look = |value: &[u8]| belongs |= cohort.values.contains(value);
                match &cohort.key {
                    RequestKey::Header(name) => {
                        let mut look = look;
                        head.header(name, &mut look);
                    }
                    RequestKey::Cookie(name) => with_cookie(head, name, look),
                    RequestKey::ClientAddress => {}
                }
                let bucket = if self.sticky_key().is_some() { bucket(number()) } else { 0 };
                drawn(arm_if(belongs), bucket, false)
            }
        }
    }

    /// The revision that a request meets, without drawing; `None`: chance decides, since it has no key.
    pub fn foretell(&self, head: &impl RequestHead, sender: Sender<'_>) -> Option<Arm> {
        self.foretell_of_all().or_else(|| {
            let has_key = self.sticky_key().is_some_and(|key| self.hash_of(key, head, sender).is_some());
            let is_certain = has_key || !matches!(self.exposure(), Exposure::Share(_));
            is_certain.then(|| self.draw(head, sender, || 0).arm)
        })
    }

    /// The same, where it is the same for all requests.
    pub fn foretell_of_all(&self) -> Option<Arm> {
        match self.exposure() {
            Exposure::Nobody | Exposure::Shadow(_) => Some(Arm::Baseline),
            Exposure::Share(bps) if u64::from(*bps) >= ALL_BPS => Some(Arm::Candidate),
            Exposure::Share(0) => Some(Arm::Baseline),
            Exposure::Share(_) | Exposure::Cohort(_) => None,
        }
    }

    /// The hash of a request's key; `None`: it has none. Of several values the first counts.
    fn hash_of(&self, key: &RequestKey, head: &impl RequestHead, sender: Sender<'_>) -> Option<u64> {
        let mut hash = None;
        let mut take = |value: &[u8]| {
            hash.get_or_insert_with(|| {
                let mut hasher = self.named();
                hasher.add(value);
                hasher.finish()
            });
        };
        match key {
            RequestKey::Header(name) => head.header(name, &mut take),
            RequestKey::Cookie(name) => with_cookie(head, name, take),
            RequestKey::ClientAddress => match sender.trusted.client(sender.peer, head).to_canonical() {
                IpAddr::V4(v4) => take(&v4.octets()),
                IpAddr::V6(v6) => take(&v6.octets()),
            },
        }
        hash
    }

    fn mix(&self, random: u64) -> u64 {
        hash::mixed(random ^ self.seed)
    }
}

fn bucket(number: u64) -> u8 {
    (hash::mixed(number.wrapping_add(OTHER)) % BUCKETS as u64) as u8
}

/// The draws of one request, each made when it is needed.
#[derive(Debug)]
pub struct Draws<'a, H> {
    config: &'a Compiled,
    head: &'a H,
    caller: &'a Caller<'a>,
    random: Option<u64>,
    /// What was drawn last. A request asks several times in a row about one rollout: for each entry of its route that
    /// could take it, and once more when it was taken; its key is hashed once.
    last: Option<Drawn>,
}

impl<'a, H: RequestHead> Draws<'a, H> {
    /// Of a request.
    pub fn new(config: &'a Compiled, head: &'a H, caller: &'a Caller<'a>) -> Self {
        Self { config, head, caller, random: None, last: None }
    }

    /// What is drawn in the rollout of this slot.
    pub fn draw(&mut self, slot: usize) -> Option<Drawn> {
        if self.last.is_none_or(|last| last.rollout != slot) {
            self.last = Some(self.draw_anew(slot)?);
        }
        self.last
    }

    fn draw_anew(&mut self, slot: usize) -> Option<Drawn> {
        let rollout = self.config.rollout(slot)?;
        let (random, caller) = (&mut self.random, self.caller);
        let mut number = || *random.get_or_insert_with(|| caller.dice.borrow_mut().next());
        if caller.forced.is_some_and(|forced| forced.is_of(rollout.name())) {
            return Some(Drawn {
                rollout: slot,
                arm: Arm::Candidate,
                bucket: 0,
                shadow: false,
                forced: true,
            });
        }
        Some(rollout.draw(self.head, caller.sender, &mut number))
    }

    /// Whether the request sees this entry of a route under a rollout.
    pub fn admits(&mut self, entry: &RouteEntry) -> bool {
        let Some(part) = entry.part() else { return true };
        // Without its rollout, which can't be, it is as if there were none.
        self.draw(part.rollout).map_or(Arm::Baseline, |drawn| drawn.arm) == part.arm
    }

    /// The pool that stands in a slot, or its candidate where that was drawn; noted in `arms`.
    pub fn pool(&mut self, slot: usize, arms: &mut Arms) -> Option<(usize, &'a Arc<PoolEntry>)> {
        let entry = self.config.pool(slot)?;
        let Some(part) = entry.part() else { return Some((slot, entry)) };
        arms.pool = self.draw(part.rollout);
        if arms.pool.is_some_and(|drawn| drawn.arm == Arm::Candidate)
            && let Some(Subject::Pool(slot)) = self.config.rollout(part.rollout).map(|r| r.subject())
        {
            return Some((slot, self.config.pool(slot)?));
        }
        Some((slot, entry))
    }

    /// The request has its route and its pool.
    pub fn end(&self, arms: Arms) {
        if let Some(forced) = self.caller.forced
            && arms.iter().any(|drawn| drawn.forced)
        {
            forced.meets();
        }
    }
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
