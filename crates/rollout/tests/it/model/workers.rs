//! The workers, the store and the target, and every move that there is.

use std::cmp::Ordering;

use hotswap_core::Timestamp;
use hotswap_rollout::judge::Measurement;
use hotswap_rollout::{
    Act, ActOutcome, ActResult, Actor, Answered, Command, Exposure, Facts, Millis, Order, Plan, Position,
    Principal, Record, Request, State, decide,
};
use stateright::{Model, Property};

use crate::world::{content, counts, healthy};

/// What may go wrong, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Faults {
    pub(super) crashes: u8,
    /// Leases that pass on while their holder goes on.
    pub(super) zombies: u8,
    pub(super) retries: u8,
    pub(super) refusals: u8,
    /// Acts that outlast their deadline.
    pub(super) slow: u8,
    /// Measurements of a bad candidate.
    pub(super) bad: u8,
}

pub(super) struct Setup {
    pub(super) plan: Plan,
    pub(super) workers: usize,
    pub(super) faults: Faults,
    /// Each may come once, at any time.
    pub(super) orders: Vec<Order>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "a few of them")]
pub(super) enum Worker {
    Idle,
    /// It has read the rollout.
    Read {
        fence: i64,
        record: Record,
    },
    /// The decision is stored; the act is not done.
    Acting {
        fence: i64,
        request: Request,
    },
    /// The act is done; nobody knows.
    Acted {
        fence: i64,
        outcome: Option<ActOutcome>,
    },
}

