//! Any plan, and any facts in any order.

use std::cmp::Ordering;

use hotswap_core::Timestamp;
use hotswap_rollout::judge::{Measurement, Reading, Undecided};
use hotswap_rollout::{
    Act, ActOutcome, ActResult, Actor, Answered, CanaryStepDraft, Command, Exposure, Facts, Millis, Order,
    Plan, PlanDraft, Position, Powers, Principal, Record, Request, RollbackDraft, SmokeTest, State, Stored,
    StrategyDraft, Subject, decide,
};
use proptest::prelude::*;

use crate::world::{content, counts, healthy};

/// What may be known at a decision.
#[derive(Clone, Debug)]
struct Step {
    passes_ms: u64,
    order: Option<Order>,
    outcome: Option<ActResult>,
    /// Of an act that is long over.
    stale: bool,
    /// What was requested is done, whatever is heard of it.
    reached: bool,
    /// Somebody else lets everybody have it.
    meddled: bool,
    /// The target says what is out.
    looked: bool,
    reading: Option<Reading>,
    subject: Option<Subject>,
    frozen: bool,
}

fn plans() -> impl Strategy<Value = Plan> {
    let steps = prop::collection::btree_map(1..10_000_u32, (0..50_u64, any::<bool>()), 1..4);
    let canary = steps.prop_map(|steps| {
        let step = |(share_bp, (ms, gate))| CanaryStepDraft { share_bp, bake_ms: Millis(ms), gate };
        StrategyDraft::Canary { steps: steps.into_iter().map(step).collect() }
    });
    let strategy = prop_oneof![
        4 => canary,
        1 => Just(StrategyDraft::Direct),
        1 => (2..5_u32).prop_map(|batches| StrategyDraft::Rolling { batches, bake_ms: Millis(20) }),
        1 => any::<bool>().prop_map(|gate| {
            StrategyDraft::BlueGreen { smoke_tests: vec![SmokeTest::get("/t")], gate, keep_ms: Millis(30) }
        }),
    ];
    let rollback = prop_oneof![
        Just(RollbackDraft::Instant),
        (2..6_u32).prop_map(|steps| RollbackDraft::Gradual { steps, every_ms: Millis(10) })
    ];
    let undecided = prop_oneof![Just(Undecided::Pause), Just(Undecided::Promote), Just(Undecided::Rollback)];
    (strategy, rollback, any::<bool>(), undecided, any::<bool>(), any::<bool>()).prop_map(
        |(strategy, rollback, judged, undecided, reversible, commit_is_final)| {
            let mut draft = PlanDraft { rollback, commit_is_final, ..PlanDraft::new(strategy) };
            match (&mut draft.judge, judged) {
                (Some(judge), true) => {
                    (judge.slow, judge.undecided, judge.patience_ms) = (None, undecided, Millis(40));
                }
                (judge, _) => *judge = None,
            }
            let powers = Powers { reversible, ..Powers::ALL };
            let or_else = |_| Plan::parse(&draft, Powers::ALL);
            Plan::parse(&draft, powers).or_else(or_else).expect("a plan")
        },
    )
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![
        2 => any::<bool>().prop_map(|full| Order::Promote { step: None, full }),
        1 => Just(Order::Pause { why: String::new() }),
        2 => Just(Order::Resume),
        1 => any::<bool>().prop_map(|instant| Order::Rollback { why: String::new(), instant }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let retry = ActResult::Retry { after: Millis(5), detail: String::new() };
    let lagging = ActResult::Lagging { after: Millis(5), detail: String::new() };
    let outcome = prop_oneof![
        6 => Just(Some(ActResult::Done)),
        1 => Just(Some(retry)),
        1 => Just(Some(lagging)),
        1 => Just(Some(ActResult::Refused("no".into()))),
        2 => Just(None),
    ];
    let reading = prop_oneof![
        4 => Just(None),
        4 => Just(Some(healthy())),
        1 => Just(Some(counts(1_000, 200))),
        1 => Just(Some(counts(40, 40))),
        1 => Just(Some(Reading::NoData)),
        1 => Just(Some(Reading::Broken("away".into()))),
    ];
    let subject = prop_oneof![
        20 => Just(None),
        5 => Just(Some(Subject::Present(content("h1")))),
        1 => Just(Some(Subject::Gone)),
        1 => Just(Some(Subject::Present(content("h2")))),
    ];
    let done = (prop::bool::weighted(0.1), any::<bool>(), prop::bool::weighted(0.03));
    let step = (
        prop_oneof![3 => Just(0), 4 => 0..60_u64, 1 => Just(700_000)],
        prop_oneof![6 => Just(None), 1 => orders().prop_map(Some)],
        outcome,
        done,
        reading,
        subject,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.2),
    );
    let step = step.prop_map(|(passes_ms, order, outcome, done, reading, subject, frozen, looked)| {
        let (stale, reached, meddled) = done;
        Step { passes_ms, order, outcome, stale, reached, meddled, looked, reading, subject, frozen }
    });
    prop::collection::vec(step, 1..60)
}

struct Run {
    plan: Plan,
    record: Record,
    now: Timestamp,
    sent: i64,
    promoted: bool,
    /// Since when what is out is out.
    exposed_at: Timestamp,
    /// What is requested now.
    request: Option<Request>,
    /// The act that was requested last, which has a number.
    asked: Option<Request>,
    /// What is really out.
    out: Exposure,
    /// Somebody else let more out than the record knows of.
    meddled: bool,
}

fn is_at_most(less: &Exposure, more: &Exposure) -> bool {
    less.partial_cmp(more).is_some_and(Ordering::is_le)
}

impl Run {
    fn begin(plan: Plan) -> Self {
        let now = Timestamp(1_000_000);
        let record = Record::begin(&plan, content("h1"), now);
        let (request, asked, out) = (None, None, Exposure::None);
        Self {
            plan,
            record,
            now,
            sent: 0,
            promoted: false,
            exposed_at: now,
            request,
            asked,
            out,
            meddled: false,
        }
    }

    /// What was requested is done.
    fn is_done(&mut self, request: &Request) -> Result<(), TestCaseError> {
        let out = match &request.act {
            Act::Expose(to) => to.clone(),
            Act::Withdraw => Exposure::None,
            Act::Commit => Exposure::Full,
            Act::Stage | Act::Check(_) => return Ok(()),
        };
        let state = &self.record.state;
        prop_assert!(!request.back || is_at_most(&out, &self.out), "back from {}: {request:?}", self.out);
        prop_assert!(is_at_most(&out, &state.reach()), "{request:?}");
        let lowers = matches!(state, State::Frozen(_)) && !is_at_most(&self.out, &out);
        prop_assert!(self.meddled || !lowers, "frozen, and lowered from {}: {request:?}", self.out);
        (self.out, self.meddled) = (out, false);
        Ok(())
    }

    /// What the world does between two decisions.
    fn goes_on(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let stands = matches!(step.outcome, Some(ActResult::Done | ActResult::Lagging { .. }));
        if stands && !step.stale {
            self.asked.clone().map_or(Ok(()), |asked| self.is_done(&asked))?;
        } else if step.reached && !matches!(step.outcome, Some(ActResult::Refused(_))) {
            self.request.clone().map_or(Ok(()), |request| self.is_done(&request))?;
        }
        if step.meddled && !self.record.state.is_ended() {
            (self.out, self.meddled) = (Exposure::Full, true);
        }
        Ok(())
    }

    fn facts(&mut self, step: &Step) -> Facts {
        self.now = Millis(step.passes_ms).after(self.now);
        let actor = Actor { principal: Principal("bob".into()), roles: vec![] };
        let commands = step.order.iter().map(|order| {
            self.sent += 1;
            let key = self.sent.to_string();
            Command { seq: self.sent, key, actor: actor.clone(), at: self.now, order: order.clone() }
        });
        let commands = commands.collect();
        let epoch = match &self.record.state {
            State::Running(running) => running.evidence.as_ref().map_or(0, |evidence| evidence.epoch()),
            _ => 0,
        };
        let ticket = self.asked.as_ref().and_then(|asked| asked.ticket);
        let ticket = ticket.map(|ticket| if step.stale { ticket - 1 } else { ticket });
        let outcome = ticket.zip(step.outcome.clone());
        Facts {
            commands,
            subject: step.subject.clone(),
            frozen: step.frozen,
            outcome: outcome.map(|(ticket, result)| ActOutcome { ticket, result }),
            measurement: step.reading.clone().map(|reading| Measurement { at: self.now, epoch, reading }),
            baseline_p95_us: None,
            actual: step.looked.then(|| self.out.clone()),
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.goes_on(step)?;
        let facts = self.facts(step);
        let before = self.record.clone();
        let (after, effects) = decide(&self.plan, before.clone(), &facts, self.now);
        let again = decide(&self.plan, before.clone(), &facts, self.now);
        prop_assert_eq!(&again, &(after.clone(), effects.clone()), "it is pure");
        prop_assert_eq!(after.generation - before.generation, u64::from(after != before));
        let answered: Vec<_> = effects.answers.iter().map(|answer| answer.seq).collect();
        let asked: Vec<_> = facts.commands.iter().map(|command| command.seq).collect();
        prop_assert_eq!(answered, asked);
        let done = effects.answers.iter().any(|answer| answer.result == Answered::Done);
        self.promoted |= done && matches!(step.order, Some(Order::Promote { .. }));
        self.never_rises_on_the_way_back(&before.state, &after.state)?;
        self.bakes(&before.state, &after.state)?;
        if before.state.is_ended() {
            prop_assert_eq!(&before.state, &after.state);
        }
        if let Some(request) = &effects.request {
            self.may_be_asked(request, &after.state, step.frozen)?;
        }
        self.survives_storing(&after)?;
        self.is_asked_again(&after, &effects, step.frozen)?;
        (self.request, self.record) = (effects.request, after);
        self.asked = self.request.clone().filter(|r| r.ticket.is_some()).or_else(|| self.asked.take());
        if !self.meddled {
            let reach = self.record.state.reach();
            prop_assert!(is_at_most(&self.out, &reach), "{} is out, of {reach}", self.out);
        }
        Ok(())
    }

    fn never_rises_on_the_way_back(&self, before: &State, after: &State) -> Result<(), TestCaseError> {
        if matches!(before, State::Undoing(_)) {
            prop_assert!(matches!(after, State::Undoing(_) | State::Ended(_)));
            prop_assert!(is_at_most(&after.reach(), &before.reach()));
        }
        Ok(())
    }

    /// The step behind a bake does not begin before its time, unless a person promoted.
    fn bakes(&mut self, before: &State, after: &State) -> Result<(), TestCaseError> {
        if let (State::Running(old), State::Running(new)) = (before, after) {
            if new.exposure != old.exposure {
                self.exposed_at = self.now;
            }
            let bakes =
                self.plan.steps().iter().take(new.step).skip(old.step).filter_map(|step| match step {
                    hotswap_rollout::Step::Bake(span) => Some(*span),
                    _ => None,
                });
            let longest = bakes.max().unwrap_or_default();
            prop_assert!(self.promoted || longest.after(self.exposed_at) <= self.now);
            let ticket = |position: &Position| match position {
                Position::Acting(pending) => Some(pending.ticket),
                _ => None,
            };
            let begun = ticket(&new.position).filter(|new| Some(*new) != ticket(&old.position));
            prop_assert!(begun.is_none() || new.paused.is_none(), "nothing begins in a pause");
        }
        Ok(())
    }

    /// Nothing beyond what is stored; and in a pause and under the switch nothing that lets more out.
    fn may_be_asked(&self, request: &Request, state: &State, frozen: bool) -> Result<(), TestCaseError> {
        prop_assert_eq!(request.back, matches!(state, State::Undoing(_)));
        if let Act::Expose(exposure) = &request.act {
            prop_assert!(is_at_most(exposure, &state.reach()));
        }
        let State::Running(running) = state else { return Ok(()) };
        let more = match &request.act {
            Act::Expose(to) => !is_at_most(to, &running.exposure) && !is_at_most(to, &self.out),
            Act::Commit => true,
            Act::Stage | Act::Check(_) | Act::Withdraw => false,
        };
        prop_assert!(!more || !(frozen || running.paused.is_some()), "{request:?}");
        Ok(())
    }

    fn survives_storing(&self, record: &Record) -> Result<(), TestCaseError> {
        let text = serde_json::to_string(&Stored::from(record.clone())).expect("serializes");
        let read: Stored = serde_json::from_str(&text).expect("parses");
        prop_assert_eq!(&read.into_record(), record);
        Ok(())
    }

    /// One who takes over after a crash asks for the same, and changes nothing.
    fn is_asked_again(
        &self,
        record: &Record,
        effects: &hotswap_rollout::Effects,
        frozen: bool,
    ) -> Result<(), TestCaseError> {
        // Under the switch nothing new begins, and what was asked for before it is not asked for again.
        let facts = Facts { frozen, ..Facts::default() };
        let ready = |s: &State| matches!(s, State::Running(r) if r.position == Position::Ready);
        prop_assert!(frozen || !ready(&record.state) || record.state.waits_for_a_person());
        let (same, again) = decide(&self.plan, record.clone(), &facts, self.now);
        prop_assert_eq!(&same, record);
        if effects.request.as_ref().is_some_and(|request| request.ticket.is_some()) {
            prop_assert_eq!(&again.request, &effects.request);
        }
        Ok(())
    }

    /// When everything works again, it ends, or waits for a person.
    fn ends(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..200 {
            if self.record.state.is_ended() {
                return Ok(());
            }
            let (record, effects) = decide(&self.plan, self.record.clone(), &Facts::default(), self.now);
            self.record = record;
            if let Some(ticket) = effects.request.and_then(|request| request.ticket) {
                let outcome = Some(ActOutcome { ticket, result: ActResult::Done });
                let facts = Facts { outcome, ..Facts::default() };
                self.record = decide(&self.plan, self.record.clone(), &facts, self.now).0;
            } else if let Some(wake) = effects.wake_at {
                self.now = self.now.max(wake);
            } else {
                break;
            }
        }
        let state = &self.record.state;
        prop_assert!(state.is_ended() || state.waits_for_a_person(), "stuck: {:?}", state);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_facts_keeps_the_promises(plan in plans(), steps in steps()) {
        let mut run = Run::begin(plan);
        for step in &steps {
            run.take(step)?;
        }
        run.ends()?;
    }
}
