//! Choosing a backend. The state lives with the core, outside the configuration: a change of a pool keeps the
//! place in the round and, by address, the balance of the weights.

use std::collections::HashMap;

use hotswap_matcher::{Address, Backends, LoadBalancing};

/// Chooses among the backends of one pool, on one core.
#[derive(Debug)]
pub enum Picker {
    /// In turn.
    RoundRobin(RoundRobin),
    /// In turn, by weight.
    Weighted(SmoothWeighted),
}

/// In turn; backends of weight 0 are left out.
#[derive(Debug)]
pub struct RoundRobin {
    /// Places of the backends that take requests.
    members: Vec<usize>,
    next: usize,
}

/// Smooth weighted round robin, as in nginx: every round each backend gains its weight, the one that has the
/// most is chosen and pays the sum. Over a full round each gets exactly its share, evenly spread.
#[derive(Debug)]
pub struct SmoothWeighted {
    members: Vec<Member>,
    /// Of all weights; a bound on what can be gained.
    sum: i64,
}

#[derive(Debug)]
struct Member {
    place: usize,
    weight: i64,
    gained: i64,
}

// === impl Picker ===

impl Picker {
    /// A picker for a pool that this core has not seen. Each `core` starts at another place, so that many
    /// cores do not all begin with the first backend.
    pub fn new(backends: &Backends, core: usize) -> Self {
        let mut picker = Self::empty(backends);
        match &mut picker {
            Self::RoundRobin(r) => r.next = if r.members.is_empty() { 0 } else { core % r.members.len() },
            Self::Weighted(w) => {
                for _ in 0..core.min(1_024) {
                    w.pick(|_| true);
                }
            }
        }
        picker
    }

    /// A picker for the changed content of a pool, which goes on where the old one stood.
    pub fn carry(old: &Self, old_backends: &Backends, backends: &Backends) -> Self {
        let mut picker = Self::empty(backends);
        match (&mut picker, old) {
            (Self::RoundRobin(new), Self::RoundRobin(old)) => new.carry(old, old_backends, backends),
            (Self::Weighted(new), Self::Weighted(old)) => new.carry(old, old_backends, backends),
            (Self::RoundRobin(_), Self::Weighted(_)) | (Self::Weighted(_), Self::RoundRobin(_)) => {}
        }
        picker
    }

    /// The place of the chosen backend, of those that are `usable`; `None`: none takes requests.
    pub fn pick(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        match self {
            Self::RoundRobin(r) => r.pick(usable),
            Self::Weighted(w) => w.pick(usable),
        }
    }

    fn empty(backends: &Backends) -> Self {
        let live = backends.backends.iter().enumerate().filter(|(_, b)| b.weight > 0);
        match backends.load_balancing {
            LoadBalancing::RoundRobin => {
                Self::RoundRobin(RoundRobin { members: live.map(|(place, _)| place).collect(), next: 0 })
            }
            LoadBalancing::WeightedRoundRobin => {
                let members: Vec<Member> =
                    live.map(|(place, b)| Member { place, weight: i64::from(b.weight), gained: 0 }).collect();
                let sum = members.iter().map(|m| m.weight).sum();
                Self::Weighted(SmoothWeighted { members, sum })
            }
        }
    }
}

// === impl RoundRobin ===

impl RoundRobin {
    fn pick(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        for _ in 0..self.members.len() {
            let place = *self.members.get(self.next)?;
            self.next += 1;
            if self.next == self.members.len() {
                self.next = 0;
            }
            if usable(place) {
                return Some(place);
            }
        }
        None
    }

    /// Goes on with the first backend, from the old place on, that is still there.
    fn carry(&mut self, old: &Self, old_backends: &Backends, backends: &Backends) {
        let place_of: HashMap<&Address, usize> = self
            .members
            .iter()
            .enumerate()
            .filter_map(|(i, place)| Some((&backends.backends.get(*place)?.address, i)))
            .collect();
        let turn = (0..old.members.len()).map(|i| (old.next + i) % old.members.len());
        let kept = turn
            .filter_map(|i| Some(&old_backends.backends.get(*old.members.get(i)?)?.address))
            .find_map(|address| place_of.get(address));
        self.next = kept.copied().unwrap_or(0);
    }
}

// === impl SmoothWeighted ===

impl SmoothWeighted {
    /// Who is left out neither gains nor pays.
    fn pick(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best: Option<&mut Member> = None;
        let mut sum = 0;
        for member in self.members.iter_mut().filter(|m| usable(m.place)) {
            sum += member.weight;
            member.gained += member.weight;
            if best.as_ref().is_none_or(|b| member.gained > b.gained) {
                best = Some(member);
            }
        }
        let best = best?;
        best.gained -= sum;
        Some(best.place)
    }

    /// Keeps what each address has gained, within the new sum.
    fn carry(&mut self, old: &Self, old_backends: &Backends, backends: &Backends) {
        let gained: HashMap<&Address, i64> = old
            .members
            .iter()
            .filter_map(|m| Some((&old_backends.backends.get(m.place)?.address, m.gained)))
            .collect();
        for member in &mut self.members {
            let address = backends.backends.get(member.place).map(|b| &b.address);
            let kept = address.and_then(|a| gained.get(a)).copied().unwrap_or(0);
            member.gained = kept.clamp(-self.sum, self.sum);
        }
    }
}

#[cfg(test)]
mod tests;
