//! A rollout with a target, a clock and a store in memory: what the engine's home does, without anything real.

use hotswap_core::Timestamp;
use hotswap_rollout::judge::{Arm, Counts, Measurement, Reading, Tally};
use hotswap_rollout::{
    Act, ActOutcome, ActResult, Actor, Answered, Command, Content, ContentHash, Effects, Event, Exposure,
    Facts, Millis, Order, Plan, PlanDraft, Powers, Principal, Record, Share, State, StrategyDraft, Subject,
    decide,
};

/// One rollout and its world.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) record: Record,
    pub(crate) now: Timestamp,
    /// What the target has out.
    pub(crate) out: Exposure,
    pub(crate) log: Vec<Event>,
    /// Every act that was done, in order.
    pub(crate) acts: Vec<Act>,
    pub(crate) last: Effects,
    pub(crate) frozen: bool,
    seq: i64,
}

pub(crate) fn content(hash: &str) -> Content {
    Content { hash: ContentHash(hash.into()), authors: vec![Principal("ann".into())] }
}

pub(crate) fn draft() -> PlanDraft {
    PlanDraft::new(StrategyDraft::Canary { steps: vec![] })
}

pub(crate) fn share(bp: u32) -> Exposure {
    Exposure::of(Share::from_bp(bp).expect("valid"))
}

/// Counts of a tenth: so many requests and errors of the candidate, and nine times the requests of the baseline with 1 %
/// of errors.
pub(crate) fn counts(requests: u64, errors: u64) -> Reading {
    let tally = |requests, errors| Tally { requests, errors, slow: 0 };
    let arm = |all| Arm { all, buckets: vec![] };
    Reading::Counts(Counts {
        candidate: arm(tally(requests, errors)),
        baseline: arm(tally(requests * 9, requests * 9 / 100)),
        share: None,
        timed: true,
    })
}

pub(crate) fn healthy() -> Reading {
    counts(1_000, 10)
}

impl World {
    pub(crate) fn new(draft: &PlanDraft) -> Self {
        Self::on(draft, Powers::ALL)
    }

    pub(crate) fn on(draft: &PlanDraft, powers: Powers) -> Self {
        let plan = Plan::parse(draft, powers).expect("a plan");
        let now = Timestamp(1_000_000);
        let record = Record::begin(&plan, content("h1"), now);
        let last = Effects::default();
        let (log, acts) = (vec![], vec![]);
        Self { plan, record, now, out: Exposure::None, log, acts, last, frozen: false, seq: 0 }
    }

    /// One decision, stored.
    pub(crate) fn turn(&mut self, mut facts: Facts) {
        facts.frozen = self.frozen;
        let (record, effects) = decide(&self.plan, self.record.clone(), &facts, self.now);
        self.record = record;
        self.log.extend(effects.events.iter().cloned());
        self.last = effects;
    }

    /// Decides, and does what is requested, until nothing is.
    pub(crate) fn settle(&mut self) {
        self.turn(Facts::default());
        while self.do_requested() {}
    }

    /// Does what is requested; whether there was something.
    pub(crate) fn do_requested(&mut self) -> bool {
        let Some(request) = self.last.request.clone() else { return false };
        match &request.act {
            Act::Expose(exposure) => self.out = exposure.clone(),
            Act::Withdraw => self.out = Exposure::None,
            Act::Commit => self.out = Exposure::Full,
            Act::Stage | Act::Check(_) => {}
        }
        self.acts.push(request.act);
        if let Some(ticket) = request.ticket {
            self.outcome(ticket, ActResult::Done);
            return true;
        }
        false
    }

    pub(crate) fn outcome(&mut self, ticket: u64, result: ActResult) {
        self.turn(Facts { outcome: Some(ActOutcome { ticket, result }), ..Facts::default() });
    }

    /// The requested act comes to this.
    pub(crate) fn answer(&mut self, result: ActResult) {
        let ticket = self.last.request.as_ref().and_then(|r| r.ticket).expect("an act is requested");
        self.outcome(ticket, result);
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, span: Millis) {
        self.now = span.after(self.now);
    }

    pub(crate) fn measure(&mut self, reading: Reading) {
        let epoch = self.last.watch.map_or(0, |watch| watch.epoch);
        self.pass(Millis(1_000));
        let measurement = Some(Measurement { at: self.now, epoch, reading });
        self.turn(Facts { measurement, ..Facts::default() });
    }

    pub(crate) fn command_of(&mut self, name: &str, roles: &[&str], order: Order) -> Command {
        self.seq += 1;
        let roles = roles.iter().map(|r| (*r).to_owned()).collect();
        let actor = Actor { principal: Principal(name.into()), roles };
        Command { seq: self.seq, key: self.seq.to_string(), actor, at: self.now, order }
    }

    /// Somebody sends a command; what they are answered.
    pub(crate) fn say(&mut self, name: &str, order: Order) -> Answered {
        let command = self.command_of(name, &["operator"], order);
        self.turn(Facts { commands: vec![command], ..Facts::default() });
        self.last.answers.last().expect("an answer").result.clone()
    }

    pub(crate) fn see(&mut self, subject: Subject) {
        self.turn(Facts { subject: Some(subject), ..Facts::default() });
    }

    pub(crate) fn word(&self) -> &'static str {
        self.record.state.word()
    }

    /// The step it stands at, in words.
    pub(crate) fn step(&self) -> String {
        match &self.record.state {
            State::Running(running) => {
                self.plan.steps().get(running.step).map(ToString::to_string).unwrap_or_default()
            }
            other => other.word().to_owned(),
        }
    }

    /// The last event in words.
    pub(crate) fn tale(&self) -> String {
        self.log.last().map(ToString::to_string).unwrap_or_default()
    }
}

pub(crate) fn promote() -> Order {
    Order::Promote { step: None, full: false }
}

pub(crate) fn rollback() -> Order {
    Order::Rollback { why: "it smells".into(), instant: false }
}

pub(crate) fn pause() -> Order {
    Order::Pause { why: "lunch".into() }
}

/// A world whose candidate has a tenth of the requests, and bakes.
pub(crate) fn baking_at_a_tenth(draft: &PlanDraft) -> World {
    let mut world = World::new(draft);
    world.settle();
    assert_eq!((world.word(), &world.out), ("running", &share(1_000)));
    world
}