/// What must never be, found where it happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Broken {
    rose_after_abort: bool,
    /// An act of the way back let more out than there was.
    back_let_out: bool,
    /// Something was asked for in a pause that lets more out.
    grew_in_a_pause: bool,
    bake_cut_short: bool,
    stale_write: bool,
    answered_twice: bool,
    beyond_reach: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    now: Timestamp,
    record: Record,
    commands: Vec<Command>,
    /// Which orders have come.
    sent: Vec<bool>,
    fence: i64,
    holder: Option<usize>,
    /// When it is due; `None`: nothing to do.
    due_at: Option<Timestamp>,
    workers: Vec<Worker>,
    out: Exposure,
    seen_fence: i64,
    faults: Faults,
    /// When the share took hold, as the store knows it.
    baking_since: Option<Timestamp>,
    promoted: bool,
    answers: u8,
    broken: Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reads {
    Nothing,
    Healthy,
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Move {
    Claim(usize),
    Decide(usize, Reads),
    Do(usize, bool),
    Fail(usize),
    Refuse(usize),
    Crash(usize),
    Expire,
    Send(usize),
    /// Time passes until it is due, or half of it.
    Pass,
    PassHalf,
    /// An act lasts longer than it may.
    Dawdle,
}

impl Setup {
    fn decide(&self, world: &mut World, worker: usize, reads: Reads) {
        let (fence, record, outcome) = match world.workers[worker].clone() {
            Worker::Read { fence, record } => (fence, record, None),
            // It reads again in the transaction that it writes in.
            Worker::Acted { fence, outcome } => (fence, world.record.clone(), outcome),
            Worker::Idle | Worker::Acting { .. } => return,
        };
        let reading = match reads {
            Reads::Nothing => None,
            Reads::Healthy => Some(healthy()),
            Reads::Bad => {
                world.faults.bad -= 1;
                Some(counts(1_000, 200))
            }
        };
        let epoch = match &record.state {
            State::Running(running) => running.evidence.as_ref().map_or(0, |evidence| evidence.epoch()),
            _ => 0,
        };
        let measurement = reading.map(|reading| Measurement { at: world.now, epoch, reading });
        let facts = Facts { commands: world.commands.clone(), outcome, measurement, ..Facts::default() };
        let generation = record.generation;
        let (next, effects) = decide(&self.plan, record, &facts, world.now);
        if fence != world.fence || generation != world.record.generation {
            // Fenced: nothing of it is stored.
            world.workers[worker] = Worker::Idle;
            return;
        }
        for answer in &effects.answers {
            let bit = 1 << (answer.seq - 1);
            world.broken.answered_twice |= world.answers & bit != 0;
            world.answers |= bit;
            let order = &world.commands[usize::try_from(answer.seq - 1).unwrap()].order;
            world.promoted |= answer.result == Answered::Done && matches!(order, Order::Promote { .. });
        }
        self.watch(world, &next);
        if let (State::Running(running), Some(request)) = (&next.state, &effects.request) {
            let grows = match &request.act {
                Act::Expose(to) => !is_at_most(to, &running.exposure),
                Act::Commit => true,
                Act::Stage | Act::Check(_) | Act::Withdraw => false,
            };
            world.broken.grew_in_a_pause |= grows && running.paused.is_some();
        }
        world.record = next;
        world.due_at = if effects.request.is_some() { Some(world.now) } else { effects.wake_at };
        world.workers[worker] = match effects.request {
            Some(request) => Worker::Acting { fence, request },
            None => {
                world.holder = None;
                Worker::Idle
            }
        };
    }

    /// Compares what is stored with what will be.
    fn watch(&self, world: &mut World, next: &Record) {
        let (before, after) = (&world.record.state, &next.state);
        if matches!(before, State::Undoing(_)) {
            let is_back = matches!(after, State::Undoing(_) | State::Ended(_));
            let is_less = is_at_most(&after.reach(), &before.reach());
            world.broken.rose_after_abort |= !(is_back && is_less);
        }
        if let (State::Running(old), State::Running(new)) = (before, after) {
            if new.exposure != old.exposure {
                world.baking_since = Some(world.now);
            }
            let grows = matches!(&new.position, Position::Acting(p) if p.act == Act::Expose(Exposure::Full))
                && !matches!(&old.position, Position::Acting(p) if p.act == Act::Expose(Exposure::Full));
            let baked = world.baking_since.is_some_and(|since| BAKE.after(since) <= world.now);
            world.broken.bake_cut_short |= grows && !baked && !world.promoted;
        }
    }

    fn act(&self, world: &mut World, worker: usize) {
        let Worker::Acting { fence, request } = world.workers[worker].clone() else { return };
        let refused = fence < world.seen_fence;
        if !refused {
            world.seen_fence = fence;
            let out = match &request.act {
                Act::Expose(exposure) => Some(exposure.clone()),
                Act::Withdraw => Some(Exposure::None),
                Act::Commit => Some(Exposure::Full),
                Act::Stage | Act::Check(_) => None,
            };
            if let Some(out) = out {
                // What a holder of the newest fence has undone, nobody brings back.
                world.broken.stale_write |= fence < world.fence && world.record.state.is_ended();
                world.broken.beyond_reach |= !is_at_most(&out, &world.record.state.reach());
                world.broken.back_let_out |= request.back && !is_at_most(&out, &world.out);
                world.out = out;
            }
        }
        let outcome = request.ticket.map(|ticket| ActOutcome { ticket, result: ActResult::Done });
        world.workers[worker] = if refused { Worker::Idle } else { Worker::Acted { fence, outcome } };
    }

    fn comes_to(&self, world: &mut World, worker: usize, result: ActResult) {
        let Worker::Acting { fence, request } = world.workers[worker].clone() else { return };
        let outcome = request.ticket.map(|ticket| ActOutcome { ticket, result });
        world.workers[worker] = Worker::Acted { fence, outcome };
    }
}

fn is_at_most(less: &Exposure, more: &Exposure) -> bool {
    less.partial_cmp(more).is_some_and(Ordering::is_le)
}

pub(super) const BAKE: Millis = Millis(8);

impl Model for Setup {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        let now = Timestamp(0);
        vec![World {
            now,
            record: Record::begin(&self.plan, content("h1"), now),
            commands: vec![],
            sent: vec![false; self.orders.len()],
            fence: 0,
            holder: None,
            due_at: Some(now),
            workers: vec![Worker::Idle; self.workers],
            out: Exposure::None,
            seen_fence: 0,
            faults: self.faults,
            baking_since: None,
            promoted: false,
            answers: 0,
            broken: Broken::default(),
        }]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        let unanswered = world.commands.iter().any(|command| command.seq > world.record.answered);
        let due = unanswered || world.due_at.is_some_and(|at| at <= world.now);
        let faults = world.faults;
        // Idle workers are alike: the first one claims.
        let idle = world.workers.iter().position(|worker| *worker == Worker::Idle);
        if let (true, None, Some(w)) =
            (due && !world.record.state.is_ended() || unanswered, world.holder, idle)
        {
            moves.push(Move::Claim(w));
        }
        for (w, worker) in world.workers.iter().enumerate() {
            match worker {
                Worker::Idle => continue,
                Worker::Acted { .. } => moves.push(Move::Decide(w, Reads::Nothing)),
                Worker::Read { record, .. } => {
                    moves.push(Move::Decide(w, Reads::Nothing));
                    let sees = matches!(&record.state, State::Running(r) if r.evidence.is_some());
                    if sees {
                        moves.push(Move::Decide(w, Reads::Healthy));
                    }
                    if sees && faults.bad > 0 {
                        moves.push(Move::Decide(w, Reads::Bad));
                    }
                }
                Worker::Acting { .. } => {
                    moves.push(Move::Do(w, true));
                    if faults.retries > 0 {
                        moves.push(Move::Fail(w));
                    }
                    if faults.refusals > 0 {
                        moves.push(Move::Refuse(w));
                    }
                }
            }
            if faults.crashes > 0 {
                moves.push(Move::Crash(w));
            }
        }
        let held_by_dead = world.holder.is_some_and(|w| world.workers[w] == Worker::Idle);
        if held_by_dead || (world.holder.is_some() && faults.zombies > 0) {
            moves.push(Move::Expire);
        }
        moves.extend((0..self.orders.len()).filter(|i| !world.sent[*i]).map(Move::Send));
        if world.due_at.is_some_and(|at| at > world.now) && world.holder.is_none() {
            moves.push(Move::Pass);
            if world.due_at.is_some_and(|at| at.0 - world.now.0 >= 8_000) && world.baking_since.is_some() {
                moves.push(Move::PassHalf);
            }
        }
        if faults.slow > 0 && world.workers.iter().any(|w| matches!(w, Worker::Acting { .. })) {
            moves.push(Move::Dawdle);
        }
    }

    fn next_state(&self, world: &World, action: Move) -> Option<World> {
        let mut world = world.clone();
        match action {
            Move::Claim(w) => {
                world.fence += 1;
                world.holder = Some(w);
                let record = world.record.clone();
                world.workers[w] = Worker::Read { fence: world.fence, record };
            }
            Move::Decide(w, reads) => self.decide(&mut world, w, reads),
            Move::Do(w, _) => self.act(&mut world, w),
            Move::Fail(w) => {
                world.faults.retries -= 1;
                let result = ActResult::Retry { after: Millis(1), detail: String::new() };
                self.comes_to(&mut world, w, result);
            }
            Move::Refuse(w) => {
                world.faults.refusals -= 1;
                self.comes_to(&mut world, w, ActResult::Refused(String::new()));
            }
            Move::Crash(w) => {
                world.faults.crashes -= 1;
                world.workers[w] = Worker::Idle;
            }
            Move::Expire => {
                if world.holder.is_some_and(|w| world.workers[w] != Worker::Idle) {
                    world.faults.zombies -= 1;
                }
                world.holder = None;
            }
            Move::Send(i) => {
                world.sent[i] = true;
                let seq = i64::try_from(world.commands.len()).unwrap() + 1;
                let actor = Actor { principal: Principal("bob".into()), roles: vec![] };
                let order = self.orders[i].clone();
                world.commands.push(Command { seq, key: i.to_string(), actor, at: world.now, order });
            }
            Move::Pass => world.now = world.due_at?,
            Move::PassHalf => {
                let left = world.due_at?.0 - world.now.0;
                world.now = world.now.plus_micros(left / 2);
            }
            Move::Dawdle => {
                world.faults.slow -= 1;
                world.now = self.plan.act_deadline().after(world.now);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("exposure never rises after an abort", |_, w: &World| {
                !w.broken.rose_after_abort && !w.broken.back_let_out
            }),
            Property::always("in a pause nothing is asked for that lets more out", |_, w: &World| {
                !w.broken.grew_in_a_pause
            }),
            Property::always("a bake lasts", |_, w: &World| !w.broken.bake_cut_short),
            Property::always("a command is answered once", |_, w: &World| !w.broken.answered_twice),
            Property::always("no stale write survives", |_, w: &World| !w.broken.stale_write),
            Property::always("nothing is out beyond what is stored", |_, w: &World| {
                !w.broken.beyond_reach && is_at_most(&w.out, &w.record.state.reach())
            }),
            Property::always("at the end nobody or everybody has it", |_, w: &World| match &w.record.state {
                State::Ended(ended) => w.out == ended.outcome.exposure(),
                _ => true,
            }),
            Property::eventually("it ends or waits for a person", |_, w: &World| {
                w.record.state.is_ended() || w.record.state.waits_for_a_person()
            }),
            Property::sometimes("a candidate is promoted", |_, w: &World| {
                w.record.state.word() == "promoted"
            }),
            Property::sometimes("a candidate is rolled back", |_, w: &World| {
                w.record.state.word() == "rolled_back"
            }),
            Property::sometimes("a zombie is refused", |_, w: &World| {
                w.workers
                    .iter()
                    .any(|worker| matches!(worker, Worker::Acting { fence, .. } if *fence < w.seen_fence))
            }),
        ]
    }
}
